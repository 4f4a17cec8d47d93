"""Blocks by several processes: the same bytes, and an end to all of them."""

import multiprocessing
import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acn.codec import layout
from acn.codec.archive import read
from acn.codec.archiver import compress_splits
from acn.codec.restoring import model_of, restore_each
from acn.codec.workers import Job, in_order, serve, shared_among
from acn.data import ALL_BYTES, Images
from acn.errors import ArchiveError
from acn.progress import Advance
from acn.ranks import ONE, Ranks
from tests.codec.models import tiny_pixelcnn
from tests.training.several import started, together


def end_of_processes() -> None:
    """See that soon no process is left; who else waits for one may know of its end first."""
    until = time.monotonic() + 20
    while multiprocessing.active_children():
        assert time.monotonic() < until
        time.sleep(0.02)


def quiet(_: float) -> None: ...


def work(shared: int, task: int, _progress: Advance) -> int:
    """Add, fail, or die."""
    if task < 0:
        raise ArchiveError("below zero")
    if task > 1000:
        os.kill(os.getpid(), signal.SIGKILL)
    return shared + task


def jobs(*tasks: int) -> Any:  # noqa: ANN401 - jobs
    return [Job(task, 1, quiet) for task in tasks]


def test_any_number_of_processes_writes_and_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK", 150)
    model = tiny_pixelcnn((5, 4, 3, 256))
    images = np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3), np.uint8)
    splits, heard = {"images": Images(images, ALL_BYTES)}, list[float]()
    one = compress_splits(splits, model)
    assert compress_splits(splits, model, workers=2, stage=lambda _name, _length: heard.append) == one
    assert sum(heard) == 24
    archive = read(bytearray(one[:-20]) + bytes(20))
    assert len(archive.header.blocks) == 6
    frozen = model_of(archive)
    alone, together = (list(restore_each(archive, frozen, range(6), workers=workers)) for workers in (1, 2))
    for some, others in zip(alone[:5], together[:5], strict=True):
        np.testing.assert_array_equal(some, others)
    assert str(alone[5]) == str(together[5])
    assert str(alone[5]).startswith("block 6 of 6 (images 10 to 11 of images) is damaged")


def test_errors_of_a_process_end_all_of_them() -> None:
    found = in_order(work, 10, jobs(1, 2, -1, 3), 2)
    assert [next(found), next(found)] == [11, 12]
    with pytest.raises(ArchiveError, match="below zero"):
        next(found)
    end_of_processes()


def deaf(_shared: int, _task: int, _progress: Advance) -> bool:
    """Whether Ctrl-C waits."""
    return not hasattr(signal, "pthread_sigmask") or signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_who_stops_early_ends_all_of_them_and_ctrl_c_none() -> None:
    found = in_order(deaf, 10, jobs(1, 2, 3, 4), 2)
    assert next(found)
    assert not deaf(0, 0, quiet)
    found.close()
    end_of_processes()


def test_a_process_that_was_killed_is_said() -> None:
    with pytest.raises(ArchiveError, match="use fewer --workers"):
        list(in_order(work, 10, jobs(1, 2000, 3), 2))


def written_and_read(ranks: Ranks, path: Path) -> bytes:
    """Compress and restore twelve images of six blocks by the commands, as rank 0, or help it."""
    layout.BLOCK = 150
    archive, restored = path / f"{ranks.count}.acn", path / f"restored-{ranks.count}.npz"
    if not ranks.leads:
        serve(ranks)
        return b""
    with shared_among(ranks):
        model, images = (
            tiny_pixelcnn((5, 4, 3, 256)),
            np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3), np.uint8),
        )
        archive.write_bytes(compress_splits({"images": Images(images, ALL_BYTES)}, model))
        found = read(archive.read_bytes())
        blocks = [np.asarray(block) for block in restore_each(found, model_of(found), range(6))]
    np.savez(restored, *blocks)
    assert sum(map(len, blocks)) == 12
    return archive.read_bytes() + restored.read_bytes()


@pytest.mark.parametrize("count", [2, 4])
def test_ranks_write_and_read_the_same(count: int, tmp_path: Path) -> None:
    alone = written_and_read(ONE, tmp_path)
    assert together(written_and_read, count, tmp_path / "found", tmp_path) == [alone, *[b""] * (count - 1)]


def stopping_early(ranks: Ranks) -> list[int]:
    if not ranks.leads:
        serve(ranks)
        return []
    with shared_among(ranks):
        with closing(in_order(work, 10, jobs(1, 2, 3, 4, 5), 1)) as some:
            first = next(some)
        return [first, *in_order(work, 20, jobs(1, 2), 1)]


def test_ranks_are_free_when_who_asked_stops_early(tmp_path: Path) -> None:
    with started(stopping_early, 2, tmp_path) as processes:
        for process in processes:
            process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert torch.load(tmp_path / "found-0") == [11, 21, 22]


def failing(ranks: Ranks) -> None:
    if not ranks.leads:
        serve(ranks)
        return
    with shared_among(ranks):
        list(in_order(work, 0, jobs(1, -1, 2), 1))


def test_a_block_that_fails_on_a_rank_is_one_sentence(tmp_path: Path) -> None:
    with started(failing, 2, tmp_path) as processes:
        for process in processes:
            process.join(60)
    (sentence,) = tmp_path.glob("error-*")
    assert sentence.read_text() == "below zero"
    assert [process.exitcode for process in processes] == [1, 1]
