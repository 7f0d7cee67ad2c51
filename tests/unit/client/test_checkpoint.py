from __future__ import annotations

from pathlib import Path

import pytest

from headrace.client import Checkpoint, CheckpointError


def test_a_checkpoint_gives_back_the_last_offset_that_was_saved(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "position", "flights")
    assert checkpoint.load() is None
    checkpoint.save("a")
    checkpoint.save("b")
    assert Checkpoint(tmp_path / "position", "flights").load() == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["position"]


def test_a_checkpoint_of_another_feed_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "position", "flights").save("a")
    with pytest.raises(CheckpointError, match="of the feed flights"):
        Checkpoint(tmp_path / "position", "aircraft").load()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"feed":"flights"}', b"\xff"])
def test_a_file_that_is_no_checkpoint_is_refused_and_not_overwritten(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        Checkpoint(path, "flights").load()
    assert path.read_bytes() == content


def test_a_directory_that_is_not_there_is_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no directory"):
        Checkpoint(tmp_path / "missing" / "position", "flights").load()


def test_a_position_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "position", "flights")
    checkpoint.path.mkdir()
    with pytest.raises(CheckpointError, match="could not be written"):
        checkpoint.save("a")
    assert [path.name for path in tmp_path.iterdir()] == ["position"]
