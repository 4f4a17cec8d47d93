"""Tables 4 to 7 of Graves, Menick and van den Oord 2018, of images in colour, and how well their codes tell classes.

Measured here, and on the paper's images beside its figures.
"""

from acn.evaluation.figures import GRAVES, TOP5, figures
from acn.reproduction.documents import Cell, Column, Document, Row, columns
from acn.reproduction.graves import ACCURACIES, COSTS, LIKELIHOODS
from acn.reproduction.plan import VARIANTS
from acn.reproduction.summary import PageInputs, accuracy, over_seeds
from acn.reproduction.tables import GREEDY, THE_PAPERS, costs_of

SHOWN = ("list_bits", "list", "set", "tour", "tour_restored")
TOP, FIVE = Column("accuracy", "accuracy %"), Column("five", "among the first five %")
PAPERS_FIVE = Column("paper_five", "first five, paper (published)")


def likelihoods(name: str, inputs: PageInputs) -> Document:
    """What an image of the test split costs."""
    published = LIKELIHOODS[_study(inputs)] if inputs.papers else {}
    rows = [Row(text, {SHOWN[0]: cell}, f"published: {cell.source}") for text, cell in published.items()]
    return Document(
        name,
        f"{_title(name)}: likelihood of {inputs.collection.name}, test split",
        "`list` keeps the order of the images, in bits per dimension as published, and in nats per image; `set` "
        "forgets it, as any model may; `tour` has them in the order of a tour through their codes. The last column "
        "sends their own order beside the tour. Models without codes have no tour.",
        inputs.found,
        columns=columns(SHOWN),
        rows=(*rows, *(Row(VARIANTS[variant].text, dict(inputs.cells(variant, SHOWN))) for variant in inputs.found)),
        notes=_notes(inputs),
    )


def costs(name: str, inputs: PageInputs) -> Document:
    """What an ACN's test split costs, term by term."""
    [results] = inputs.found.values()
    notes = (*_notes(inputs), *([GREEDY] if inputs.papers else []))
    return costs_of(name, inputs, results, COSTS[_study(inputs)] if inputs.papers else {}, notes)


def classes(name: str, inputs: PageInputs) -> Document:
    """How well a linear classifier tells classes by codes, and by other features."""
    [results], papers = inputs.found.values(), ACCURACIES[_study(inputs)] if inputs.papers else {}
    rows = []
    for probe in figures("%"):
        five = f"{probe.key}{TOP5}"
        cells: dict[str, Cell] = {
            TOP.key: over_seeds(results, accuracy(probe.key)),
            FIVE.key: over_seeds(results, accuracy(five)),
            THE_PAPERS.key: papers.get(probe.key),
            PAPERS_FIVE.key: papers.get(five),
        }
        if cells[TOP.key] is not None:
            rows.append(Row(probe.text, cells))
    return Document(
        name,
        f"Linear classification of {inputs.collection.name}, test split",
        "How often multinomial logistic regression, trained on the features and labels of the training split, finds "
        "the class, and where there are many how often it is among its first five guesses.",
        inputs.found,
        head="features",
        columns=(TOP, THE_PAPERS, FIVE, PAPERS_FIVE),
        rows=tuple(rows),
        notes=_notes(inputs) if rows else ("These images have no labels.",),
    )


def _study(inputs: PageInputs) -> str:
    return inputs.results[0].training.group


def _title(name: str) -> str:
    return f"Table {name.removeprefix('table')}"


def _notes(inputs: PageInputs) -> tuple[str, ...]:
    """What is to be said of the published figures, where there are any."""
    if not inputs.papers:
        return ()
    return f"Published figures are as {GRAVES} print them; none was measured here.", inputs.difference
