"""The cost table of a run, beside the paper's figures where the data are the paper's."""

from typing import Any

from rich.table import Table

from acn.data.static_mnist import STATIC_MNIST

# Graves, Menick, van den Oord 2018, Tables 1 to 3 (binarized MNIST, test split), in nats per image and percent.
PAPER: dict[str, float] = {
    "reconstruction": 70.3,
    "kl_k1": 2.6,
    "kl_k5": 3.5,
    "kl_k10": 4.1,
    "kl_tour_greedy": 3.6,
    "kl_unconditional_mixture": 10.6,
    "list": 80.9,
    "tour": 73.9,
    "codes": 98.5,
    "pixels": 89.4,
    "pca": 82.8,
}
AT_MOST = {"tour"}  # a bound in the paper's Table 1

COST_ROWS = {
    "reconstruction": "reconstruction",
    "kl_k1": "KL, nearest neighbour (K = 1)",
    "kl_k5": "KL, K = 5",
    "kl_k10": "KL, K = 10",
    "kl_tour_greedy": "KL, greedy tour",
    "kl_tour_improved": "KL, improved tour",
    "kl_unconditional_mixture": "KL, unconditional: Gaussian mixture",
    "kl_unconditional_own": "KL, unconditional: the model's own",
    "kl_unconditional_associative": "KL, unconditional: associative",
    "list": "list: order kept",
    "set": "set: order forgotten",
    "tour": "tour: order forgotten",
    "tour_restored": "tour, order restored",
    "order_nats": "log(N!)/N, the order",
}
PROBE_ROWS = {
    "codes": "codes",
    "pixels": "pixels",
    "pca": "PCA of the same size",
    "random_encoder": "untrained encoder",
}


def cost_rows(figures: dict[str, Any]) -> dict[str, str]:
    """Rows of the table of costs: key and text. An ACN has no unconditional prior of its own."""
    own = "kl_unconditional_own"
    return {key: text for key, text in COST_ROWS.items() if key != own or figures.get(own) is not None}


def paper_figures(figures: dict[str, Any]) -> dict[str, float]:
    """The paper's figures, where those given were measured on the test split of its Tables 1 to 3; else none."""
    return PAPER if figures["data"]["fingerprint"] == STATIC_MNIST else {}


Cells = list[list[str]]


def cost_cells(figures: dict[str, Any]) -> Cells:
    """Texts of the table of costs, its head first: nats per image, bits per dimension, and the paper's where they
    apply.
    """
    paper = paper_figures(figures)
    rows = [["cost", "nats / image", "bits / dim", *(["paper, nats"] if paper else [])]]
    for key, text in cost_rows(figures).items():
        cells = [_number(figures[key], 2), _number(figures["bits_per_dimension"].get(key), 4)]
        bound = "≤ " if key in AT_MOST else ""
        rows.append([text, *cells, *([bound + _number(paper.get(key), 1)] if paper else [])])
    return rows


def definitions_note(figures: dict[str, Any]) -> str | None:
    """Say what an ACN's list and tour are by the paper's definitions, where the paper's figures stand beside them."""
    mixture, greedy = figures["kl_unconditional_mixture"], figures["kl_tour_greedy"]
    if not paper_figures(figures) or mixture is None or greedy is None:
        return None
    paid = figures["reconstruction"]
    return (
        f"The paper's list (there: unordered) has the mixture for its prior, its tour (ordered) is greedy: by these "
        f"definitions {paid + mixture:.2f} and {paid + greedy:.2f}."
    )


def probe_cells(figures: dict[str, Any]) -> Cells | None:
    """Texts of the table of linear classifiers, its head first; None where the images have no labels or no codes."""
    probes = figures["linear_probe"]
    if probes["codes"] is None:
        return None
    paper = paper_figures(figures)
    rows = [["features", "accuracy %", *(["paper %"] if paper else [])]]
    for key, text in PROBE_ROWS.items():
        rows.append([text, _number(probes[key], 2), *([_number(paper.get(key), 1)] if paper else [])])
    return rows


SECTION_ENDS = ("reconstruction", "kl_unconditional_associative", "tour_restored")


def cost_table(figures: dict[str, Any]) -> Table:
    """Lay out `cost_cells` for a terminal, `definitions_note` below them."""
    ends = {COST_ROWS[key] for key in SECTION_ENDS}
    table = _laid_out(cost_cells(figures), f"Test split, {figures['n_test']:,} images", ends)
    table.caption = definitions_note(figures)
    return table


def probe_table(figures: dict[str, Any]) -> Table | None:
    """Lay out `probe_cells` for a terminal, if there are any."""
    cells = probe_cells(figures)
    return None if cells is None else _laid_out(cells, "Linear classification of the test split", set())


def _laid_out(cells: Cells, title: str, ends: set[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, text in enumerate(cells[0]):
        table.add_column(text, justify="right" if number else "left")
    for row in cells[1:]:
        table.add_row(*row, end_section=row[0] in ends)
    return table


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
