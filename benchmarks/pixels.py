"""What training on a share of each image's pixels buys: images per second, and the cost after the same processor time.

The networks and the schedule are those of the recipe `vlae-mnist-cpu`. All shares train in one process and take turns,
the one that has had the least processor time first, so that what else the machine does meets all of them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from acn.config import Config, DataSettings
from acn.data import Collection, batches, epoch_order, open_collection, spread
from acn.divergence import kl
from acn.evaluation.costs import posteriors, reconstruction
from acn.parsing import override
from acn.recipes import recipe
from acn.training.state import TrainingState, new_state
from acn.training.step import rates, read, training_step
from benchmarks._timing import DEVICE

SHARES = (1.0, 0.5, 0.25, 0.125)
SECONDS = 25.0  # of processor time for each share
VALIDATION = 1000
SOURCE = "mnist_static.npz"


@dataclass
class Contender:
    """A training, and the processor seconds that its steps have taken."""

    config: Config
    state: TrainingState
    order: list[torch.Tensor] = field(default_factory=list)
    seconds: float = 0.0
    images: int = 0

    def step(self, collection: Collection) -> None:
        """Take one step; only its processor time counts, with that of reading its images."""
        begin = time.process_time()
        if not self.order:
            order = epoch_order(len(collection.train), self.state.epoch, 0)
            self.order = list(reversed(list(batches(order, self.config.training.batch))))
            self.state.epoch += 1
        rows = self.order.pop()
        batch = (rows.to(DEVICE), collection.train.batch(rows).to(DEVICE))
        now = rates(self.config, self.state.step, self.seconds / SECONDS)
        read([training_step(self.state, self.config, batch, now, self.config.training.precision)])
        self.state.step += 1
        self.images += len(rows)
        self.seconds += time.process_time() - begin


def run(progress: Callable[[str], None], images: str = SOURCE) -> dict[str, object]:
    """Train with every share, and measure the averaged weights on validation images."""
    collection = open_collection(DataSettings(source=images))
    contenders = [_begun(share, collection) for share in SHARES]
    told = 0.0
    while (last := min(contenders, key=lambda contender: contender.seconds)).seconds < SECONDS:
        if last.seconds >= told:
            progress(f"{last.seconds:.0f} of {SECONDS:.0f} processor seconds for each share")
            told += SECONDS / 10
        last.step(collection)
    threads = torch.get_num_threads()
    found: dict[str, object] = {"source": Path(images).name, "processor_seconds": SECONDS, "threads": threads}
    for contender in contenders:
        found[f"share {contender.config.training.pixels:g}"] = _measured(contender, collection)
    return found


def _begun(share: float, collection: Collection) -> Contender:
    config = override(recipe("vlae-mnist-cpu"), [f"training.pixels={share}", "training.precision=bfloat16"])
    return Contender(config, new_state(config, collection.shape, len(collection.train), DEVICE))


@torch.inference_mode()
def _measured(contender: Contender, collection: Collection) -> dict[str, float]:
    model, valid = contender.state.averaged.eval(), collection.valid
    some = valid.take(spread(len(valid), VALIDATION))
    posterior = posteriors(model, some, lambda _: None)
    paid = float(reconstruction(model, some, posterior, 0, lambda _: None).mean())
    z = posterior.sample(torch.Generator().manual_seed(0))
    code = float(kl(posterior, model.prior().cpu(), z).mean())
    return {
        "images_per_processor_second": contender.images / contender.seconds,
        "images": contender.images,
        "reconstruction": paid,
        "kl": code,
        "cost": paid + code,
    }
