"""Keys of secrets at rest, and how the services get them."""

from __future__ import annotations

import base64
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.errors import Misconfigured
from headrace.secret_keys import SecretKey, keep_secret_key, new_secret_key, secret_keys
from headrace.settings import GatewaySettings, RelaySettings, SecretsSettings
from headrace.up.run import with_secret_key


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a user who has set nothing."""
    monkeypatch.delenv("HEADRACE_SECRET_KEYS", raising=False)
    monkeypatch.delenv("HEADRACE_SECRET_KEYS_FILE", raising=False)


def entry(name: str, first: int = 0) -> str:
    return f"{name}:{base64.b64encode(bytes(range(first, first + 32))).decode()}"


def ids(settings: SecretsSettings) -> list[str]:
    return [key.id for key in secret_keys(settings)]


def test_keys_are_taken_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", f"{entry('b', 1)}, {entry('a')},")
    assert secret_keys(RelaySettings()) == (SecretKey("b", bytes(range(1, 33))), SecretKey("a", bytes(range(32))))


def test_the_file_s_keys_follow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{entry('c')}\n{entry('d')}\n")
    monkeypatch.setenv("HEADRACE_SECRET_KEYS_FILE", str(file))
    assert ids(GatewaySettings()) == ["c", "d"]
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", entry("b"))
    assert ids(GatewaySettings()) == ["b", "c", "d"]


@pytest.mark.parametrize(
    "wrong",
    ["c2VjcmV0", "c2VjcmV0:a", entry("a") + "x", entry("a").replace(":", " "), entry("a b"), entry("a")[:-5], "a:b:c"],
)
def test_a_key_that_is_none_is_counted_and_never_shown(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", f"{entry('fine', 9)},{wrong}")
    with pytest.raises(Misconfigured, match=r"Key 2 in HEADRACE_SECRET_KEYS .*headrace secrets new-key") as caught:
        secret_keys(RelaySettings())
    for part in wrong.replace(":", " ").split():
        assert len(part) < 4 or part not in str(caught.value)


def test_two_keys_of_the_same_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", f"{entry('a')},{entry('a', 1)}")
    with pytest.raises(Misconfigured, match="the same id"):
        secret_keys(RelaySettings())


def test_a_file_that_is_missing_or_empty_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    monkeypatch.setenv("HEADRACE_SECRET_KEYS_FILE", str(file))
    with pytest.raises(Misconfigured, match=r"keys, which cannot be read: No such file"):
        secret_keys(RelaySettings())
    file.write_text("\n")
    with pytest.raises(Misconfigured, match=r"keys, which holds no key"):
        secret_keys(RelaySettings())
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match=r"it is not text"):
        secret_keys(RelaySettings())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "headrace.internal"])
def test_a_service_that_others_reach_does_not_start_without_a_key(host: str) -> None:
    with pytest.raises(Misconfigured, match=r"HEADRACE_SECRET_KEYS.*headrace secrets new-key"):
        secret_keys(RelaySettings(host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_the_loopback_interface_a_service_starts_without(host: str) -> None:
    assert secret_keys(GatewaySettings(host=host)) == ()


@pytest.mark.parametrize("command", ["gateway", "serve", "relay"])
def test_the_command_says_what_is_missing_and_ends(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headrace", command],
        env={"PATH": "", "HEADRACE_HOST": "0.0.0.0", "HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Set HEADRACE_SECRET_KEYS" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_and_keys_are_not_shown_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", entry("a"))
    settings = RelaySettings()
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {secret_keys(settings)}"
    assert "'a'" in shown
    for secret in (entry("a")[2:], repr(bytes(range(32)))):
        assert secret not in shown


def test_new_keys_are_what_the_setting_takes_and_never_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", ",".join(new_secret_key() for _ in range(20)))
    keys = secret_keys(RelaySettings())
    assert len({key.material for key in keys}) == 20


def test_a_key_is_kept_for_its_owner_alone_and_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "below" / "keys"
    assert keep_secret_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    kept = file.read_text()
    assert not keep_secret_key(file)
    assert file.read_text() == kept
    assert list(file.parent.iterdir()) == [file]
    monkeypatch.setenv("HEADRACE_SECRET_KEYS_FILE", str(file))
    assert len(secret_keys(RelaySettings())) == 1


def test_of_several_who_make_a_key_at_once_one_wins(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: keep_secret_key(tmp_path / "keys"), range(50))) == 1


def test_the_command_prints_a_key_or_keeps_it(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "headrace", "secrets", "new-key", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert len(run().stdout.strip().split(":")) == 2
    made, again = run("--file", str(tmp_path / "keys")), run("--file", str(tmp_path / "keys"))
    assert (made.returncode, again.returncode, made.stdout, again.stdout) == (0, 0, "", "")
    assert "keep it" in made.stderr
    assert "stays as it is" in again.stderr
    key = (tmp_path / "keys").read_text().strip().split(":")[1]
    assert key not in made.stderr + again.stderr
    refused = run("--file", "/dev/null/keys")
    assert refused.returncode == 1
    assert "cannot be written to /dev/null/keys" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_up_makes_a_key_once_and_gives_it_to_all_services(tmp_path: Path) -> None:
    first, second = with_secret_key({"A": "1"}, tmp_path), with_secret_key({}, tmp_path)
    assert first == {"A": "1", "HEADRACE_SECRET_KEYS_FILE": str(tmp_path / "secret-keys")}
    assert second["HEADRACE_SECRET_KEYS_FILE"] == first["HEADRACE_SECRET_KEYS_FILE"]
    assert (tmp_path / "secret-keys").stat().st_mode & 0o777 == 0o600


def test_up_takes_the_user_s_key_and_still_opens_what_its_own_has_sealed(tmp_path: Path) -> None:
    own = {"HEADRACE_SECRET_KEYS": entry("mine")}
    assert with_secret_key(own, tmp_path) == own
    assert not (tmp_path / "secret-keys").exists()
    with_secret_key({}, tmp_path)
    assert with_secret_key(own, tmp_path) == {**own, "HEADRACE_SECRET_KEYS_FILE": str(tmp_path / "secret-keys")}
    file = {"HEADRACE_SECRET_KEYS_FILE": "/somewhere"}
    assert with_secret_key(file, tmp_path) == file
