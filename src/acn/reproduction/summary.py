"""From the evaluations of several seeds to one figure with its spread."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from acn.evaluation.evaluate import UNCONDITIONAL
from acn.reproduction.trainings import Result
from acn.runs import read_metrics

Pick = Callable[[Result], float | None]
# Results by variant, one for each seed in the order of the seeds; variants without any are not in it.
Found = Mapping[str, Sequence[Result]]


@dataclass(frozen=True)
class Spread:
    """One figure over seeds; `values` are in the order of the seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation (with n - 1) over the seeds, None for a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Measure:
    """A figure of an evaluation: what tables call it, how it is found, and the decimals that are shown."""

    text: str
    pick: Pick
    digits: int = 2


def over_seeds(results: Sequence[Result], pick: Pick) -> Spread | None:
    """Gather one figure of several seeds; None where there are none, or one of them lacks it."""
    values = [pick(result) for result in results]
    found = [value for value in values if value is not None]
    return Spread(tuple(found)) if found and len(found) == len(values) else None


def figure(key: str) -> Pick:
    """Look up a cost of the evaluation, in nats per image."""
    return lambda result: result.figures.get(key)


def bits(key: str) -> Pick:
    """Look up a cost of the evaluation, in bits per dimension."""
    return lambda result: result.figures["bits_per_dimension"].get(key)


def accuracy(features: str) -> Pick:
    """Look up the accuracy of a linear classifier on `features`, in percent."""
    return lambda result: result.figures["linear_probe"][features]


def unconditional_kl(result: Result) -> float | None:
    """KL to the best of the unconditional priors, which is part of `list`; None for a model without codes."""
    return min((kl for name in UNCONDITIONAL if (kl := result.figures.get(name)) is not None), default=None)


def staleness(result: Result) -> float | None:
    """Mean distance between a stored code and the fresh one that replaces it, over all of the training.

    None where no code was ever replaced, as in a single pass through the images.
    """
    found = [row["staleness"] for row in read_metrics(result.run) if row.get("staleness") is not None]
    return statistics.fmean(found) if found else None


def _training(key: str) -> Pick:
    return lambda result: float(result.figures["training"][key])


def _rate(result: Result) -> float:
    training = result.figures["training"]
    return float(training["images_seen"] / training["seconds"])


MEASURES: dict[str, Measure] = {
    "reconstruction": Measure("reconstruction", figure("reconstruction")),
    "kl_k1": Measure("KL, K = 1", figure("kl_k1")),
    "kl_k5": Measure("KL, K = 5", figure("kl_k5")),
    "kl_tour_greedy": Measure("KL, greedy tour", figure("kl_tour_greedy")),
    "kl_tour_improved": Measure("KL, improved tour", figure("kl_tour_improved")),
    "kl_unconditional": Measure("KL, unconditional", unconditional_kl),
    "list": Measure("list", figure("list")),
    "set": Measure("set", figure("set")),
    "tour": Measure("tour", figure("tour")),
    "tour_restored": Measure("tour, order restored", figure("tour_restored")),
    "list_bits": Measure("list, bits / dim", bits("list"), digits=4),
    "probe": Measure("probe %", accuracy("codes")),
    "code_std": Measure("spread of codes", figure("code_std")),
    "staleness": Measure("staleness", staleness),
    "seconds": Measure("training, s", _training("seconds"), digits=0),
    "images": Measure("images seen", _training("images_seen"), digits=0),
    "rate": Measure("images / s", _rate, digits=0),
    "parameters": Measure("parameters", figure("parameters"), digits=0),
}
