"""The model that the benchmarks of archives measure, `mnist`, which comes with the package, and images for it."""

from pathlib import Path

from torch import Tensor

from acn.data import open_collection, spread
from acn.runs import Run, open_run

RUN = Path("mnist")
EVALUATION = Path(__file__).parent.parent / "results" / "mnist.json"  # of the same weights


def shipped() -> Run:
    """Open the model."""
    return open_run(RUN)


def levels_of(run: Run, count: int | None = None) -> Tensor:
    """Level indices `[B, C, H, W]` of all test images, or of `count` evenly spaced ones (they are sorted by label)."""
    test = open_collection(run.config.data).test
    return test.batch(spread(len(test), len(test) if count is None else count))
