"""Files as sources: the records of each kind of file, their ids, times and faults."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest

from headrace.producers.replay.data_file import DataFile
from headrace.producers.replay.row import Row, SourceError, Unfit
from headrace.schemas.catalogue import Catalogue
from headrace.schemas.codec import AvroCodec

HEADER = "id,at,day,fare,km,note,shared,kind,from,to,tags\n"
LINE = '7,2013-01-01T10:00:00.123456Z,2013-01-01,12.30,,,true,TAXI,"{""name"":""A"",""left"":null}",,"[""x"",""y""]"\n'

DECODED = {
    "id": 7,
    "at": datetime(2013, 1, 1, 10, 0, 0, 123456, UTC),
    "day": date(2013, 1, 1),
    "fare": Decimal("12.30"),
    "km": None,
    "note": None,
    "shared": True,
    "kind": "TAXI",
    "from": {"name": "A", "left": None},
    "to": None,
    "tags": ["x", "y"],
}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def stored(source: DataFile, catalogue: Catalogue, feed: str) -> list[Any]:
    """What a reader of the feed would get."""
    codec = catalogue[feed].codec
    encode = source.encoder(codec)
    values = []
    for row in source.rows(0):
        assert isinstance(row, Row), row
        values.append(codec.decode(encode(row.data)))
    return values


def avro_schema(catalogue: Catalogue) -> Any:
    codec = catalogue["rides"].codec
    assert isinstance(codec, AvroCodec)
    return codec.schema.parsed


def test_text_in_csv_becomes_what_the_schema_says(tmp_path: Path, catalogue: Catalogue) -> None:
    source = DataFile(write(tmp_path / "rides.csv", HEADER + LINE), catalogue["rides"])
    assert stored(source, catalogue, "rides") == [DECODED]


def test_numbers_in_csv_count_the_units_of_a_logical_type(tmp_path: Path, catalogue: Catalogue) -> None:
    line = LINE.replace("2013-01-01T10:00:00.123456Z", "1357034400123456").replace(
        ',"{""name"":""A"",""left"":null}",,',
        ',"{""name"":""A"",""left"":1357034400000}","{""name"":""B"",""left"":null}",',
    )
    source = DataFile(write(tmp_path / "r.csv", HEADER + line), catalogue["rides"], time_field="at")
    [row] = list(source.rows(0))
    assert isinstance(row, Row)
    assert row.time_ms == 1357034400123
    [value] = stored(source, catalogue, "rides")
    assert value == {
        **DECODED,
        "from": {"name": "A", "left": datetime(2013, 1, 1, 10, tzinfo=UTC)},
        "to": {"name": "B", "left": None},
    }


def test_csv_for_a_feed_without_a_schema_stays_text(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write(tmp_path / "notes.csv", '\ufeffwho,what\nme,1\n\nyou,"two\nlines"\nhe,3\n')
    rows = list(DataFile(path, catalogue["notes"]).rows(0))
    assert [(row.line, row.data) for row in rows if isinstance(row, Row)] == [
        (2, {"who": "me", "what": "1"}),
        (4, {"who": "you", "what": "two\nlines"}),
        (6, {"who": "he", "what": "3"}),
    ]


def test_ndjson_is_read_line_by_line(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write(tmp_path / "notes.ndjson", '{"who":"me"}\n\n{"who":\n{"who":"you"}')
    rows = list(DataFile(path, catalogue["notes"]).rows(0))
    assert [(row.number, row.line, isinstance(row, Row)) for row in rows] == [(1, 1, True), (2, 3, False), (3, 4, True)]


def test_a_container_file_keeps_its_types(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "rides.avro"
    with path.open("wb") as file:
        fastavro.writer(file, avro_schema(catalogue), [DECODED, {**DECODED, "id": 8}])
    source = DataFile(path, catalogue["rides"], id_field="id", time_field="day")
    assert [(row.id, row.time_ms) for row in source.rows(0) if isinstance(row, Row)] == [
        ("7", 1356998400000),
        ("8", 1356998400000),
    ]
    assert stored(source, catalogue, "rides") == [DECODED, {**DECODED, "id": 8}]


def test_a_container_file_becomes_json_in_a_feed_of_json(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "rides.avro"
    with path.open("wb") as file:
        fastavro.writer(file, avro_schema(catalogue), [DECODED])
    source, codec = DataFile(path, catalogue["notes"]), catalogue["notes"].codec
    [row] = source.rows(0)
    assert isinstance(row, Row)
    assert orjson.loads(source.encoder(codec)(row.data)) == {
        **DECODED,
        "at": "2013-01-01T10:00:00.123456Z",
        "day": "2013-01-01",
        "fare": "12.30",
    }


def test_a_container_file_of_another_schema_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "other.avro"
    schema = {"type": "record", "name": "Other", "fields": [{"name": "x", "type": "int"}]}
    with path.open("wb") as file:
        fastavro.writer(file, schema, [{"x": 1}])
    with pytest.raises(SourceError, match=r"other\.avro, its schema cannot be read as test\.Ride"):
        list(DataFile(path, catalogue["rides"]).rows(0))


def test_a_cut_container_file_tells_where_it_ends(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "cut.avro"
    schema = {"type": "record", "name": "Other", "fields": [{"name": "x", "type": "int"}]}
    with path.open("wb") as file:
        fastavro.writer(file, schema, [{"x": n} for n in range(10)])
    write(path, path.read_bytes()[:-5])
    with pytest.raises(SourceError, match=r"cut\.avro, after record \d+: "):
        list(DataFile(path, catalogue["notes"]).rows(0))


@pytest.mark.parametrize("name", ["notes.csv.gz", "notes.CSV.GZ"])
def test_compressed_files_are_read_through(tmp_path: Path, catalogue: Catalogue, name: str) -> None:
    path = write(tmp_path / name, gzip.compress(b"who\nme\nyou\n"))
    source = DataFile(path, catalogue["notes"])
    assert [row.data for row in source.rows(0) if isinstance(row, Row)] == [{"who": "me"}, {"who": "you"}]
    assert source.fraction() == 1.0


def test_a_cut_compressed_file_is_an_error(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write(tmp_path / "notes.csv.gz", gzip.compress(b"who\nme\nyou\n" * 1000)[:-20])
    with pytest.raises(SourceError, match=r"notes\.csv\.gz: "):
        list(DataFile(path, catalogue["notes"]).rows(0))


def test_ids_are_the_same_for_the_same_content_only(tmp_path: Path, catalogue: Catalogue) -> None:
    def ids(name: str, content: str) -> list[str]:
        rows = DataFile(write(tmp_path / name, content), catalogue["notes"]).rows(0)
        return [row.id for row in rows if isinstance(row, Row)]

    first = ids("a.csv", "who\nme\nyou\n")
    assert len(set(first)) == 2
    assert all(each.startswith("a.csv-") for each in first)
    assert ids("a.csv", "who\nme\nyou\n") == first
    assert not set(ids("a.csv", "who\nme\nhe\n")) & set(first)


def test_rows_above_a_number_are_those_of_a_whole_reading(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write(tmp_path / "a.csv", "who\n" + "".join(f"{n}\n" for n in range(100)))
    source = DataFile(path, catalogue["notes"])
    whole = list(source.rows(0))
    assert list(source.rows(60)) == whole[60:]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINE.replace("7,", "seven,", 1), '/id expected a whole number, got "seven"'),
        (LINE.replace("true", "maybe"), '/shared expected true or false, got "maybe"'),
        (LINE.replace("Z,2013", "Z,far,2013"), "12 cells, and the header has 11"),
        (LINE.replace('"[""x"",""y""]"', "x"), '/tags expected JSON, got "x"'),
        (LINE.replace(",,,true", ",far,,no").replace("7,", ",", 1), '/id expected a whole number, got ""; /km'),
    ],
)
def test_a_bad_cell_is_told_with_its_line_and_field(
    tmp_path: Path, catalogue: Catalogue, line: str, reason: str
) -> None:
    source = DataFile(write(tmp_path / "r.csv", HEADER + LINE + line + LINE), catalogue["rides"])
    good, bad, after = source.rows(0)
    assert isinstance(good, Row)
    assert isinstance(bad, Unfit)
    assert (bad.place, bad.reason[: len(reason)]) == ("line 3", reason)
    assert isinstance(after, Row)
    assert after.number == 3


def test_text_that_is_not_utf_8_is_a_bad_cell(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write(tmp_path / "n.csv", b"who\nM\xfcller\nme\n")
    bad, good = DataFile(path, catalogue["notes"]).rows(0)
    assert bad == Unfit(1, "/who is not UTF-8", 2)
    assert isinstance(good, Row)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "line 1: no header"),
        ("a,a\n1,2\n", "line 1: a column's name occurs twice"),
        ('a\n1\n"2\n3\n', "line 3: unexpected end of data"),
    ],
)
def test_what_is_not_csv_is_an_error(tmp_path: Path, catalogue: Catalogue, content: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        list(DataFile(write(tmp_path / "a.csv", content), catalogue["notes"]).rows(0))


def test_a_record_without_its_id_or_time_does_not_fit(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write(
        tmp_path / "n.ndjson", '{"who":"me","at":"2013-01-01T00:00:00Z"}\n{"at":1}\n{"who":"me","at":"noon"}\n[]'
    )
    rows = list(DataFile(path, catalogue["notes"], id_field="who", time_field="at").rows(0))
    assert [row.id if isinstance(row, Row) else row.reason for row in rows] == [
        "me",
        "/who has no value, and it is the event's id",
        '/at "noon" is no RFC 3339 time, and it is the event\'s time',
        "/who has no value, and it is the event's id",
    ]


def test_a_file_that_cannot_be_used_is_told_at_once(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(SourceError, match=r"missing\.csv: No such file"):
        DataFile(tmp_path / "missing.csv", catalogue["notes"])
    with pytest.raises(SourceError, match=r"its name must end in \.csv, \.ndjson"):
        DataFile(write(tmp_path / "a.xml", ""), catalogue["notes"])
    with pytest.raises(SourceError, match=r"--time-field when: test\.Ride has no such field; it has id, at"):
        DataFile(write(tmp_path / "a.csv", HEADER), catalogue["rides"], time_field="when")
