import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from acn.config import Config, ImageShape
from acn.errors import BusyError, RunError, StorageError, UsageError
from acn.files import write_atomically, write_text_atomically
from acn.runs import create_run, held, open_run
from acn.tensors import read_tensors, write_tensors

SHAPE = ImageShape(height=8, width=8, channels=1, levels=17)


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", Config(), SHAPE, provenance={"source": "digits"}, made={"commit": "abc"})
    assert open_run(tmp_path / "run") == run


def test_a_run_is_not_begun_twice(tmp_path: Path) -> None:
    create_run(tmp_path / "run", Config(), SHAPE, provenance={}, made={})
    with pytest.raises(UsageError, match="already holds a run"):
        create_run(tmp_path / "run", Config(), SHAPE, provenance={}, made={})


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"config": {"nonsense": 1}, "shape": {}, "data": {}}', "\x00"])
def test_damaged_settings_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match="damaged or of another version"):
        open_run(tmp_path)


def test_tensors_and_facts_are_read_back(tmp_path: Path) -> None:
    tensors = {"a.x": torch.arange(4.0), "b.y": torch.tensor([True, False])}
    write_tensors(tmp_path / "file.safetensors", tensors, {"step": 3})
    found, facts = read_tensors(tmp_path / "file.safetensors", prefix="a.")
    assert facts == {"step": 3}
    assert list(found) == ["x"]
    assert torch.equal(found["x"], tensors["a.x"])


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"not a checkpoint", os.urandom(1000), b"\xff" * 1000):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(RunError, match="truncated or damaged"):
            read_tensors(tmp_path / "file")


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_text_atomically(target, "first")

    def fail(temporary: Path) -> None:
        temporary.write_text("sec")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, fail)
    assert target.read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "a", "text")
    (tmp_path / "b").write_text("text")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    def write(_: Path) -> None:
        with open("/dev/full", "w") as stream:
            stream.write("text" * 10000)

    with pytest.raises(StorageError, match=r"could not be written \(No space left on device\); free some space"):
        write_atomically(tmp_path / "file", write)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_file_sizes_is_named(tmp_path: Path) -> None:
    """In a program of its own, because the limit is one of a process."""
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom acn.files import write_text_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "write_text_atomically(Path(sys.argv[1]), 'text' * 1000)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], capture_output=True, text=True)
    assert "could not be written (File too large); raise the limit of file sizes (ulimit -f)" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/stdout"), Path("/dev/null")):
        before = os.lstat(path)
        with pytest.raises(StorageError, match="is a device or a pipe, which no file may replace"):
            write_text_atomically(path, "text")
        assert os.lstat(path)[:2] == before[:2]  # mode and inode
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(StorageError, match="could not be written"):
        write_text_atomically(tmp_path / "file", "text")


HOLD = """
import sys
from pathlib import Path
from acn.runs import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds `path` until it reads a line, or is killed at the end of the block."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_is_held_by_one_process_until_it_is_killed(tmp_path: Path) -> None:
    run, message = tmp_path / "run", "run is being trained by another process"
    with holder(run) as process:
        with pytest.raises(BusyError, match=message), held(run):
            pass
        process.kill()
        process.wait()
        with held(run):
            pass


@pytest.mark.slow
def test_a_process_may_hold_a_run_repeatedly(tmp_path: Path) -> None:
    with held(tmp_path):
        with held(tmp_path):
            pass
        other = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path)], check=False, capture_output=True, input="\n", text=True
        )
        assert "BusyError" in other.stderr
    with holder(tmp_path):
        pass


def test_a_folder_that_cannot_be_held_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/run/\.lock could not be written"), held(tmp_path / "file" / "run"):
        pass
