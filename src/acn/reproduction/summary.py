"""What a part of the reproduction is made from: the evaluations of several seeds, each figure with its spread."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from acn.config import DecoderSettings
from acn.data import Collection
from acn.evaluation.figures import BITS_DIGITS, FIGURES, UNCONDITIONAL, Figure, unconditional_kl
from acn.networks.centred import pixels_seen
from acn.progress import Stage
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


@dataclass(frozen=True)
class PageInputs:
    """What a page is made of: results by variant, the images, and where its pictures go.

    `device`: where networks that draw pictures run. `stage`: where the progress of drawing goes.
    """

    found: Found
    collection: Collection
    folder: Path
    device: torch.device
    stage: Stage

    @property
    def results(self) -> list[Result]:
        """Of all variants and seeds."""
        return [result for results in self.found.values() for result in results]

    @property
    def papers(self) -> bool:
        """Whether the images are those of the published figures."""
        return all(result.training.study.comparable(result.evaluation.data) for result in self.results)

    @property
    def difference(self) -> str:
        """Why the figures are not the published ones."""
        training = self.results[0].training
        return training.study.differences[training.scale]

    def cells(self, variant: str, keys: Sequence[str]) -> dict[str, Spread | None]:
        """Cells of a variant's row, for some of `measures()`."""
        known = measures()
        return {key: over_seeds(self.found[variant], known[key].pick) for key in keys}


def figure(key: str) -> Pick:
    """Look up a cost in nats per image, its standard error, or the spread of the codes."""
    return lambda result: result.evaluation.values.get(key)


def bits(key: str) -> Pick:
    """Look up a cost in bits per dimension."""
    return lambda result: result.evaluation.bits.get(key)


def accuracy(features: str) -> Pick:
    """Look up the accuracy of a linear classifier on `features`, in percent."""
    return lambda result: result.evaluation.probes.get(features)


def staleness(result: Result) -> float | None:
    """Mean distance between a stored code and the fresh one that replaces it, over all of the training.

    None where no code was ever replaced, as in a single pass through the images.
    """
    found = [row["staleness"] for row in read_metrics(result.run) if row.get("staleness") is not None]
    return statistics.fmean(found) if found else None


def _training(key: str) -> Pick:
    return lambda result: float(result.evaluation.training[key])


def own_kl(result: Result) -> float | None:
    """KL to the prior that the model was trained with; a model without a code pays nothing."""
    if not result.run.config.model.has_codes:
        return 0.0
    return result.evaluation.values.get(f"{UNCONDITIONAL}own")


def _own_kl_bits(result: Result) -> float | None:
    kl = own_kl(result)
    return None if kl is None else kl / math.log(2)


def _own_elbo(result: Result) -> float | None:
    kl = own_kl(result)
    return None if kl is None else result.evaluation.values["reconstruction"] + kl


def _bound(result: Result) -> float | None:
    """The negative ELBO of the draws that the negative log-likelihood was sampled by."""
    return None if result.evaluation.importance is None else float(result.evaluation.importance["negative_elbo"])


def _window(result: Result) -> float | None:
    """How many pixels a local decoder sees; None for other decoders."""
    decoder = local_decoder(result)
    return None if decoder is None else float(pixels_seen(decoder))


def local_decoder(result: Result) -> DecoderSettings | None:
    """Settings of the decoder that sees a window alone; None for other decoders."""
    decoder = getattr(result.run.config.model, "decoder", None)
    return decoder if isinstance(decoder, DecoderSettings) and decoder.kind == "local" else None


def _rate(result: Result) -> float:
    training = result.evaluation.training
    return float(training["images_seen"] / training["seconds"])


# What is made of an evaluation beside its figures.
DERIVED: dict[str, Measure] = {
    "kl_unconditional": Measure("KL, unconditional", lambda result: unconditional_kl(result.evaluation)),
    "list_bits": Measure("list, bits / dim", bits("list"), BITS_DIGITS),
    "nll_bits": Measure("NLL, bits / dim", bits("nll"), BITS_DIGITS),
    "probe": Measure("probe %", accuracy("codes")),
    "staleness": Measure("staleness", staleness),
    "own_kl": Measure("KL", own_kl),
    "own_kl_bits": Measure("KL, bits", _own_kl_bits, digits=1),
    "own_elbo": Measure("-ELBO", _own_elbo),
    "bound": Measure("-ELBO, same draws", _bound),
    "nll_error": Measure("its standard error", figure("nll_standard_error")),
    "window": Measure("pixels in the window", _window, digits=0),
    "seconds": Measure("training, s", _training("seconds"), digits=0),
    "images": Measure("images seen", _training("images_seen"), digits=0),
    "rate": Measure("images / s", _rate, digits=0),
    "parameters": Measure("parameters", lambda result: result.evaluation.parameters, digits=0),
}


def measures() -> dict[str, Measure]:
    """All that a column may show: the figures of an evaluation, and what is made of them."""
    return {key: _measure(figure) for key, figure in FIGURES.items()} | DERIVED


def _measure(figure: Figure) -> Measure:
    return Measure(figure.heading, lambda result: figure.of(result.evaluation), figure.digits)
