"""The Grafana dashboard asks for what the metrics catalogue has, and says what each panel shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from headrace import metrics
from headrace.subscription_series import GAUGES
from headrace.subscription_series import LABELS as SUBSCRIPTION_LABELS

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/headrace.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
TITLES = [panel["title"] for panel in PANELS]

SAMPLES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
# What Prometheus adds to every series, and the bound of a histogram's bucket.
ADDED_LABELS = {"job", "instance", "le"}
# What comes in and goes out, how fast, who is behind, what fails.
MUST_SHOW = (
    "headrace_producer_events_total",
    "headrace_consumer_events_total",
    "headrace_consumer_latency_seconds_bucket",
    "headrace_relay_lag_events",
    "headrace_errors_total",
    "headrace_stream_records_total",
    "headrace_http_requests_total",
    "headrace_producer_queue_bytes",
)


def catalogue() -> Iterator[tuple[str, set[str]]]:
    """The name of every series that a service can expose, with its labels."""
    labels = {m._name: set(m._labelnames) for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)}
    labels |= {name: set(SUBSCRIPTION_LABELS) for name in GAUGES}
    for family in REGISTRY.collect():
        for suffix in SAMPLES.get(family.type, [""]) if family.name in labels else []:
            yield family.name + suffix, labels[family.name]


LABELS = dict(catalogue())


def names(expression: str) -> set[str]:
    return set(re.findall(r"\bheadrace_\w+", expression))


def kept(expression: str) -> set[str]:
    return {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_metric_of_a_panel_is_in_the_catalogue(title: str, expression: str) -> None:
    assert names(expression), f"{title} asks for no metric of ours"
    assert names(expression) <= LABELS.keys()


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_label_of_a_panel_is_one_of_its_metric(title: str, expression: str) -> None:
    matched = set(re.findall(r'(\w+)=~?"', expression))
    for name in names(expression):
        assert kept(expression) | matched <= LABELS[name] | ADDED_LABELS, title


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_every_legend_names_labels_that_its_query_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept(target["expr"])


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_every_panel_has_a_unit_and_a_description(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")


def test_the_dashboard_shows_what_an_operator_asks_first() -> None:
    shown = set().union(*(names(expression) for _, expression in EXPRESSIONS))
    assert set(MUST_SHOW) <= shown


def test_latency_is_shown_as_p50_p95_and_p99() -> None:
    expressions = [expression for _, expression in EXPRESSIONS if "headrace_consumer_latency_seconds" in expression]
    shown = {quantile for e in expressions for quantile in re.findall(r"histogram_quantile\(([\d.]+)", e)}
    assert {"0.5", "0.95", "0.99"} <= shown


def test_panels_do_not_lie_over_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt install prometheus)"
)
def test_prometheus_takes_every_query_and_its_own_configuration(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, (_, expression) in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "rules.yml"
    # JSON is YAML.
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")

    for command in (["check", "rules", str(file)], ["check", "config", str(DEPLOY / "prometheus/prometheus.yml")]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
