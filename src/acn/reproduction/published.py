"""Figures of the literature on binarized MNIST, test split, with their sources.

All as Graves, Menick and van den Oord 2018 (arXiv 1804.02476) print them, in Tables 1 to 3; none was measured here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from acn.evaluation.table import AT_MOST, PAPER, paper_figures
from acn.reproduction.trainings import Result

PAPER_NAME = "Graves, Menick and van den Oord 2018"


@dataclass(frozen=True)
class Published:
    """A figure from the literature; `at_most`: an upper bound of it."""

    value: float
    source: str
    at_most: bool = False


# Model, and what it pays with the order kept, in nats per image (Table 1).
LIKELIHOODS: tuple[tuple[str, Published], ...] = (
    ("Gated PixelCNN (the paper's own)", Published(81.6, PAPER_NAME)),
    ("PixelCNN", Published(81.3, "Oord et al., 2016a")),
    ("Discrete VAE", Published(81.0, "Rolfe, 2016")),
    ("DRAW", Published(81.0, "Gregor et al., 2015", at_most=True)),
    ("Gated PixelVAE", Published(79.5, "Gulrajani et al., 2016")),
    ("PixelRNN", Published(79.2, "Oord et al., 2016a")),
    ("VLAE", Published(79.0, "Chen et al., 2016b")),
    ("GLN", Published(79.0, "Veness et al., 2017")),
    ("MatNet", Published(78.5, "Bachman, 2016", at_most=True)),
)
# Costs of an ACN (Table 2, and its row of Table 1) by the keys of `acn.evaluation.table.COST_ROWS`, nats per image.
COSTS = {key: Published(value, PAPER_NAME, at_most=key in AT_MOST) for key, value in PAPER.items()}
# Accuracy in percent of a linear classifier (Table 3).
ACCURACIES: dict[str, Published] = {
    "pca": COSTS["pca"],
    "pixels": COSTS["pixels"],
    "vae": Published(95.4, PAPER_NAME),
    "pixelvae": Published(97.9, PAPER_NAME),
    "acn": COSTS["codes"],
}


def applies(results: Iterable[Result]) -> bool:
    """Whether published figures may stand beside these: all were measured on the paper's test split."""
    return all(paper_figures(result.figures) for result in results)
