"""Comparisons that the paper left out: one setting changed at a time, and one estimate against another."""

from collections.abc import Mapping
from dataclasses import dataclass

from acn.reproduction.documents import Column, Document, Row, columns
from acn.reproduction.summary import PageInputs, Pick, figure, over_seeds
from acn.reproduction.trainings import Result

COMPARED = (
    "reconstruction",
    "kl_k1",
    "kl_k5",
    "kl_tour_greedy",
    "kl_tour_improved",
    "kl_unconditional",
    "list",
    "tour",
    "probe",
    "code_std",
    "seconds",
)
NATS = "Costs are in nats per image of the test split"
BETTER = f"{NATS}; KL, unconditional, is that to the best of the unconditional priors, as in `list`."


@dataclass(frozen=True)
class Comparison:
    """Variants side by side.

    `rows`: what each variant is called, under the heading `head`. `keys`: of the columns. `note`: stands below.
    """

    title: str
    text: str
    head: str
    rows: Mapping[str, str]
    keys: tuple[str, ...] = COMPARED
    note: str = BETTER


COMPARISONS: dict[str, Comparison] = {
    "ablation-prior": Comparison(
        "What the prior makes of the neighbour's code",
        "The prior of an ACN is a network that reads a neighbour's code. Beside it: a linear map in its place, the "
        "neighbour's code itself as the mean with one learned width, and no neighbour at all.",
        "prior",
        {
            "acn": "network",
            "linear": "linear map",
            "width": "the code itself, and one width",
            "pixelvae": "none: unconditional (Gated PixelVAE)",
        },
    ),
    "ablation-staleness": Comparison(
        "Stored codes as last visited, or refreshed",
        "Neighbours are found among codes that were stored when their images were last visited. Beside it: at every "
        "step the 64 codes that have waited longest are encoded afresh. Staleness is the mean Euclidean distance "
        "between a stored code and the one that replaces it at the next visit, over the training; where a training "
        "is a single pass, only refreshed codes are ever replaced.",
        "stored codes",
        {"acn": "as last visited", "refreshed": "64 more refreshed at every step"},
        keys=(*COMPARED, "staleness"),
    ),
    "ablation-neighbours": Comparison(
        "The choice among the K nearest neighbours",
        "In training the neighbour is drawn from the K nearest codes. K is that of the training; the KLs at K = 1 and "
        "5, and along tours, are those of the evaluation, which is the same for all.",
        "neighbour in training",
        {
            "k1": "K = 1",
            "acn": "K = 5",
            "k20": "K = 20",
            "k100": "K = 100",
            "k1000": "K = 1000",
            "random": "any other image",
        },
    ),
    "ablation-unique": Comparison(
        "Neighbours used freely, or at most once in a pass",
        "In training a code may be the neighbour of any number of images. Beside it: every code serves as a neighbour "
        "at most once in each pass through the images.",
        "a code serves",
        {"acn": "any number of times", "unique": "at most once in a pass"},
    ),
    "ablation-variance": Comparison(
        "Variance of the posterior: unit, or learned",
        "The posterior of an ACN has unit variance. Beside it: a variance that the encoder gives for every number of "
        "the code.",
        "variance",
        {"acn": "unit", "learned": "learned"},
    ),
    "decoders": Comparison(
        "Decoders in the same time",
        "Likelihood under decoders without a code, each trained for the same time by the same optimizer: the gated "
        "PixelCNN of the paper's kind, and one whose blocks look around feature by feature and then mix features, "
        "once with fewer parameters and once with as many.",
        "decoder",
        {
            "gated": "gated, 32 features, 7 blocks of 5 x 5",
            "separable": "separable, 64 features, 8 blocks of 7 x 7",
            "separable-deep": "separable, 64 features, 12 blocks of 7 x 7",
        },
        keys=("list", "list_bits", "parameters", "images", "seconds", "rate"),
        note="Nats per image of the test split, and bits per dimension.",
    ),
}


def compare(name: str, inputs: PageInputs) -> Document:
    """Lay out the comparison called `name`: a row for each of its variants that there are results of."""
    comparison = COMPARISONS[name]
    return Document(
        name,
        f"{comparison.title}: {inputs.collection.name}",
        comparison.text,
        inputs.found,
        head=comparison.head,
        columns=columns(comparison.keys),
        rows=tuple(
            Row(text, inputs.cells(variant, comparison.keys))
            for variant, text in comparison.rows.items()
            if variant in inputs.found
        ),
        notes=(comparison.note,),
    )


def tour(inputs: PageInputs) -> Document:
    """Lay out what the local search on a tour is worth, for one and the same models."""
    picks = {
        "greedy": {"kl": figure("kl_tour_greedy"), "tour": _paid("kl_tour_greedy"), "restored": _greedy_restored},
        "improved": {
            "kl": figure("kl_tour_improved"),
            "tour": _paid("kl_tour_improved"),
            "restored": figure("tour_restored"),
        },
    }
    return Document(
        "ablation-tour",
        f"Tours, greedy or improved by local search: {inputs.collection.name}",
        "Two tours through the same test codes of the same models: from each image to the nearest one left, and the "
        "same after a local search on the KLs along it.",
        inputs.found,
        head="tour",
        columns=(Column("kl", "KL"), Column("tour", "tour"), Column("restored", "tour, order restored")),
        rows=_estimates(inputs, picks),
        notes=(f"{NATS}; tour is reconstruction + KL.",),
    )


def unconditional(inputs: PageInputs) -> Document:
    """Lay out what the choice of the unconditional prior is worth, for one and the same models."""
    priors = {
        "Gaussian mixture": "kl_unconditional_mixture",
        "associative": "kl_unconditional_associative",
        "autoregressive": "kl_unconditional_autoregressive",
    }
    # Runs that were evaluated before there was an autoregressive prior have no such figure.
    known = {key for result in inputs.found["acn"] for key in result.evaluation.values}
    picks = {
        text: {"kl": figure(key), "error": figure(f"{key}_standard_error"), "list": _paid(key)}
        for text, key in priors.items()
        if key in known
    }
    return Document(
        "ablation-unconditional",
        f"Unconditional priors: {inputs.collection.name}",
        "Unconditional priors for the same models: a Gaussian mixture fitted to samples of the training codes; the "
        "mean of the ACN's own prior over the codes of all training images; and, where the models were evaluated with "
        "one, an autoregressive prior fitted to such samples.",
        inputs.found,
        head="prior",
        columns=(Column("kl", "KL"), Column("error", "its standard error", 4), Column("list", "list")),
        rows=_estimates(inputs, picks),
        notes=(f"{NATS}; list is reconstruction + KL. The standard error is that of sampling from the posteriors.",),
    )


def _estimates(inputs: PageInputs, rows: Mapping[str, Mapping[str, Pick]]) -> tuple[Row, ...]:
    """Rows of one and the same results, the ACNs', each with figures of its own."""
    results = inputs.found["acn"]
    return tuple(
        Row(text, {key: over_seeds(results, pick) for key, pick in picks.items()}) for text, picks in rows.items()
    )


def _paid(key: str) -> Pick:
    """Reconstruction and the KL called `key`."""

    def pick(result: Result) -> float | None:
        values = result.evaluation.values
        return values["reconstruction"] + values[key] if key in values else None

    return pick


def _greedy_restored(result: Result) -> float | None:
    paid = _paid("kl_tour_greedy")(result)
    return None if paid is None else paid + result.evaluation.values["order_nats"]
