from __future__ import annotations

import base64
import subprocess
import sys

import pytest

REFUSE = """
import sys
class Refuse:
    names = {"confluent_kafka", "faust", "fastavro", "prometheus_client", "aiokafka", "uvloop", "httptools",
             "cryptography"}
    parts = ("headrace.kafka", "headrace.consumers", "headrace.producers", "headrace.schemas", "headrace.http")
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names or name.startswith(self.parts):
            raise ImportError(f"{name} is of the server")
sys.meta_path.insert(0, Refuse())
"""


def python(*lines: str) -> subprocess.CompletedProcess[str]:
    code = "\n".join([REFUSE, *lines])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_the_import_hook_refuses_what_it_should() -> None:
    done = python("import headrace.consumers.reading")
    assert "is of the server" in done.stderr


def test_the_client_needs_nothing_of_the_server() -> None:
    done = python("import headrace.client", "print(headrace.client.Client('http://gateway').url)")
    assert (done.stdout, done.stderr) == ("http://gateway\n", "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["pull", "--help"], ["listen", "--help"], ["subscriptions", "--help"]]
)
def test_the_command_line_has_its_help_without_the_server(arguments: list[str]) -> None:
    done = python("from headrace.cli import app", f"app({arguments!r})")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["pull", "feed", "--checkpoint", "/dev/null/none"],
        ["pull", "feed"],
        ["pull", "feed", "--follow", "--transport", "websocket", "--filter", "true"],
        ["pull", "--subscription", "sub"],
        ["work", "sub", "--exec", "true"],
        ["subscriptions", "snapshots", "sub"],
        ["subscribe", "feed", "http://127.0.0.1:9000/"],
        ["subscriptions"],
        ["subscriptions", "show", "sub"],
        ["subscriptions", "update", "sub", "--rate", "5"],
        ["subscriptions", "undelivered", "sub"],
        ["subscriptions", "attempts", "sub"],
        ["subscriptions", "redeliver", "sub", "--dead-letters"],
        ["subscriptions", "events", "sub", "--ack"],
        ["subscriptions", "rotate-secret", "sub"],
        ["listen", "feed", "--port", "0"],
    ],
)
def test_the_commands_run_without_the_server(arguments: list[str]) -> None:
    # Port 9 (discard) is answered by nobody: they get as far as asking for the gateway, or refuse the checkpoint.
    done = python("from headrace.cli import app", f"app({[*arguments, '--url', 'http://127.0.0.1:9']!r})")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr or "/dev/null/none" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_message_is_verified_with_a_secret_without_the_server() -> None:
    done = python(
        "import time",
        "from headrace.signing import generate_secret, sign, verify",
        "secret, now = generate_secret(), int(time.time())",
        "verify(secret, 'evt_1', str(now), sign(secret, 'evt_1', now, b'{}'), b'{}')",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_verifying_with_a_public_key_says_what_it_needs() -> None:
    key = "whpk_" + base64.b64encode(bytes(32)).decode()
    done = python(
        "sys.argv = ['headrace', 'listen', '--port', '0', '--secret', '" + key + "']",
        "from headrace.cli import main",
        "main()",
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("Run: pip install cryptography")
    assert "Traceback" not in done.stderr


def test_a_key_for_secrets_at_rest_is_made_without_the_server() -> None:
    done = python("from headrace.cli import app", "app(['secrets', 'new-key'])")
    assert (done.returncode, done.stderr) == (0, "")
