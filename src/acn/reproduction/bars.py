"""Figure 2 of Graves, Menick and van den Oord 2018: what images cost, as stacked bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acn.files import write_atomically
from acn.reproduction.documents import Document, Row, columns
from acn.reproduction.plan import VARIANTS
from acn.reproduction.summary import PageInputs, Spread, figure, over_seeds
from acn.reproduction.trainings import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The paper's yellow, blue and red, in tones that differ in lightness too.
RECONSTRUCTION, UNCONDITIONAL, TOUR = "#eecc66", "#4477aa", "#cc3311"
WIDTH = 0.76
PICTURE = "figure2.png"
SHOWN = ("reconstruction", "kl_unconditional", "list", "kl_tour_improved", "tour")


@dataclass(frozen=True)
class Bar:
    """Costs of one model in nats per image: the reconstruction, and totals with the order kept and along a tour."""

    text: str
    reconstruction: Spread
    listed: Spread
    tour: Spread | None


def figure2(inputs: PageInputs) -> Document:
    """Costs of all models, as bars and as numbers."""
    title = f"Figure 2: compression costs, {inputs.collection.name}, test split"
    begin = draw_bars([_bar(results) for results in inputs.found.values()], inputs.folder / PICTURE, title=title)
    return Document(
        "figure2",
        title,
        "Nats per image. On the reconstruction stands the KL to the unconditional prior, up to whose top is the list "
        "(the paper's unordered cost); beside it, for models with neighbours, the KL along the improved tour, up to "
        f"whose top is the tour (the ordered cost). The vertical axis begins at {begin:g}, not at 0.",
        inputs.found,
        columns=columns(SHOWN),
        rows=tuple(Row(_name(results[0]), inputs.cells(variant, SHOWN)) for variant, results in inputs.found.items()),
        picture=PICTURE,
        facts={"axis_begins_at": begin},
    )


def draw_bars(bars: Sequence[Bar], path: Path, *, title: str) -> float:
    """Draw the bars into the PNG file `path`, whole or not at all; whiskers are standard deviations over seeds.

    Returns:
        Where the vertical axis begins, in nats: not at 0, since the differences would not be seen.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    top = max(_top(total) for bar in bars for total in (bar.listed, bar.tour) if total is not None)
    lowest = min(bar.reconstruction.mean for bar in bars)
    begin = _axis_begin(lowest, top)
    figure = Figure(figsize=(max(9.0, 1.6 + 1.25 * len(bars)), 5.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, bar in enumerate(bars):
        _draw(axes, place, bar)
    axes.set_xticks(range(len(bars)), [bar.text.replace(", ", "\n") for bar in bars])
    axes.set_ylim(begin, top + 0.08 * (top - begin))
    axes.set_ylabel(f"nats per image (the axis begins at {begin:g})")
    axes.set_title(title, fontsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(axes)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
    return begin


def _bar(results: Sequence[Result]) -> Bar:
    listed, reconstruction = (over_seeds(results, figure(key)) for key in ("list", "reconstruction"))
    if listed is None or reconstruction is None:
        raise TypeError(f"every model has a reconstruction and a list, found none for {results}")
    return Bar(_name(results[0]), reconstruction, listed, over_seeds(results, figure("tour")))


def _name(result: Result) -> str:
    """Of the model, with K where it has neighbours."""
    config = result.run.config
    return (
        f"ACN, K = {config.memory.neighbours}" if config.model.conditional else VARIANTS[result.training.variant].text
    )


def _axis_begin(lowest: float, top: float) -> float:
    """A round number so far below the lowest reconstruction that its bar keeps about a fifth of the height, or 0."""
    span = top - lowest
    step = 5.0 if span > 5 else 1.0
    # Costs that are all alike would leave no height at all.
    return max(0.0, step * ((lowest - max(0.25 * span, 0.5)) // step))


def _top(total: Spread) -> float:
    return total.mean + (total.deviation or 0.0)


def _draw(axes: "Axes", place: int, bar: Bar) -> None:
    base = bar.reconstruction.mean
    axes.bar(place, base, WIDTH, color=RECONSTRUCTION)
    width = WIDTH if bar.tour is None else WIDTH / 2
    _tower(axes, place - (WIDTH - width) / 2, width, base, bar.listed, UNCONDITIONAL)
    if bar.tour is not None:
        _tower(axes, place + WIDTH / 4, width, base, bar.tour, TOUR)


def _tower(axes: "Axes", centre: float, width: float, base: float, total: Spread, colour: str) -> None:
    axes.bar(centre, total.mean - base, width, bottom=base, color=colour)
    if total.deviation is not None:
        axes.errorbar(centre, total.mean, total.deviation, color="black", capsize=3, linewidth=1)
    axes.annotate(
        f"{total.mean:.1f}",
        (centre, _top(total)),
        textcoords="offset points",
        xytext=(0, 4),
        ha="center",
        fontsize=9,
    )


def _legend(axes: "Axes") -> None:
    from matplotlib.patches import Patch

    names = {
        UNCONDITIONAL: "KL to the unconditional prior; its top: list",
        TOUR: "KL along the tour; its top: tour",
        RECONSTRUCTION: "reconstruction",
    }
    handles = [Patch(color=colour, label=text) for colour, text in names.items()]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, frameon=False, fontsize=9)
