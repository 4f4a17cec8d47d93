"""The tables of a run, beside the paper's figures where the images are the paper's."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from rich.table import Table

from acn.evaluation.figures import (
    BITS_DIGITS,
    FIGURES,
    NOTHING,
    UNCONDITIONAL,
    Figure,
    decimal,
    figures,
    published,
    settings_of,
    top5,
    unconditional_kl,
)
from acn.record import Evaluation
from acn.units import nats_to_bits
from acn.wording import counted

Cells = list[list[str]]
UNUSED = 0.1  # nats: a code of a smaller KL is unused
FEW = 1000  # test images, whose accuracies differ by chance alone
MOST_NEIGHBOURS = 10  # K of the last row that has one


def cost_rows(evaluation: Evaluation) -> list[Figure]:
    """Rows of the table of costs: what was measured, and what the family's paper has beside it."""
    rows = published(evaluation)
    return [figure for figure in figures("nats") if figure.key in rows or figure.of(evaluation) is not None]


def cost_cells(evaluation: Evaluation) -> Cells:
    """Texts of the table of costs, its head first: nats per image, bits per dimension, nats by refined posteriors and
    the paper's, where there are any.
    """
    paper, refined = published(evaluation), evaluation.refined
    rows = [
        [
            "cost",
            "nats / image",
            "bits / dim",
            *(["refined, nats"] if refined else []),
            *(["paper, nats"] if paper else []),
        ]
    ]
    for figure in cost_rows(evaluation):
        nats, bits = figure.of(evaluation), evaluation.bits.get(figure.key)
        cells = [figure.text, decimal(nats, figure.digits), decimal(bits, BITS_DIGITS)]
        if refined:
            cells.append(decimal(refined.values.get(figure.key), figure.digits))
        rows.append([*cells, *([str(paper.get(figure.key, NOTHING))] if paper else [])])
    return rows


PRIORS = {
    "mixture": "the Gaussian mixture",
    "associative": "the associative prior",
    "autoregressive": "the autoregressive prior",
    "own": "the model's own prior",
}


def prior_note(evaluation: Evaluation) -> str | None:
    """Say which unconditional prior `list` uses, and what it comes to under that of archives; None without codes."""
    values, chosen = evaluation.values, evaluation.prior
    if chosen is None:
        return None
    text = f"list uses {PRIORS.get(chosen, chosen)}, the unconditional prior with the lowest cost on validation images"
    coded = settings_of(evaluation).coded_under
    kl = values.get(f"{UNCONDITIONAL}{coded}")
    if coded is None or coded == chosen or kl is None:
        return f"{text}."
    return f"{text}; archives are coded under {PRIORS[coded]}: {values['reconstruction'] + kl:.2f}."


def definitions_note(evaluation: Evaluation) -> str | None:
    """Say what an ACN's list and tour are by the paper's definitions, where the paper's figures stand beside them."""
    values = evaluation.values
    if not published(evaluation) or not {"kl_unconditional_mixture", "kl_tour_greedy"} <= values.keys():
        return None
    pixels, mixture, greedy = (values[key] for key in ("reconstruction", "kl_unconditional_mixture", "kl_tour_greedy"))
    return (
        f"The paper's list (there: unordered) uses the mixture, and its tour (ordered) is greedy: by these definitions "
        f"ours are {pixels + mixture:.2f} and {pixels + greedy:.2f}."
    )


def few_note(evaluation: Evaluation) -> str | None:
    """Say that images have fewer neighbours than rows of the table ask for; None where they have enough."""
    others = evaluation.n_test - 1
    if "kl_k10" not in evaluation.values or others >= MOST_NEIGHBOURS:
        return None
    return f"Each test image has {counted(others, 'neighbour')}: a larger K is of as many."


def importance_note(evaluation: Evaluation) -> str | None:
    """Say how and under which prior the negative log-likelihood was sampled, and the ELBO; None where it was not."""
    how, error = evaluation.importance, evaluation.values.get("nll_standard_error")
    if how is None:
        return None
    images = f"{how['images']:,} images" if how["images"] > 1 else "1 image"
    spread = "" if error is None else f" (standard error {error:.2f})"
    chosen = evaluation.prior
    under = "" if chosen is None else f" under {PRIORS.get(chosen, chosen)}"
    other = chosen not in (None, "own") and "nll" in published(evaluation)
    papers = f" The paper's is under {PRIORS['own']}." if other else ""
    return (
        f"Importance sampling, K = {how['samples']:,}, {images} of the test split: negative log-likelihood "
        f"{evaluation.values['nll']:.2f} nats{spread}{under}, negative ELBO of the same draws "
        f"{how['negative_elbo']:.2f} nats.{papers}"
    )


def refined_note(evaluation: Evaluation) -> str | None:
    """Say what the refined posteriors are, where there are any."""
    found = evaluation.refined
    if found is None:
        return None
    elbo, prior = found.values.get("negative_elbo"), PRIORS.get(found.prior, found.prior)
    drawn = "" if elbo is None else f" Their draws of the importance sampling have a negative ELBO of {elbo:.2f} nats."
    tighter = (
        "more tightly" if found.values["list"] < evaluation.values["list"] else "and no more tightly: use the others"
    )
    return (
        f"Refined: each image's posterior moved from the encoder's code by {counted(found.steps, 'step')} down the "
        f"gradient of that image's own cost ({prior}), a distance of {found.moved:.2f} on average. Nothing else "
        f"changed: these costs bound the same likelihood, {tighter}.{drawn} Codes and archives are the encoder's."
    )


def code_note(evaluation: Evaluation) -> str | None:
    """Say how much the code takes, and what to do where that is next to nothing; None where there is no code."""
    kl = unconditional_kl(evaluation)
    if kl is None:
        return None
    which = "" if evaluation.prior is None else FIGURES[f"{UNCONDITIONAL}{evaluation.prior}"].text
    prior = which.partition(": ")[2] or "unconditional"
    taken = max(kl, 0.0)  # an estimate may lie below
    said = f"The code takes {taken:.2f} nats = {nats_to_bits(taken):.2f} bits of each image (KL, prior: {prior})."
    if kl >= UNUSED:
        return said
    return (
        f"{said} Below {UNUSED} nats the code is unused, as it is at the start of a training. If it is after several "
        "epochs, train with free bits (training.free_nats, the nats that it may take at no cost) and a gradual KL "
        "(training.kl_warmup)."
    )


def probe_note(evaluation: Evaluation) -> str:
    """Say how far accuracies of few test images are to be trusted; nothing where there are enough."""
    if evaluation.n_test > FEW:
        return ""
    most = 50 / evaluation.n_test**0.5  # of one half: sqrt(1/2 x 1/2 / N)
    return f"With {counted(evaluation.n_test, 'image')}, an accuracy has a standard error of at most {most:.2g} points."


def search_note(rows: Iterable[Mapping[str, Any]]) -> str | None:
    """Say how many neighbours an inverted file found in training, by the rows of its metrics; None where none was."""
    found = [row["recall"] for row in rows if row.get("recall") is not None]
    if not found:
        return None
    worst = f", and {min(found):.1%} at the worst of {len(found):,} times" if len(found) > 1 else ""
    return (
        f"Training sought neighbours by an inverted file, which found {found[-1]:.1%} of the nearest when last "
        f"compared with an exact search{worst}."
    )


def notes(evaluation: Evaluation) -> list[str]:
    """What is to be said below the table of costs."""
    makers = (prior_note, definitions_note, few_note, code_note, importance_note, refined_note)
    found = (note(evaluation) for note in makers)
    return [note for note in found if note is not None]


def probe_cells(evaluation: Evaluation) -> Cells | None:
    """Texts of the table of linear classifiers, its head first; None where the images have no labels or no codes."""
    if "codes" not in evaluation.probes:
        return None
    probes = figures("%")
    found = published(evaluation)
    paper = found if any(figure.key in found for figure in probes) else {}
    many = any(top5(figure, evaluation) is not None for figure in probes)
    rows = [["features", "accuracy %", *(["top 5 %"] if many else []), *(["paper %"] if paper else [])]]
    for figure in probes:
        accuracy = [figure.of(evaluation), *([top5(figure, evaluation)] if many else [])]
        measured = [decimal(value, figure.digits) for value in accuracy]
        rows.append([figure.text, *measured, *([str(paper.get(figure.key, NOTHING))] if paper else [])])
    return rows


def cost_table(evaluation: Evaluation) -> Table:
    """Lay out `cost_cells` for a terminal, the notes on its rows below them."""
    ends = {figure.text for figure, below in pairwise(cost_rows(evaluation)) if figure.section != below.section}
    table = _laid_out(cost_cells(evaluation), f"Test split, {evaluation.n_test:,} images", ends)
    below = (prior_note(evaluation), definitions_note(evaluation), few_note(evaluation))
    table.caption = "\n".join(note for note in below if note is not None) or None
    return table


def probe_table(evaluation: Evaluation) -> Table | None:
    """Lay out `probe_cells` for a terminal, if there are any."""
    cells = probe_cells(evaluation)
    if cells is None:
        return None
    table = _laid_out(cells, "Linear classification of the test split", set())
    table.caption = probe_note(evaluation) or None
    return table


def _laid_out(cells: Cells, title: str, ends: set[str]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for number, text in enumerate(cells[0]):
        table.add_column(text, justify="right" if number else "left")
    for row in cells[1:]:
        table.add_row(*row, end_section=row[0] in ends)
    return table
