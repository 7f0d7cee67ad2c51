"""The receiver's page: its code is run in every language that is on the machine, against what the relay signs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from support.waiting import until

from headrace.broker.properties import free_port
from headrace.consumers.relay.signer import Signer
from headrace.consumers.relay.signing_key import Kind, new_signing_key, rotate

PAGE = (Path(__file__).parents[3] / "docs" / "receiving.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^`([\w.]+)`\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
KINDS: tuple[Kind, ...] = ("hmac", "ed25519")

PYTHON_MAIN = """
import base64, json, sys
from {module} import verify
for line in sys.stdin:
    case = json.loads(line)
    print("trusted" if verify(case["key"], case["headers"], base64.b64decode(case["body"])) else "refused")
"""
NODE_MAIN = """
import { createInterface } from "node:readline";
import { verify } from "./verify.mjs";
for await (const line of createInterface({ input: process.stdin })) {
  const { key, headers, body } = JSON.parse(line);
  console.log(verify(key, headers, Buffer.from(body, "base64")) ? "trusted" : "refused");
}
"""
GO_MAIN = """
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"example.com/hook/receiver"
)

func main() {
	for decoder := json.NewDecoder(os.Stdin); decoder.More(); {
		var one struct {
			Key     string
			Headers map[string]string
			Body    []byte
		}
		if err := decoder.Decode(&one); err != nil {
			panic(err)
		}
		header := http.Header{}
		for name, value := range one.Headers {
			header.Set(name, value)
		}
		fmt.Println(map[bool]string{true: "trusted", false: "refused"}[receiver.Verify(one.Key, header, one.Body)])
	}
}
"""

Run = Callable[[Path, str], Sequence[str]]


@dataclass(frozen=True)
class Message:
    """A message with what a receiver should make of it. `plain` are those that the reference library can read."""

    name: str
    trusted: bool
    key: str
    headers: dict[str, str]
    body: bytes
    plain: bool = True

    def line(self) -> str:
        return json.dumps({"key": self.key, "headers": self.headers, "body": base64.b64encode(self.body).decode()})


def headers(message_id: str, timestamp: str, signature: str) -> dict[str, str]:
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def messages(kind: Kind) -> list[Message]:
    """Good ones, and every way in which one can be bad."""
    now_s = int(time.time())
    now = str(now_s)
    keys = (new_signing_key(kind, now_s - 60),)
    key, other = keys[0].receiver_key, new_signing_key(kind, now_s).receiver_key
    signer = Signer(keys)
    body = '{"id":"evt.1","data":{"city":"Reykjavík","note":"✈ 東京"}}'.encode()
    binary = b"\x00\xff\xfe Avro, say \r\n"
    signature = signer.sign("evt.1", now_s, body, now_s)
    version, _, encoded = signature.partition(",")
    altered = bytearray(base64.b64decode(encoded))
    altered[7] ^= 1
    wrong = f"{version},{base64.b64encode(altered).decode()}"
    foreign = {"v1": "v1a", "v1a": "v1"}[version]
    found = [
        Message("good", True, key, headers("evt.1", now, signature), body),
        Message("empty body", True, key, headers("e", now, signer.sign("e", now_s, b"", now_s)), b"", plain=False),
        Message("any bytes", True, key, headers("e", now, signer.sign("e", now_s, binary, now_s)), binary, plain=False),
        Message("after a wrong one", True, key, headers("evt.1", now, f"{wrong} {signature}"), body),
        Message("before a wrong one", True, key, headers("evt.1", now, f"{signature} {wrong}"), body),
        Message("beside another version", True, key, headers("evt.1", now, f"v9,YQ== {signature}"), body),
        Message("after none", True, key, headers("evt.1", now, f"{version},!! , x {signature}"), body, plain=False),
        Message("a byte more", False, key, headers("evt.1", now, signature), body + b" "),
        Message("a byte less", False, key, headers("evt.1", now, signature), body[:-1]),
        Message("another body", False, key, headers("evt.1", now, signature), b"{}"),
        Message("another id", False, key, headers("evt.2", now, signature), body),
        Message("another time", False, key, headers("evt.1", str(now_s - 1), signature), body),
        Message("another key", False, other, headers("evt.1", now, signature), body),
        Message("a wrong signature", False, key, headers("evt.1", now, wrong), body),
        Message("half a signature", False, key, headers("evt.1", now, signature[: len(signature) // 2]), body),
        Message("of another version", False, key, headers("evt.1", now, f"{foreign},{encoded}"), body),
        Message("no signature", False, key, headers("evt.1", now, ""), body),
        Message("no more than a version", False, key, headers("evt.1", now, f"{version},"), body),
        Message("text for a signature", False, key, headers("evt.1", now, f"{version},é {version}"), body),
        Message("the dots moved", False, key, headers("evt", f"1.{now}", signature), body),
    ]
    for off_s in (-240, 240, -400, 400):
        signed = headers("e", str(now_s + off_s), signer.sign("e", now_s + off_s, b"[]", now_s))
        found.append(Message(f"{off_s} s old", abs(off_s) < 300, key, signed, b"[]"))
    # The reference library reads the same number in the last three: no harm.
    strange = ("", "now", f"{now}x", "-1", "١٢٣", "1" * 400, hex(now_s), f"+{now}", f" {now}", f"{now}.0")
    found += [
        Message(f"at {at!r}", False, key, headers("evt.1", at, signature), body, plain=at not in strange[-3:])
        for at in strange
    ]
    for missing in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        rest = {name: value for name, value in headers("evt.1", now, signature).items() if name != missing}
        found.append(Message(f"without {missing}", False, key, rest, body))
    rotated = rotate(rotate(keys, "hmac", 3600, now_s), "ed25519", 3600, now_s)
    both = headers("evt.1", now, Signer(rotated).sign("evt.1", now_s, body, now_s))
    found += [Message(f"rotated, {one.kind}", True, one.receiver_key, both, body) for one in rotated]
    found.append(Message("rotated, another key", False, other, both, body))
    return found


def judged(directory: Path, command: Sequence[str], cases: Sequence[Message]) -> None:
    """The program decides of each message, one a line, as it should."""
    done = subprocess.run(
        command,
        cwd=directory,
        input="".join(f"{message.line()}\n" for message in cases),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdicts = done.stdout.split()
    assert {m.name: v for m, v in zip(cases, verdicts, strict=True)} == {
        m.name: "trusted" if m.trusted else "refused" for m in cases
    }


def program(name: str) -> str:
    """The path of a program; skips loudly where it is not on the machine."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on this machine: what the receiver's page says for it was NOT run")
    return path


def test_every_block_of_code_has_a_name_and_is_run_here() -> None:
    fences = re.findall(r"^```(?:python|js|go)$", PAGE, re.MULTILINE)
    assert sorted(BLOCKS) == ["receiver.py", "verify.go", "verify.mjs", "verify.py", "verify_with_library.py"]
    assert len(fences) == len(BLOCKS)


def test_python_with_the_library_verifies(tmp_path: Path) -> None:
    (tmp_path / "verify_with_library.py").write_text(BLOCKS["verify_with_library.py"], "utf-8")
    command = [sys.executable, "-c", PYTHON_MAIN.format(module="verify_with_library")]
    cases = [m for m in messages("hmac") if m.plain and m.key.startswith("whsec_")]
    assert {m.trusted for m in cases} == {True, False}
    judged(tmp_path, command, cases)


@pytest.mark.parametrize("kind", KINDS)
def test_python_verifies(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_text(BLOCKS["verify.py"], "utf-8")
    judged(tmp_path, [sys.executable, "-c", PYTHON_MAIN.format(module="verify")], messages(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_node_verifies(kind: Kind, tmp_path: Path) -> None:
    node = program("node")
    (tmp_path / "verify.mjs").write_text(BLOCKS["verify.mjs"], "utf-8")
    (tmp_path / "main.mjs").write_text(NODE_MAIN, "utf-8")
    judged(tmp_path, [node, "main.mjs"], messages(kind))


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go code as a program."""
    go, directory = program("go"), tmp_path_factory.mktemp("go")
    (directory / "receiver").mkdir()
    (directory / "receiver" / "verify.go").write_text(BLOCKS["verify.go"], "utf-8")
    (directory / "main.go").write_text(GO_MAIN.lstrip(), "utf-8")
    (directory / "go.mod").write_text("module example.com/hook\n\ngo 1.21\n", "utf-8")
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": ""}
    for command in ([go, "vet", "./..."], [go, "build", "-o", "hook", "."]):
        done = subprocess.run(
            command, cwd=directory, env=environ, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
    return directory / "hook"


@pytest.mark.parametrize("kind", KINDS)
def test_go_verifies(kind: Kind, go_program: Path) -> None:
    judged(go_program.parent, [str(go_program)], messages(kind))


class Hook:
    """The whole receiver of the page as a process, and a sender to it."""

    def __init__(self, directory: Path, http: aiohttp.ClientSession) -> None:
        self._directory = directory
        self._http = http
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self.key = new_signing_key("hmac", time.time())

    async def start(self) -> None:
        environ = {**os.environ, "WEBHOOK_KEY": self.key.receiver_key, "PORT": str(self._port)}
        with (self._directory / "output").open("ab") as output, (self._directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "receiver.py", cwd=self._directory, env=environ, stdout=output, stderr=log
            )
        await until(self._listens, 30)

    async def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.close()
            return True
        return False

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def post(self, message_id: str, body: bytes, *, sent: bytes | None = None) -> int:
        """Post a message, with another body than was signed where `sent` says one; the status."""
        now_s = int(time.time())
        signature = Signer([self.key]).sign(message_id, now_s, body, now_s)
        async with self._http.post(
            f"http://127.0.0.1:{self._port}/hook",
            data=body if sent is None else sent,
            headers=headers(message_id, str(now_s), signature),
        ) as answer:
            return answer.status

    def worked_on(self) -> list[str]:
        return (self._directory / "output").read_text("utf-8").splitlines()


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Hook]:
    for name in ("verify.py", "receiver.py"):
        (tmp_path / name).write_text(BLOCKS[name], "utf-8")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        running = Hook(tmp_path, http)
        await running.start()
        try:
            yield running
        finally:
            await running.kill()


async def test_the_whole_receiver_works_once_on_each_event_and_on_nothing_forged(hook: Hook) -> None:
    assert await hook.post("evt_1", b'{"n":1}') == 204
    assert await hook.post("evt_1", b'{"n":1}') == 204
    assert await hook.post("evt_2", b'{"n":2}', sent=b'{"n":3}') == 401
    assert await hook.post("evt_4", b" " * (16 * 2**20 + 1)) == 413
    assert await hook.post("evt_5", b'{"n":5}') == 204
    await until(lambda: 'evt_5 {"n":5}' in hook.worked_on())
    assert hook.worked_on() == ['evt_1 {"n":1}', 'evt_5 {"n":5}']


async def test_what_the_whole_receiver_has_answered_survives_it(hook: Hook) -> None:
    for number in range(50):
        assert await hook.post(f"evt_{number}", b"{}") == 204
    await until(lambda: "evt_1 {}" in hook.worked_on())
    await hook.kill()
    await hook.start()
    assert await hook.post("evt_0", b"{}") == 204
    assert await hook.post("last", b"{}") == 204
    await until(lambda: "last {}" in hook.worked_on())
    lines = hook.worked_on()
    # What was under way at the end may be worked on twice; what was done and comes again is not.
    assert set(lines) == {*(f"evt_{number} {{}}" for number in range(50)), "last {}"}
    assert (lines.count("evt_0 {}"), lines.count("last {}")) == (1, 1)
