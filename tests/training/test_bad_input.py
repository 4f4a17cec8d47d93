"""What is wrong with the images of one of several processes, or with its clock: one sentence, and all end alike."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from acn.cli.encode import write_codes
from acn.config import DataSettings
from acn.data import open_collection, order
from acn.progress import unwatched
from acn.ranks import ONE, Ranks
from acn.run_models import load_model
from acn.runs import open_run
from acn.training.opening import open_together, resume_or_begin
from acn.training.state import save_state
from tests.training.conftest import Bench
from tests.training.several import started, together
from tests.training.test_ranks import sitting

CPU = torch.device("cpu")


def pictures(folder: Path, *, count: int) -> Path:
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        for number in range(20):
            image = Image.fromarray(generator.integers(0, 17, (8, 8), dtype=np.uint8))
            if number < count:
                image.save(folder / split / f"{number:02}.png")
    return folder


def missing(ranks: Ranks, bench: Bench) -> None:
    """The machine of rank 1 does not have the images."""
    open_collection(DataSettings(source=str(pictures(bench.folder / "0", count=20) if ranks.leads else "nowhere.npz")))
    ranks.agree(0.0, False)


def changed(ranks: Ranks, bench: Bench) -> None:
    """A file went before rank 1 listed the folder."""
    folder = pictures(bench.folder / f"{ranks.rank}", count=20 - ranks.rank)
    collection = open_collection(DataSettings(source=str(folder)))
    config = bench.config("training.precision=float32")
    ranks.check_batch(len(collection.train))
    open_together(ranks, lambda: resume_or_begin(bench.folder / "run", config, collection, CPU), collection, CPU)
    ranks.agree(0.0, False)


def gone(ranks: Ranks, bench: Bench) -> None:
    """A file goes between being listed and being read by the rank whose part it is."""
    folder = pictures(bench.folder / f"{ranks.rank}", count=20)
    run = open_run(bench.folder / "trained")
    order.PIXELS_AT_ONCE = 64 * 5

    def stage(*_: object) -> Callable[[float], None]:
        (folder / "test" / "19.png").unlink(missing_ok=True)
        return lambda _: None

    write_codes(run, load_model(run), str(folder), bench.folder / "codes.npz", stage, ranks=ranks)


def listed_otherwise(ranks: Ranks, bench: Bench) -> None:
    folder = pictures(bench.folder / f"{ranks.rank}", count=20 - ranks.rank)
    run = open_run(bench.folder / "trained")
    write_codes(run, load_model(run), str(folder), bench.folder / "codes.npz", unwatched, ranks=ranks)


def too_many(ranks: Ranks, bench: Bench) -> None:
    ranks.check_batch(1)


@pytest.mark.parametrize(
    ("wrong", "words", "status"),
    [
        (missing, "there is no file or folder 'nowhere.npz'", 1),
        (changed, "rank 1 on .* found other images than rank 0", 1),
        (gone, "19.png could not be read", 1),
        (listed_otherwise, "rank 1 on .* found other images than rank 0", 1),
        (too_many, "2 processes have 1 images of a batch to share", 2),
    ],
)
def test_one_process_says_it_and_all_end_alike(
    bench: Bench, wrong: Callable[..., Any], words: str, status: int
) -> None:
    run, state = bench.begin("trained")
    save_state(run, state)
    with started(wrong, 2, bench.folder / "found", bench) as processes:
        for process in processes:
            process.join(60)
    (sentence,) = (bench.folder / "found").glob("error-*")
    assert re.search(words, sentence.read_text())
    assert [process.exitcode for process in processes] == [status] * 2


def hurried(ranks: Ranks, bench: Bench) -> tuple[int, float, dict[str, torch.Tensor]]:
    """Train by the clock while that of rank 1 is days ahead, and a hundred times as fast."""
    right = time.monotonic
    if not ranks.leads:
        time.monotonic = lambda: 1e6 + 100 * right()
    return sitting(ranks, bench, -1, "training.max_minutes=0.02", "training.schedule=cosine")


def test_rank_0s_clock_is_that_of_all(bench: Bench) -> None:
    one, other = together(hurried, 2, bench.folder / "found", bench)
    assert one[:2] == other[:2]
    assert one[1] < 60
    assert all(torch.equal(tensor, other[2][name]) for name, tensor in one[2].items())


def few(ranks: Ranks, bench: Bench) -> bytes:
    """Encode as many images as there are ranks but one."""
    run, out = open_run(bench.folder / "trained"), bench.folder / f"codes-{ranks.count}.npz"
    write_codes(run, load_model(run), str(bench.folder / "three.npy"), out, unwatched, ranks=ranks)
    return out.read_bytes() if ranks.leads else b""


def test_a_rank_without_images_has_nothing_to_do(bench: Bench) -> None:
    run, state = bench.begin("trained")
    save_state(run, state)
    np.save(bench.folder / "three.npy", bench.collection.train.values(range(3)))
    alone = few(ONE, bench)
    assert together(few, 4, bench.folder / "found", bench) == [alone, b"", b"", b""]
