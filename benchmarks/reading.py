"""How long a training step waits for its images, of which a million lie in a file."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from acn.config import ImageShape
from acn.data import Images, batches, epoch_order, read_ahead
from acn.data.palette import Bytes
from acn.parsing import override
from acn.recipes import recipe
from acn.training.state import new_state
from acn.training.step import rates, training_step

IMAGES, BATCH, STEPS = 10**6, 64, 12
SHAPE = ImageShape(height=28, width=28, channels=1, levels=2)


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Take steps of `mnist-cpu` (batch 64, float32) on a memory-mapped array of random bits, in the order of an epoch.

    `waiting_share`: of the time of a step, what passes until its batch is there. The neighbours are sought among 10,000
    codes alone, so that the steps are no longer than they have to be. `order_seconds`: to shuffle an epoch.
    """
    with tempfile.TemporaryDirectory() as folder:
        images = Images(_pixels(Path(folder) / "images.npy"), np.array([0, 255], dtype=np.uint8))
        progress(f"{IMAGES:,} images are written")
        begin = time.process_time()
        order = epoch_order(IMAGES, 0, 0)
        shuffled = time.process_time() - begin
        config = override(recipe("mnist-cpu"), [f"training.batch={BATCH}"])
        state = new_state(config, SHAPE, 10_000, torch.device("cpu"))
        waits, steps = [], []
        ahead: Iterator[tuple[torch.Tensor, torch.Tensor]] = read_ahead(
            lambda rows: (torch.arange(len(rows)), images.batch(rows)), batches(order[: BATCH * (STEPS + 2)], BATCH)
        )
        for _ in range(STEPS + 1):
            begin = time.perf_counter()
            batch = next(ahead)
            met = time.perf_counter()
            training_step(state, config, batch, rates(config, state.step, 0.0), "float32")
            state.step += 1
            waits.append(met - begin)
            steps.append(time.perf_counter() - begin)
        share = sum(waits[1:]) / sum(steps[1:])
    progress(f"a step waits for {100 * share:.2f} % of its time")
    return {"images": IMAGES, "batch": BATCH, "steps": STEPS, "waiting_share": share, "order_seconds": shuffled}


def _pixels(path: Path) -> Bytes:
    """Random bits, a memory map that nothing has been read of yet."""
    generator = np.random.default_rng(0)
    shape = (IMAGES, SHAPE.height, SHAPE.width, 1)
    written = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, IMAGES, 2**14):
        part = written[start : start + 2**14]
        part[:] = (generator.integers(0, 256, part.shape, dtype=np.uint8) > 200) * np.uint8(255)
    written.flush()
    mapped: Bytes = np.load(path, mmap_mode="r")
    return mapped
