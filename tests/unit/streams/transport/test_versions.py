"""The self-check of versions."""

from __future__ import annotations

import pytest

from headrace.streams.transport.versions import TESTED, UntestedVersion, check_versions


def test_the_installed_versions_are_those_that_were_tested() -> None:
    check_versions()


def test_another_version_is_refused_with_what_to_install() -> None:
    with pytest.raises(UntestedVersion, match=r"pip install 'faust-streaming==0\.15\.3'"):
        check_versions({**TESTED, "faust-streaming": "0.16.0"}.__getitem__)
