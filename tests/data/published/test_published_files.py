"""Downloads: whole, or not at all, and only what was published."""

import hashlib
from pathlib import Path
from typing import BinaryIO

import pytest

from acn.data.published.files import PublishedFile, obtain
from acn.errors import DataError, StorageError
from acn.progress import Advance, Stage

CONTENT = bytes(range(256)) * 4000  # several blocks
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def file(web: Path, server: str) -> PublishedFile:
    (web / "set.bin").write_bytes(CONTENT)
    return PublishedFile(f"{server}/set.bin", MD5, len(CONTENT))


def test_a_file_is_downloaded_once_and_its_progress_is_told(file: PublishedFile, web: Path, tmp_path: Path) -> None:
    heard: list[float] = []
    lengths: list[int] = []

    def stage(name: str, length: int) -> Advance:
        lengths.append(length)
        return heard.append

    path = obtain(file, None, tmp_path / "here", stage)
    assert path.read_bytes() == CONTENT
    assert (lengths, sum(heard)) == ([len(CONTENT)], len(CONTENT))
    (web / "set.bin").unlink()
    assert obtain(file, None, tmp_path / "here", stage) == path


@pytest.mark.parametrize("change", [{"md5": "0" * 32, "size": None}, {"size": 5}])
def test_what_is_served_must_be_the_published_file(
    change: dict[str, str | int | None], file: PublishedFile, tmp_path: Path, stage: Stage
) -> None:
    wanted = PublishedFile(**{"address": file.address, "md5": MD5, "size": len(CONTENT)} | change)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"http://.*set\.bin has .*as published .*the file at its address has changed"):
        obtain(wanted, None, tmp_path / "here", stage)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_changed_file_that_lies_there_is_refused(file: PublishedFile, tmp_path: Path, stage: Stage) -> None:
    path = obtain(file, None, tmp_path, stage)
    path.write_bytes(CONTENT[:-1] + b"\0")
    with pytest.raises(DataError, match=f"has the MD5 .* as published {MD5}; delete it, and it is downloaded again"):
        obtain(file, None, tmp_path, stage)
    with pytest.raises(DataError, match="give the file as published"):
        obtain(file, path, tmp_path, stage)


def test_a_given_file_may_have_another_name(file: PublishedFile, tmp_path: Path, stage: Stage) -> None:
    (tmp_path / "mine.bin").write_bytes(CONTENT)
    assert obtain(file, tmp_path / "mine.bin", tmp_path, stage) == tmp_path / "mine.bin"
    with pytest.raises(DataError, match=r"there is no file .*set\.bin; it is published as http"):
        obtain(file, tmp_path, tmp_path, stage)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_download_that_breaks_off_leaves_no_file(
    error: type[BaseException] | None,
    file: PublishedFile,
    handler: type,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut(self: object, source: object, output: BinaryIO) -> None:
        output.write(CONTENT[: 1 << 19])

    def stage(name: str, length: int) -> Advance:
        def advance(count: float) -> None:
            if error is not None:
                raise error

        return advance

    monkeypatch.setattr(handler, "copyfile", cut, raising=False)
    with pytest.raises(error or DataError, match=None if error else "bytes are missing at its end"):
        obtain(file, None, tmp_path / "here", stage)
    assert list((tmp_path / "here").iterdir()) == []


def test_no_address_and_no_place(file: PublishedFile, tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(DataError, match=r"/none\.bin could not be downloaded \(HTTP Error 404"):
        obtain(PublishedFile(file.address.replace("set", "none")), None, tmp_path, stage)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="could not be written"):
        obtain(file, None, tmp_path / "file", stage)
