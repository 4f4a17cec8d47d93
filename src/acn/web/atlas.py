"""What the explorer shows: the images of one split, their codes, where these lie, and their neighbours.

Letters: N images, D code size, P principal components, k neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acn.components import Floats, PrincipalComponents
from acn.data import Images, spread
from acn.errors import RunError
from acn.evaluation.clustering import CLUSTERS, Groups
from acn.evaluation.costs import encode
from acn.exports import label_texts
from acn.memory import nearest, squared_distances
from acn.models import Model
from acn.runs import Run, load_priors
from acn.web.layout import fingerprint

Found = list[tuple[int, float]]
# Images that are encoded again to see whether stored codes are still those of the model; how much they may differ.
PROBES = 16
TOLERANCE = 1e-3
# float32 values of images held at once by the search among pixels.
PIXEL_VALUES = 2**21


@dataclass(frozen=True, eq=False)
class Atlas:
    """`codes` `[N, D]` of `images`, row i for image i. `title` and `split` say to people which images these are."""

    run: Run
    title: str
    split: str
    images: Images
    codes: Tensor
    principal: PrincipalComponents
    points: Floats
    fingerprint: str

    def names(self) -> tuple[list[str], Groups] | None:
        """Texts of the labels that occur, and for each image `[N]` which of them is its own; None without labels."""
        if self.images.labels is None:
            return None
        known, first, groups = np.unique(self.images.labels, return_index=True, return_inverse=True)
        texts = label_texts(self.images.take(first.astype(np.int64)))
        return texts[: len(known)], groups.astype(np.uint32)

    def cluster_count(self) -> int:
        """As many clusters as there are labels, or ten where that says nothing."""
        named = self.names()
        return len(named[0]) if named and 2 <= len(named[0]) <= 3 * CLUSTERS else CLUSTERS

    def by_code(self, code: Tensor, k: int, own: int | None) -> Found:
        """Rows of the `k` nearest codes to `code` `[D]` and their Euclidean distances; never the row `own`."""
        k = min(k, len(self.codes) - (own is not None))
        if k == 0:
            return []
        exclude = None if own is None else torch.tensor([own])
        rows = nearest(code[None], self.codes, k, exclude=exclude)[0]
        return _pairs(rows, squared_distances(code, self.codes[rows]))

    def by_pixels(self, levels: Tensor, k: int, own: int | None) -> Found:
        """Rows of the `k` images nearest to `levels` `[C, H, W]`, by Euclidean distance of levels; never `own`."""
        query = levels.flatten().float()
        step = max(1, PIXEL_VALUES // len(query))
        squares = torch.cat(
            [
                (self.images.batch(range(start, min(start + step, len(self.images)))).flatten(1).float() - query)
                .square()
                .sum(1, dtype=torch.float64)
                for start in range(0, len(self.images), step)
            ]
        )
        if own is not None:
            squares[own] = torch.inf
        k = min(k, len(squares) - (own is not None))
        distances, rows = squares.sort(stable=True)
        return _pairs(rows[:k], distances[:k])


def open_atlas(
    run: Run,
    model: Model,
    images: Images,
    *,
    title: str,
    split: str,
    stored: bool,
    progress: Callable[[float], None],
) -> Atlas:
    """Find the codes of `images` and place them.

    Args:
        run: whose model it is.
        model: on the device that is to be used.
        images: what to show.
        title: names the source of the images.
        split: names their split.
        stored: these are the images that the run was trained on, so that codes kept by `acn evaluate` may serve.
        progress: is called with how many more images are encoded.
    """
    codes = stored_codes(run, model, images) if stored else None
    if codes is None:
        codes = encode(model, images, progress)
    principal = PrincipalComponents.of(codes.numpy())
    points = principal.project(codes.numpy())
    return Atlas(run, title, split, images, codes, principal, points, fingerprint(codes.numpy()))


def stored_codes(run: Run, model: Model, images: Images) -> Tensor | None:
    """Codes `[N, D]` that `acn evaluate` kept; None if there are none, or a sample shows they are not the model's."""
    try:
        codes = load_priors(run).codes
    except RunError:
        return None
    if len(codes) != len(images):
        return None
    rows = spread(len(images), PROBES)
    fresh = encode(model, images.take(rows), lambda _: None)
    return codes.float() if torch.allclose(fresh, codes[rows], rtol=0, atol=TOLERANCE) else None


def _pairs(rows: Tensor, squares: Tensor) -> Found:
    return list(zip(rows.tolist(), squares.sqrt().tolist(), strict=True))
