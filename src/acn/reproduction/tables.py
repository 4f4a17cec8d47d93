"""Tables 1 to 3 of Graves, Menick and van den Oord 2018, measured here and, on their images, beside their figures."""

import math
from collections.abc import Mapping, Sequence

from acn.evaluation.figures import BITS_DIGITS, GRAVES, LIKELIHOODS, PUBLISHED, Published, figures
from acn.reproduction.documents import Cell, Column, Document, Row, columns
from acn.reproduction.plan import VARIANTS
from acn.reproduction.summary import PageInputs, accuracy, bits, figure, over_seeds
from acn.reproduction.trainings import Result

TOTALS = ("list", "list_bits", "set", "tour", "tour_restored")
# Rows of Table 3 below the features that need no training, which are read from the runs of "acn".
CODES = {"vae": "VAE codes", "pixelvae": "Gated PixelVAE codes", "acn": "ACN codes"}
THE_PAPERS = Column("paper", "paper (published)")
GREEDY = "The paper's cost of the tour is that of the greedy one; `tour` here is the improved one."
# Accuracy in percent of a linear classifier on the codes of other models (Table 3).
ACCURACIES = {"vae": Published(95.4), "pixelvae": Published(97.9)}


def table1(inputs: PageInputs) -> Document:
    """What an image of the test split costs under each model."""
    rows = [Row(VARIANTS[variant].text, inputs.cells(variant, TOTALS)) for variant in inputs.found]
    return Document(
        "table1",
        f"Table 1: likelihood of {inputs.collection.name}, test split",
        "Nats per image. `list` keeps the order of the images; `set` forgets it, as any model may; `tour` has them in "
        "the order of a tour through their codes, each with the one before it as its neighbour; the last column sends "
        "their own order beside the tour. Models without neighbours have no tour.",
        inputs.found,
        columns=columns(TOTALS),
        rows=(*(_published_likelihoods() if inputs.papers else ()), *rows),
        notes=_notes(inputs, "1", "`list` here has the best of several unconditional priors."),
    )


def table2(inputs: PageInputs) -> Document:
    """What an ACN's test split costs, term by term."""
    return costs_of("table2", inputs, inputs.found["acn"], PUBLISHED["acn"], _notes(inputs, "2", GREEDY))


def costs_of(
    name: str,
    inputs: PageInputs,
    results: Sequence[Result],
    published: Mapping[str, Cell],
    notes: Sequence[str],
) -> Document:
    """What the test split costs the ACN of `results`, term by term, beside what is `published` of the same images."""
    rows = []
    for cost in figures("nats"):
        cells: dict[str, Cell] = {
            "nats": over_seeds(results, figure(cost.key)),
            "bits": over_seeds(results, bits(cost.key)),
            THE_PAPERS.key: published.get(cost.key) if inputs.papers else None,
        }
        if cells["nats"] is not None:
            rows.append(Row(cost.text, cells))
    return Document(
        name,
        f"Table {name.removeprefix('table')}: costs of an ACN, {inputs.collection.name}, test split",
        "What an image costs, term by term, and in all: each total is the reconstruction and one of the KLs.",
        inputs.found,
        head="cost",
        columns=(Column("nats", "nats / image"), Column("bits", "bits / dim", BITS_DIGITS), THE_PAPERS),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def table3(inputs: PageInputs) -> Document:
    """How much a linear classifier reads from codes and from other features."""
    untrained = [probe for probe in figures("%") if probe.key != "codes"]
    papers = PUBLISHED["acn"]
    untrained.sort(key=lambda probe: papers[probe.key].value if probe.key in papers else math.inf)  # as in the paper
    features = [(probe.text, "acn", probe.key, papers.get(probe.key)) for probe in untrained]
    of_codes = ACCURACIES | {"acn": papers["codes"]}
    features += [(text, variant, "codes", of_codes[variant]) for variant, text in CODES.items()]
    rows = []
    for text, variant, key, paper in features:
        measured = over_seeds(inputs.found.get(variant, ()), accuracy(key))
        if measured is not None:
            rows.append(Row(text, {"accuracy": measured, THE_PAPERS.key: paper if inputs.papers else None}))
    return Document(
        "table3",
        f"Table 3: linear classification of {inputs.collection.name}, test split",
        "Accuracy in percent of multinomial logistic regression, trained on the features and labels of the training "
        "split. PCA, pixels and the untrained encoder need no training and stand in the evaluations of the ACN.",
        inputs.found,
        head="features",
        columns=(Column("accuracy", "accuracy %"), THE_PAPERS),
        rows=tuple(rows),
        notes=_notes(inputs, "3") if rows else ("These images have no labels.",),
    )


def _published_likelihoods() -> list[Row]:
    rows = [Row(text, {"list": cell}, _source(cell)) for text, cell in LIKELIHOODS]
    own = {key: PUBLISHED["acn"].get(key) for key in TOTALS}
    return [*rows, Row("ACN", own, f"published: {GRAVES}")]


def _source(cell: Published) -> str:
    return f"published: {cell.source}"


def _notes(inputs: PageInputs, table: str, *more: str) -> tuple[str, ...]:
    """What is to be said of the published figures, where there are any."""
    if not inputs.papers:
        return ()
    return (
        f"Published figures are as {GRAVES} print them in Table {table}; none was measured here.",
        inputs.difference,
        *more,
    )
