"""Pictures of codes, drawn without a display and without touching matplotlib's global state."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.components import PrincipalComponents
from acn.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 20_000
MOST_NAMES = 20
LONGEST_TAG = 3  # characters; longer names would cover each other
# Ten colours that differ in lightness as well as in hue (after Paul Tol's muted scheme), so that they stay apart for
# readers with the common kinds of colour blindness. Short names at the classes' medians say it without colour.
PALETTE = ("#332288", "#88ccee", "#117733", "#ddaa33", "#cc3311", "#aa4499", "#44aa99", "#999933", "#882255", "#777777")
MARKERS = ("o", "^")  # classes 10 to 19 repeat the colours with another mark


def plot_codes(
    codes: Tensor,
    labels: Tensor | NDArray[np.int64] | None,
    label_names: tuple[str, ...] | None,
    path: Path,
    *,
    title: str,
) -> None:
    """Draw codes on their first two principal components, coloured by label, into the PNG file `path`.

    At most 20,000 points are drawn, chosen at random but always alike; the title says so. Up to 20 classes get a
    legend, more a colour bar. Without labels all points have one colour.

    Args:
        codes: with shape [N, D].
        labels: class of each code, with shape [N].
        label_names: text of class k at place k; numbers are shown where it is None.
        path: where the picture goes; it appears whole or not at all.
        title: its first line.

    Raises:
        StorageError: the disk refused.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    array = codes.detach().cpu().float().numpy()
    principal = PrincipalComponents.of(array)
    points = principal.project(array)[:, :2]
    chosen = _subset(len(points))
    classes = None if labels is None else np.asarray(labels)[chosen]
    figure = Figure(figsize=(9, 7), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _scatter(axes, points[chosen], classes, label_names)
    drawn = "" if len(chosen) == len(points) else f"\n{len(chosen):,} of {len(points):,} codes, chosen at random"
    axes.set_title(title + drawn, fontsize=12)
    for number, (axis, share) in enumerate(zip((axes.xaxis, axes.yaxis), principal.shares, strict=False), 1):
        axis.set_label_text(f"principal component {number} ({share:.1%} of the variance)")
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.2, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    with warnings.catch_warnings():
        # Names of classes in scripts that the font lacks are drawn as boxes, which everybody sees.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def plot_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the cost of training images and the spread of the codes against the images seen, from rows of metrics.

    Args:
        rows: as `acn.training.metrics` writes them.
        path: where the picture goes; it appears whole or not at all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    figure = Figure(figsize=(9, 6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    rows = [row for row in rows if row.get("images") is not None]
    images = [row["images"] for row in rows]
    panels = (
        ("total", "reconstruction + KL, nats per image"),
        ("reconstruction", "reconstruction, nats per image"),
        ("kl", "KL, nats per image"),
        ("code_std", "spread of the codes"),
    )
    for number, (key, label) in enumerate(panels, 1):
        axes = figure.add_subplot(2, 2, number)
        values: list[Any] = [row.get(key) for row in rows]
        axes.plot(images, values, color=PALETTE[0], linewidth=1, marker="." if len(rows) == 1 else None)
        # The first rows are far above all others, which they would press flat.
        later = [value for value in values[len(values) // 20 :] if value is not None]
        if later:
            margin = 0.05 * (max(later) - min(later)) + 1e-3
            axes.set_ylim(min(later) - margin, max(later) + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_title(label, fontsize=10)
        axes.set_xlabel("images seen", fontsize=9)
        axes.grid(alpha=0.2, linewidth=0.5)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def _subset(count: int) -> NDArray[np.int64]:
    """At most MOST_POINTS of `count` places, in random order, so that no class is drawn on top of all others."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[:MOST_POINTS].numpy()


def _scatter(
    axes: "Axes", points: NDArray[np.float32], classes: NDArray[np.int64] | None, names: tuple[str, ...] | None
) -> None:
    # A hundred points are drawn large and solid, twenty thousand small and translucent.
    style: dict[str, Any] = {"s": float(np.clip(40_000 / max(1, len(points)), 5, 40)), "linewidths": 0, "alpha": 0.65}
    if classes is None:
        axes.scatter(points[:, 0], points[:, 1], color=PALETTE[0], **style)
        return
    present = np.unique(classes)
    if len(present) > MOST_NAMES:
        drawn = axes.scatter(points[:, 0], points[:, 1], c=classes, cmap="viridis", **style)
        drawn.set_alpha(None)  # the colour bar would be as pale as the points
        axes.figure.colorbar(drawn, ax=axes, label="label")
        return
    texts = [str(k) if names is None else names[k] for k in present]
    _scatter_classes(axes, points, np.searchsorted(present, classes), texts, style)


def _scatter_classes(
    axes: "Axes", points: NDArray[np.float32], ranks: NDArray[np.int64], texts: list[str], style: dict[str, Any]
) -> None:
    """Draw points of classes 0 ... len(texts) - 1 in mixed order, a legend, and short names at the medians."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    colours = np.array([PALETTE[rank % len(PALETTE)] for rank in range(len(texts))])
    for turn, marker in enumerate(MARKERS):
        drawn = ranks // len(PALETTE) == turn
        if drawn.any():
            axes.scatter(points[drawn, 0], points[drawn, 1], c=colours[ranks[drawn]].tolist(), marker=marker, **style)
    handles = []
    for rank, text in enumerate(texts):
        colour, marker = str(colours[rank]), MARKERS[rank // len(PALETTE)]
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", markersize=7, label=text))
        x, y = np.median(points[ranks == rank], axis=0)
        halo = [withStroke(linewidth=3, foreground="white")]
        if max(map(len, texts)) <= LONGEST_TAG:
            axes.text(x, y, text, color=colour, weight="bold", fontsize=13, ha="center", va="center", path_effects=halo)
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
