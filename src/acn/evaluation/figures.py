"""The figures of an evaluation, each stated once, and those of the literature that stand beside them.

Tables, reports, cards and the pages of `acn reproduce` are made from `FIGURES`, in its order. A new figure is an entry
here and the code that computes it, in `acn.evaluation.evaluate` or `acn.evaluation.probe`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from acn.config import ModelSettings
from acn.data.published.static_mnist import STATIC_MNIST
from acn.parsing import stored
from acn.record import Evaluation

# Costs are in nats per image, accuracies in percent, "top5" of five guesses; the spread of the codes has their unit.
Unit = Literal["nats", "%", "top5", "code"]
Section = Literal["reconstruction", "kl", "total", "order", "probe", "codes"]
GRAVES, CHEN = "Graves, Menick and van den Oord 2018", "Chen et al. 2017"
PLACES = {GRAVES: "arXiv 1804.02476, Tables 1 to 3", CHEN: "arXiv 1611.02731, section 4.1"}
BITS_DIGITS = 4
NOTHING = "–"
UNCONDITIONAL = "kl_unconditional_"  # begins the keys of KLs to priors that know no neighbour


@dataclass(frozen=True)
class Published:
    """A figure of the literature, test split; `at_most`: an upper bound of it. `digits`: decimals that are printed.

    Those here are of binarized MNIST.
    """

    value: float
    source: str = GRAVES
    at_most: bool = False
    digits: int = 1

    def __str__(self) -> str:
        return f"{'≤ ' if self.at_most else ''}{self.value:.{self.digits}f}"


@dataclass(frozen=True)
class Figure:
    """What an evaluation may report.

    `key`: its name in `evaluation.json`. `text`: its row in a table. `section`: rows between two lines of a table.
    `digits`: decimals that are shown. `short`: its heading as a column, where that is not `text`.
    """

    key: str
    text: str
    section: Section
    unit: Unit = "nats"
    digits: int = 2
    short: str = ""

    @property
    def heading(self) -> str:
        """Of a column."""
        return self.short or self.text

    def of(self, evaluation: Evaluation) -> float | None:
        """Look the figure up; None where it is absent."""
        return (evaluation.probes if self.unit in ("%", "top5") else evaluation.values).get(self.key)


# Keys of accuracies among the first five classes end so; the rest is that of the accuracy.
TOP5 = "_top5"
FIGURES: dict[str, Figure] = {
    figure.key: figure
    for figure in (
        Figure("reconstruction", "reconstruction", "reconstruction"),
        Figure("kl_k1", "KL, nearest neighbour (K = 1)", "kl", short="KL, K = 1"),
        Figure("kl_k5", "KL, K = 5", "kl"),
        Figure("kl_k10", "KL, K = 10", "kl"),
        Figure("kl_tour_greedy", "KL, greedy tour", "kl"),
        Figure("kl_tour_improved", "KL, improved tour", "kl"),
        Figure("kl_unconditional_mixture", "KL, unconditional: Gaussian mixture", "kl"),
        Figure("kl_unconditional_own", "KL, unconditional: the model's own", "kl"),
        Figure("kl_unconditional_associative", "KL, unconditional: associative", "kl"),
        Figure("kl_unconditional_autoregressive", "KL, unconditional: autoregressive", "kl"),
        Figure("list", "list: order kept", "total", short="list"),
        Figure("nll", "negative log-likelihood, sampled (see below)", "total", short="NLL"),
        Figure("set", "set: order forgotten", "total", short="set"),
        Figure("tour", "tour: order forgotten", "total", short="tour"),
        Figure("tour_restored", "tour, order restored", "total"),
        Figure("order_nats", "log(N!)/N, the order", "order"),
        Figure("codes", "codes", "probe", unit="%"),
        Figure("pixels", "pixels", "probe", unit="%"),
        Figure("pca", "PCA of the same size", "probe", unit="%"),
        Figure("random_encoder", "untrained encoder", "probe", unit="%"),
        Figure(f"codes{TOP5}", "codes, top 5", "probe", unit="top5"),
        Figure(f"pixels{TOP5}", "pixels, top 5", "probe", unit="top5"),
        Figure(f"pca{TOP5}", "PCA of the same size, top 5", "probe", unit="top5"),
        Figure(f"random_encoder{TOP5}", "untrained encoder, top 5", "probe", unit="top5"),
        Figure("code_std", "spread of codes", "codes", unit="code"),
    )
}

_graves = Published
_chen = partial(Published, source=CHEN)
# By model, as its settings are `known_as`: what its own paper prints of static MNIST.
PUBLISHED: dict[str, Mapping[str, Published]] = {
    "acn": {
        "reconstruction": _graves(70.3),
        "kl_k1": _graves(2.6),
        "kl_k5": _graves(3.5),
        "kl_k10": _graves(4.1),
        "kl_tour_greedy": _graves(3.6),
        "kl_unconditional_mixture": _graves(10.6),
        "list": _graves(80.9),
        "tour": _graves(73.9, at_most=True),
        "codes": _graves(98.5),
        "pixels": _graves(89.4),
        "pca": _graves(82.8),
    },
    "vlae": {"kl_unconditional_own": _chen(13.3), "nll": _chen(79.03, digits=2)},
    "vlae-factorized": {"kl_unconditional_own": _chen(25.9), "nll": _chen(79.30, digits=2)},
    "vlae-iaf": {"nll": _chen(79.88, digits=2)},
}

# Other models, and their `list` in nats per image (Table 1).
LIKELIHOODS: tuple[tuple[str, Published], ...] = (
    ("Gated PixelCNN (the paper's own)", Published(81.6)),
    ("PixelCNN", Published(81.3, "Oord et al., 2016a")),
    ("Discrete VAE", Published(81.0, "Rolfe, 2016")),
    ("DRAW", Published(81.0, "Gregor et al., 2015", at_most=True)),
    ("Gated PixelVAE", Published(79.5, "Gulrajani et al., 2016")),
    ("PixelRNN", Published(79.2, "Oord et al., 2016a")),
    ("VLAE", Published(79.0, "Chen et al., 2016b")),
    ("GLN", Published(79.0, "Veness et al., 2017")),
    ("MatNet", Published(78.5, "Bachman, 2016", at_most=True)),
)


def figures(unit: Unit) -> list[Figure]:
    """Figures of a unit, in the order of the tables: "nats" are all costs, "%" all linear classifiers."""
    return [figure for figure in FIGURES.values() if figure.unit == unit]


def unconditional_kl(evaluation: Evaluation) -> float | None:
    """KL to the unconditional prior that the run chose: what `list` adds to the reconstruction; None without codes.

    Evaluations from before a run chose one took the smallest.
    """
    if evaluation.prior is not None:
        return evaluation.values[f"{UNCONDITIONAL}{evaluation.prior}"]
    return min(
        (kl for key, kl in evaluation.values.items() if key in FIGURES and key.startswith(UNCONDITIONAL)), default=None
    )


def published(evaluation: Evaluation) -> Mapping[str, Published]:
    """Figures by key that may stand beside these: the same model's, of the same test split, that of static MNIST."""
    if evaluation.data["fingerprint"] != STATIC_MNIST:
        return {}
    return PUBLISHED.get(settings_of(evaluation).known_as or "", {})


def settings_of(evaluation: Evaluation) -> ModelSettings:
    """The settings of the model that was evaluated."""
    return stored(evaluation.config).model


def top5(probe: Figure, evaluation: Evaluation) -> float | None:
    """How often the right class is among the first five by the features of `probe`; None where that is absent."""
    return evaluation.probes.get(f"{probe.key}{TOP5}")


def decimal(value: float | None, digits: int) -> str:
    """Write a figure for a table, a dash where it is absent."""
    return NOTHING if value is None else f"{value:.{digits}f}"
