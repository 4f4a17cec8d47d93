"""What training on a source would be, by an inspection of it: the run that would begin, or why none would."""

from dataclasses import dataclass
from typing import Any

from acn.config import Config, ImageShape
from acn.data import Inspection
from acn.memory import check_neighbours
from acn.models import weights_in
from acn.training.loop import make_plan
from acn.training.opening import with_fewer_neighbours
from acn.training.state import check_memory
from acn.wording import counted

# After 40 steps 60 scans cost 8.00 bits per dimension, as noise does; 240 make a rough map of digits.
ENOUGH_STEPS = 200


@dataclass(frozen=True)
class Prospect:
    """A run that could begin.

    `images`: of each split; those in `drawn` the source does not bring. `neighbours`: K, None where the model asks for
    none.
    """

    images: dict[str, int]
    drawn: tuple[str, ...]
    shape: ImageShape
    neighbours: int | str | None
    weights: int

    def facts(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "images": self.images,
            "drawn": list(self.drawn),
            "shape": self.shape.model_dump(),
            "neighbours": self.neighbours,
            "weights": self.weights,
        }


def too_few_steps(config: Config, images: int) -> str | None:
    """What to say where the epochs of so many images make fewer than `ENOUGH_STEPS`, None where they do not.

    Rates, averages and weights of the KL change with the steps: a recipe for thousands of images, on a few dozen, ends
    before it has learned anything.
    """
    steps, epochs = make_plan(config, images).steps, config.training.epochs
    if steps >= ENOUGH_STEPS:
        return None
    more = -(-ENOUGH_STEPS * epochs // steps)
    return (
        f"{counted(epochs, 'epoch')} of {counted(images, 'image')}: only {counted(steps, 'step')}, too few to learn "
        f"much; train longer with --set training.epochs={more}"
    )


def ended_too_soon(config: Config, steps: int, images: int) -> str | None:
    """What to say where the time was over before so many images had been learned from, None where it was not."""
    minutes = config.training.max_minutes
    if minutes is None or steps >= min(ENOUGH_STEPS, make_plan(config, images).steps):
        return None
    were = "was" if minutes == 1 else "were"
    return (
        f"{counted(minutes, 'minute')} {were} over after {counted(steps, 'step')}, too few to learn much: samples will "
        "look like noise; train again with a larger --max-minutes"
    )


def foresee(config: Config, inspection: Inspection, *, lower: bool) -> Prospect:
    """Say what a training by the settings would begin with; with `lower`, with as small a K as few images ask for.

    Raises:
        DataError, UsageError: it would be refused.
    """
    splits = inspection.as_trained(config.data)
    count, shape = len(splits["train"]), splits["train"].shape
    weights = weights_in(config.model, shape)
    check_memory(weights)
    memory = (with_fewer_neighbours(config, count) if lower else config).memory
    if config.model.conditional:
        check_neighbours(memory, count)
    return Prospect(
        images={split: len(images) for split, images in splits.items()},
        drawn=tuple(split for split in splits if split not in inspection.splits),
        shape=shape,
        neighbours=memory.neighbours if config.model.conditional else None,
        weights=weights,
    )
