"""What leaves the code as the decoder's window grows: one picture of several runs, and the numbers in it as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from acn.config import DecoderSettings
from acn.errors import UsageError
from acn.evaluation.figures import unconditional_kl
from acn.evaluation.plots import PALETTE
from acn.files import write_atomically, write_text_atomically
from acn.networks.centred import pixels_seen
from acn.progress import Stage
from acn.record import Evaluation
from acn.run_models import load_model
from acn.runs import Run
from acn.sampling.draws import Sampler
from acn.sampling.grids import Bytes, grid, to_pictures
from acn.units import nats_to_bits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 130


@dataclass(frozen=True)
class Seen:
    """A run's figures by what its decoder sees: `pixels` of `window`; nats per image, the KL also in bits.

    `cost` is the list: reconstruction and KL together.
    """

    window: str
    pixels: int
    kl: float
    kl_bits: float
    reconstruction: float
    cost: float

    @property
    def text(self) -> str:
        """Of a row of pictures."""
        return f"{self.window}: {self.kl:.1f} nats"


def seen_by(run: Run, found: Evaluation) -> Seen:
    """Look up what a run's decoder sees, and what its images cost.

    Raises:
        UsageError: its decoder has no window, or it has no code.
    """
    decoder = getattr(run.config.model, "decoder", None)
    if not isinstance(decoder, DecoderSettings) or decoder.kind != "local":
        raise UsageError(f"{run.path} has no window: its decoder is not local; give runs with model.decoder.kind=local")
    kl, values = unconditional_kl(found), found.values
    if kl is None:
        raise UsageError(f"{run.path} has no code, so a window takes nothing from it; give runs of another model")
    window = f"{decoder.window}{' grey' if decoder.grey else ''}"
    paid = values["reconstruction"]
    return Seen(window, pixels_seen(decoder), kl, nats_to_bits(kl), paid, paid + kl)


def draw_windows(
    runs: Sequence[tuple[Run, Evaluation]],
    originals: Tensor,
    path: Path,
    *,
    device: torch.device,
    stage: Stage,
    seed: int = 0,
) -> list[Seen]:
    """Draw KL and cost against the window, above what each run decodes from the codes of the same originals.

    The picture goes to `path`, and its numbers beside it, to the same name with the suffix `.csv`.

    Args:
        runs: with what was found of each, of one collection; they are drawn by the number of pixels that their decoders
            see.
        originals: level indices `[B, C, H, W]`, one column each.
        path: of the PNG.
        device: where the networks run.
        stage: where the progress of drawing goes.
        seed: of what is drawn from the decoders.

    Returns:
        The numbers, smallest window first.

    Raises:
        UsageError: a run has no window or no code; or there is no run.
        RunError: a run was not trained.
        StorageError: the disk refused.
    """
    if not runs:
        raise UsageError("a picture of windows needs a run; give one for each window")
    ordered = sorted(((seen_by(run, found), run) for run, found in runs), key=lambda pair: pair[0].pixels)
    seen, drawn = [point for point, _ in ordered], [originals[None]]
    advance = stage("decoding by windows", len(runs) * len(originals))
    for _, run in ordered:
        sampler = Sampler(load_model(run).to(device), torch.Generator().manual_seed(seed), progress=advance)
        drawn.append(sampler.reconstruct(originals, 1)[None, :, 0])
    pictures = to_pictures(torch.cat(drawn), ordered[0][1].palette)
    _save(seen, pictures, path)
    write_text_atomically(path.with_suffix(".csv"), as_csv(seen))
    return seen


def as_csv(seen: Sequence[Seen]) -> str:
    """The numbers as CSV, a line for each run."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Seen)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(point) for point in seen)
    return stream.getvalue()


def _save(seen: Sequence[Seen], pictures: Bytes, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = grid(pictures)
    width = 9.0
    below = (width - 1.5) * shown.height / shown.width
    figure = Figure(figsize=(width, 3 + below), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.add_gridspec(2, 2, height_ratios=(3, below))
    left, right, under = (figure.add_subplot(place) for place in (places[0, 0], places[0, 1], places[1, :]))
    _curve(left, seen, [point.kl for point in seen], "KL of the code, nats per image")
    left.set_ylim(0, 1.15 * max(0.1, *(point.kl for point in seen)))
    bits = nats_to_bits(1)
    in_bits = left.secondary_yaxis("right", functions=(partial(np.multiply, bits), partial(np.multiply, 1 / bits)))
    in_bits.set_ylabel("bits")
    _curve(right, seen, [point.cost for point in seen], "reconstruction + KL, nats per image")
    under.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    tall = shown.height / len(pictures)
    names = ["originals", *(point.text for point in seen)]
    under.set_yticks([tall * (row + 0.5) for row in range(len(names))], names, fontsize=9)
    under.set_xticks([])
    under.tick_params(length=0)
    under.spines[:].set_visible(False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def _curve(axes: "Axes", seen: Sequence[Seen], values: Sequence[float], title: str) -> None:
    pixels = [point.pixels for point in seen]
    axes.plot(pixels, values, color=PALETTE[0], marker="o", markersize=4, linewidth=1)
    for point, value in zip(seen, values, strict=True):
        axes.annotate(point.window, (point.pixels, value), (4, 4), textcoords="offset points", fontsize=8)
    axes.margins(x=0.12, y=0.15)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("pixels that the window shows", fontsize=9)
    axes.grid(alpha=0.2, linewidth=0.5)
