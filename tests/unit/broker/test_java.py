from headrace.broker.java import parse_version


def test_the_major_version_is_read_from_old_and_new_numbering() -> None:
    assert parse_version('openjdk version "17.0.15" 2025-04-15') == 17
    assert parse_version('java version "1.8.0_292"') == 8
    assert parse_version('openjdk version "25" 2025-09-16') == 25


def test_other_output_has_no_version() -> None:
    assert parse_version("command not found") is None
