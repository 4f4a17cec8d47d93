"""What the explorer shows: the images of one split or several, their codes, where these lie, and their neighbours.

Letters: N images, D code size, P principal components, k neighbours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.components import Floats, PrincipalComponents
from acn.data import Images, spread
from acn.data.joined import Joined
from acn.errors import RunError
from acn.evaluation.clustering import CLUSTERS, Groups
from acn.evaluation.costs import encode
from acn.memory import nearest, squared_distances
from acn.models import Model
from acn.run_models import load_priors
from acn.runs import Run
from acn.web.layout import fingerprint

Found = list[tuple[int, float]]
# Images that are encoded again to see whether stored codes are still those of the model; how much they may differ.
PROBES = 16
TOLERANCE = 1e-3
# float32 values of images held at once by the search among pixels.
PIXEL_VALUES = 2**21


@dataclass(frozen=True, eq=False)
class Atlas:
    """`codes` `[N, D]` of `images`, row i for image i. `title` says to people where these are from."""

    run: Run
    title: str
    images: Joined
    codes: Tensor
    principal: PrincipalComponents
    points: Floats
    fingerprint: str

    def names(self) -> tuple[list[str], Groups] | None:
        """Texts of the labels that occur, and for each image `[N]` which of them is its own; None without labels."""
        if self.images.labels is None:
            return None
        groups, texts = self.images.labels
        return texts, groups.astype(np.uint32)

    def splits(self) -> tuple[list[str], Groups]:
        """Names of the splits, and for each image `[N]` which of them it is in."""
        return list(self.images.splits), self.images.split_of.astype(np.uint32)

    def called(self, text: str) -> NDArray[np.uint32]:
        """Rows of the images whose file names contain `text`, in capitals or not; none where images have no files."""
        sought = text.casefold()
        found = [row for row, name in enumerate(self.images.files or ()) if sought in name.casefold()]
        return np.array(found, dtype=np.uint32)

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
    splits: Mapping[str, Images],
    *,
    title: str,
    stored: bool,
    progress: Callable[[float], None],
) -> Atlas:
    """Find the codes of the images of `splits` and place them.

    Args:
        run: whose model it is.
        model: on the device that is to be used.
        splits: what to show, by name.
        title: names the source of the images.
        stored: `train` holds the images that the run was trained on, so that codes kept by `acn evaluate` may serve.
        progress: is called with how many more images are encoded.
    """
    parts = []
    for name, images in splits.items():
        kept = stored_codes(run, model, images) if stored and name == "train" else None
        parts.append(encode(model, images, progress) if kept is None else kept)
    codes = torch.cat(parts)
    principal = PrincipalComponents.of(codes.numpy())
    points = principal.project(codes.numpy())
    return Atlas(run, title, Joined(splits), codes, principal, points, fingerprint(codes.numpy()))


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
