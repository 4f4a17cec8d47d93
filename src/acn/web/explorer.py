"""The state behind the page: the atlas, what is worked out when first asked for, and the images that were dropped."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.errors import DataError
from acn.evaluation.clustering import Groups, clusters
from acn.web.atlas import Atlas
from acn.web.layout import UmapLayout, umap_is_installed, umap_layout
from acn.web.lazy import Lazy
from acn.web.uploads import MOST_BYTES, Landed, LandedImages
from acn.web.worker import ModelWorker

MOST_SECONDS = 20.0  # to wait for the end of the loading


class _EndedError(Exception):
    """The explorer was ended while it was loading."""


@dataclass
class Progress:
    """How far the loading is; `total` 0 while that is not known."""

    done: float = 0
    total: int = 0
    ended: bool = False

    def advance(self, count: float) -> None:
        """Note that `count` more images are encoded.

        Raises:
            _EndedError: nobody waits for them any more.
        """
        if self.ended:
            raise _EndedError
        self.done += count


class MissingImageError(DataError):
    """There is no image of this name."""


@dataclass(frozen=True, eq=False)
class Item:
    """An image of the atlas, or one that was dropped (then `row` is None): `levels` `[C, H, W]`, `code` `[D]`."""

    key: str
    row: int | None
    levels: Tensor
    code: Tensor


@dataclass(frozen=True, eq=False)
class Opened:
    """An atlas and what works on it."""

    atlas: Atlas
    worker: ModelWorker
    landed: LandedImages = field(default_factory=LandedImages)
    clusters: Lazy[Groups] = field(init=False)
    umap: Lazy[UmapLayout] = field(init=False)

    def __post_init__(self) -> None:
        codes, count = self.atlas.codes.numpy(), self.atlas.cluster_count()
        object.__setattr__(self, "clusters", Lazy(lambda: clusters(codes, count)))
        object.__setattr__(self, "umap", Lazy(lambda: umap_layout(codes)))

    def item(self, key: str) -> Item:
        """Find an image by the row in the atlas, or by the name that `land` gave it.

        Raises:
            MissingImageError: there is none, or a dropped image was forgotten.
        """
        atlas = self.atlas
        if key in self.landed:
            landed = self.landed[key]
            return Item(key, None, landed.upload.levels, landed.code)
        if key.startswith("drop-"):
            raise MissingImageError("this image is no longer held; drop it again")
        if not (key.isascii() and key.isdigit() and len(key) < 19 and int(key) < len(atlas.images)):
            raise MissingImageError(f"there is no image {key[:40]}; there are 0 to {len(atlas.images) - 1}")
        row = int(key)
        return Item(key, row, atlas.images.batch([row])[0], atlas.codes[row])

    def describe(self) -> dict[str, Any]:
        """What the page has to know before it draws."""
        atlas = self.atlas
        named = atlas.names()
        return {
            "run": atlas.run.path.resolve().name,
            "title": atlas.title,
            "splits": list(atlas.images.splits),
            "files": atlas.images.files is not None,
            "count": len(atlas.images),
            "shape": atlas.run.shape.model_dump(),
            "code_size": atlas.codes.shape[1],
            "shares": atlas.principal.shares.tolist(),
            "labels": named[0] if named else None,
            "clusters": min(atlas.cluster_count(), len(atlas.images)),
            "umap": umap_is_installed() and len(atlas.images) > 3,
            "daydreams": self.worker.model.conditional,
            "most_bytes": MOST_BYTES,
            "fingerprint": atlas.fingerprint,
        }

    def details(self, item: Item, near: int) -> dict[str, Any]:
        """What the page shows of an image at once; `near` neighbours in code space."""
        atlas, row = self.atlas, item.row
        place = atlas.points[row] if row is not None else atlas.principal.project(item.code.numpy()[None])[0]
        landed: Landed | None = self.landed.get(item.key)
        return {
            "key": item.key,
            "file": atlas.images.files[row] if row is not None and atlas.images.files else None,
            "code": item.code.tolist(),
            "place": place.tolist(),
            "by_code": atlas.by_code(item.code, near, row),
            "done": landed.upload.done if landed else None,
        }

    def table(self, rows: NDArray[np.uint32], clusters: Groups | None = None) -> str:
        """CSV of the images at `rows` `[n]`: `index` in its split, `split`, `file_name` and `label` where images have
        them, and the number of the cluster, from 1, if `clusters` `[N]` are given.
        """
        images, text = self.atlas.images, io.StringIO()
        names, split_of = self.atlas.splits()
        labels = self.atlas.names()
        columns: dict[str, Callable[[int], object]] = {
            "index": lambda row: images.index[row],
            "split": lambda row: names[split_of[row]],
        }
        if (files := images.files) is not None:
            columns["file_name"] = lambda row: files[row]
        if labels is not None:
            columns["label"] = lambda row: labels[0][labels[1][row]]
        if clusters is not None:
            columns["cluster"] = lambda row: clusters[row] + 1
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([value(row) for value in columns.values()] for row in rows.tolist())
        return text.getvalue()

    def matrix(self, columns: tuple[int, int]) -> bytes:
        """Two principal components of all images, float32 `[2, N]` in native order."""
        return np.ascontiguousarray(self.atlas.points[:, columns].T).tobytes()


Load = Callable[[Progress], tuple[Atlas, Any]]


class Explorer:
    """Opens the atlas on a thread of its own while the server answers already."""

    def __init__(self, load: Load) -> None:
        self.progress = Progress()
        self.opened = Lazy(lambda: self._open(load))

    def _open(self, load: Load) -> Opened:
        with torch.inference_mode():
            atlas, model = load(self.progress)
        return Opened(atlas, ModelWorker(model))

    def close(self) -> None:
        """End what is being encoded or drawn, and wait for it: a thread inside PyTorch must not outlive the program."""
        self.progress.ended = True
        future = self.opened.future
        self.opened.settle(MOST_SECONDS)
        if future.done() and not future.exception():
            future.result().worker.close()
