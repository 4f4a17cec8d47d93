"""Nothing that exists is overwritten unless asked for, and never what a command reads."""

import io
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.cli.drawing import picture_path
from acn.cli.main import main
from acn.cli.outputs import PICTURES, check_output
from acn.errors import UsageError
from acn.files import write_atomically, write_folder_atomically
from acn.sampling.grids import grid, save_picture
from tests.cli.command import acn, refused
from tests.cli.test_compress import work  # noqa: F401 - a fixture


def test_a_new_file_may_be_written(tmp_path: Path) -> None:
    check_output(tmp_path / "new.png", force=False, sources=["digits", None, "hub:a/b", ""])


@pytest.mark.parametrize("name", ["\U0001f600" * 60 + ".png", "a." + "é" * 120, "é" * 127])
def test_the_longest_names_can_be_written(name: str, tmp_path: Path) -> None:
    write_atomically(tmp_path / name, lambda path: path.write_bytes(b"whole"))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"whole")]
    write_folder_atomically(tmp_path / "in" / name, lambda path: (path / "a").touch())
    assert (tmp_path / "in" / name / "a").exists()


def test_names_are_printed_with_the_bytes_that_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """And letters that the encoding of the output lacks as Python escapes them."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "argv", ["acn", "--version"])
    try:
        with pytest.raises(SystemExit):
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    output.write(os.fsdecode(b"caf\xe9 ") + "ж")
    output.flush()
    assert output.buffer.getvalue().endswith(b"caf\xe9 \\u0436")


def test_what_exists_is_overwritten_by_force_alone(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_text("old")
    with pytest.raises(UsageError, match="exists already: choose another name, or overwrite it with --force"):
        check_output(tmp_path / "old.png", force=False)
    check_output(tmp_path / "old.png", force=True)


def test_a_place_that_takes_no_file_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    for out in (tmp_path / "file" / "a.acn", tmp_path / "file" / "deeper" / "a.acn"):
        with pytest.raises(UsageError, match=r"a\.acn cannot be written, because .*/file is not a folder"):
            check_output(out, force=True)
    check_output(tmp_path / "made" / "later" / "a.acn", force=False)
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path)  # as for a user who may not write there
    with pytest.raises(UsageError, match=r"cannot be written to .*: choose another place, or change its permissions"):
        check_output(tmp_path / "made" / "a.acn", force=False)


def test_what_is_read_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, link, twin = tmp_path / "a.npz", tmp_path / "link.npz", tmp_path / "twin.npz"
    source.write_text("images")
    link.symlink_to(source)
    os.link(source, twin)
    for out in (source, link, twin, tmp_path / "." / "a.npz"):
        with pytest.raises(UsageError, match="is what the command reads"):
            check_output(out, force=True, sources=[source])
    monkeypatch.setenv("ACN_DATA", str(tmp_path))
    monkeypatch.chdir("/")
    with pytest.raises(UsageError, match="is what the command reads"):
        check_output(source, force=True, sources=["a.npz"])


def test_nothing_is_written_into_a_folder_of_images(tmp_path: Path) -> None:
    images, link = tmp_path / "images", tmp_path / "link"
    (images / "sub").mkdir(parents=True)
    link.symlink_to(images)
    for out in (images / "new.acn", images / "sub" / "new.acn", link / "new.acn", images / "none" / "new.acn"):
        with pytest.raises(UsageError, match="lies in the folder"):
            check_output(out, force=True, sources=[images])


def test_other_things_than_files_stay(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder: give the name of a file"):
        check_output(tmp_path, force=True)
    os.mkfifo(tmp_path / "pipe")
    for out in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError, match="not a regular file"):
            check_output(out, force=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not a regular file"):
        check_output(tmp_path / "dangling", force=True)


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.csv", "a.NPZ", "png"])
def test_a_picture_of_no_known_format_is_refused_before_it_is_drawn(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"-o expects a name that ends in \.png, .* or \.npz, found"):
        picture_path(tmp_path, "samples.png", tmp_path / name, force=False)
    assert picture_path(tmp_path, "samples.png", tmp_path / "a.webp", force=False) == tmp_path / "a.webp"


def test_every_picture_format_can_be_written(tmp_path: Path) -> None:
    for channels in (1, 3):
        pictures = np.zeros((1, 1, 4, 4, channels), np.uint8)
        for suffix in PICTURES:
            save_picture(grid(pictures), tmp_path / f"a{suffix}")
            with Image.open(tmp_path / f"a{suffix}") as read:
                read.load()


def test_a_run_itself_is_never_overwritten(tmp_path: Path) -> None:
    for name in ("config.json", "checkpoint.safetensors", "samples.png"):
        (tmp_path / name).write_text("old")
    for name in ("config.json", "checkpoint.safetensors"):
        with pytest.raises(UsageError, match="is a file of the run"):
            check_output(tmp_path / name, force=True, run=tmp_path)
    check_output(tmp_path / "samples.png", force=True, run=tmp_path)


def test_every_command_that_writes_keeps_what_is_there(work: Path) -> None:  # noqa: F811
    commands = {
        "compress": ("compress", "scans", "old.acn", "--model", "run"),
        "decompress": ("decompress", "kept.acn", "old.npz"),
        "encode": ("encode", "run", "scans", "-o", "old.npz"),
        "evaluate": ("evaluate", "run", "--json", "old.json"),
        "its picture": ("evaluate", "run", "--json", "new.json"),
        "sample": ("sample", "run", "-n", "1", "-o", "old.png"),
        "reconstruct": ("reconstruct", "run", "-n", "1", "-o", "old.png"),
        "neighbours": ("neighbours", "run", "-n", "1", "-o", "old.png"),
        "interpolate": ("interpolate", "run", "-n", "1", "-o", "old.png"),
        "daydream": ("daydream", "run", "-n", "1", "-o", "old.png"),
        "its animation": ("daydream", "run", "-n", "1", "-o", "moving.png"),
        "report": ("report", "run", "-o", "old.html"),
        "export-projector": ("export-projector", "run", "-o", "projector"),
    }
    (work / "projector").mkdir()
    olds = ["old.acn", "old.npz", "old.json", "new.png", "old.png", "moving.gif", "old.html", "projector/sprite.png"]
    for name in olds:
        (work / name).write_text("precious")
    for command in commands.values():
        assert "exists already" in refused(acn(*command, cwd=work), 2)
    assert {(work / name).read_text() for name in olds} == {"precious"}
    assert acn(*commands["sample"], "--force", cwd=work).returncode == 0
    assert (work / "old.png").read_bytes().startswith(b"\x89PNG")


def test_images_are_not_overwritten_by_their_archive(work: Path) -> None:  # noqa: F811
    before = {path: path.read_bytes() for path in (work / "scans").rglob("*.bmp")}
    victim = str(min(before).relative_to(work))
    for out in (victim, "scans/new.acn"):
        assert "which the command reads" in refused(
            acn("compress", "scans", out, "--model", "run", "--force", cwd=work), 2
        )
    assert {path: path.read_bytes() for path in (work / "scans").rglob("*") if path.is_file()} == before
    np.savez(work / "mine.npz", images=np.zeros((3, 8, 8), np.uint8))
    for command in (
        ("compress", "mine.npz", "mine.npz", "--model", "run"),
        ("encode", "run", "mine.npz", "-o", "mine.npz"),
    ):
        assert "is what the command reads" in refused(acn(*command, "--force", cwd=work), 2)


def test_names_in_an_npz_survive_another_archive(work: Path) -> None:  # noqa: F811
    assert acn("decompress", "kept.acn", "names.npz", cwd=work).returncode == 0
    assert acn("compress", "names.npz", "names.acn", "--model", "run", cwd=work).returncode == 0
    assert acn("decompress", "names.acn", "names", cwd=work).returncode == 0
    scans = sorted(str(path.relative_to(work / "scans")) for path in (work / "scans").rglob("*.bmp"))
    assert sorted(str(path.relative_to(work / "names")) for path in (work / "names").rglob("*.bmp")) == scans


def test_what_is_left_out_is_counted(work: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "mixed"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "a.png")
    for name in ("a.txt", "b.txt", "read me", ".hidden"):
        (folder / name).write_text("no image")
    run = str(work / "run")
    done = acn("compress", "mixed", "out.acn", "--model", run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 files were left out: 2 .txt, 1 hidden, 1 without a suffix" in done.stderr
    assert "archive" in done.stderr
    assert "The archive is larger than its source: more images, a model that several archives share" in done.stderr
    done = acn("compress", "mixed", "alone.acn", "--model", run, "--no-embed", cwd=tmp_path)
    assert "The archive is larger than its source: more images, or longer training" in done.stderr
    before = sorted(tmp_path.iterdir())
    done = acn("compress", "mixed", "strict.acn", "--model", run, "--strict", cwd=tmp_path)
    assert "4 files were left out" in refused(done, 1)
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_dropped_of_files_is_counted(work: Path, tmp_path: Path) -> None:  # noqa: F811
    from PIL.PngImagePlugin import PngInfo

    (tmp_path / "in").mkdir()
    text = PngInfo()
    text.add_text("Author", "somebody")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "in" / "a.png", pnginfo=text)
    done = acn("compress", "in", "out.acn", "--model", str(work / "run"), cwd=tmp_path)
    assert "Not kept of files besides their pixels: 1 text" in done.stderr
    assert "1 text" in refused(
        acn("compress", "in", "s.acn", "--model", str(work / "run"), "--strict", cwd=tmp_path), 1
    )


@pytest.mark.parametrize("name", ["a\\b.png", "x" * 251 + ".jpg"])
def test_names_that_cannot_be_restored_are_found_before_coding(name: str, work: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "in").mkdir()
    for number, file in enumerate((name, "x" * 251 + ".png")):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / "in" / file)
    done = acn("compress", "in", "out.acn", "--model", str(work / "run"), cwd=tmp_path)
    assert "the archive could not be restored into a folder" in refused(done, 1)
    assert not (tmp_path / "out.acn").exists()


def test_equal_names_are_told_of_while_an_archive_is_made(work: Path, tmp_path: Path) -> None:  # noqa: F811
    np.savez(tmp_path / "in.npz", images=np.zeros((2, 8, 8), np.uint8), files=["a.png", "a.png"])
    said = refused(acn("compress", "in.npz", "out.acn", "--model", str(work / "run"), cwd=tmp_path), 1)
    assert said.endswith("restored into a folder: two images have the name 'a.png'; rename it first\n")
