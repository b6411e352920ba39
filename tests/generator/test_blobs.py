"""What was compiled is kept whole or not at all, and nothing else comes back."""

import logging
from pathlib import Path

import pytest

from edgegan.generator.blobs import keep, kept, key_of


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    keep(tmp_path, "key", b"blob")
    keep(tmp_path, "other", b"another")
    assert (kept(tmp_path, "key"), kept(tmp_path, "other")) == (b"blob", b"another")
    assert len(list(tmp_path.iterdir())) == 2, "something was left beside"


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert kept(tmp_path, "key") is None
    assert kept(tmp_path / "missing", "key") is None


@pytest.mark.parametrize("damage", [b"", b"short", bytes(1000)])
def test_what_is_damaged_does_not_come_back(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, "key", b"blob" * 100)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    assert kept(tmp_path, "key") is None
    assert "damaged" in caplog.text
    keep(tmp_path, "key", b"anew")
    assert kept(tmp_path, "key") == b"anew"


def test_one_flipped_bit_is_damage(tmp_path: Path) -> None:
    keep(tmp_path, "key", b"blob" * 100)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    assert kept(tmp_path, "key") is None


def test_a_blob_under_the_name_of_another_does_not_come_back(tmp_path: Path) -> None:
    keep(tmp_path, "key", b"blob")
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / "other.blob")
    assert kept(tmp_path, "other") is None


def test_a_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("precious")
    with caplog.at_level(logging.WARNING):
        keep(tmp_path / "file", "key", b"blob")
        keep(tmp_path / "missing", "key", b"blob")
    assert caplog.text.count("is not kept in") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_every_part_counts_for_the_key() -> None:
    keys = {key_of("a", "b"), key_of("ab"), key_of("a", "b", ""), key_of(b"a", b"c"), key_of("b", "a")}
    assert len(keys) == 5
    assert key_of("a", 1) == key_of("a", "1")
