"""How the golden archives were made: python -m tests.codec.make_golden. The tests only read them.

To be run again for a new version of the format alone; archives of earlier versions stay as they are.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from acn.codec import archiver as codec
from acn.codec import layout
from acn.codec.archive import read
from acn.codec.archiver import compress_splits
from acn.codec.bitsback import Mode
from acn.codec.folder import survey
from acn.codec.frozen import FrozenModel
from acn.codec.modelfile import to_bytes
from acn.codec.restoring import model_of, restore
from acn.data import ALL_BYTES, Images
from tests.codec.models import random_images, tiny, tiny_pixelcnn, tiny_spatial, tiny_vlae

GOLDEN = Path(__file__).parent / "golden"


def make(
    name: str,
    model: FrozenModel,
    mode: Mode,
    counts: dict[str, int],
    batch: int,
    *,
    embed: bool = True,
    step: float | None = None,
) -> None:
    splits = {}
    for seed, (split, count) in enumerate(counts.items()):
        images = random_images(model, count, seed)
        labels = np.arange(count) % 3
        names = ("round", "square", "ünlabelled")
        files = tuple(f"{names[label]}/{number}.jpeg" for number, label in enumerate(labels))
        splits[split] = Images(images, ALL_BYTES, labels, names, files)
    data = compress_splits(splits, model, modes=[mode], batch=batch, embed=embed, step=step)
    (GOLDEN / f"{name}.acn").write_bytes(data)
    if not embed:
        (GOLDEN / f"{name}.acnm").write_bytes(to_bytes(model))
    arrays: dict[str, Any] = {split: images.pixels for split, images in splits.items()}
    if step is not None:  # what an archive without loss would not give back
        archive = read(data)
        parts: dict[str, list[Any]] = {split: [] for split in splits}
        for number, block in enumerate(archive.header.blocks):
            parts[archive.header.splits[block.split]].append(restore(archive, model_of(archive, model), number))
        arrays = {split: np.concatenate(found) for split, found in parts.items()}
    np.savez_compressed(GOLDEN / f"{name}.npz", **arrays)


def blocks_of(images: int) -> None:
    vars(codec)["BLOCK_IMAGES"] = images


def lossy() -> None:
    """Archives of version 3: two blocks and two splits; colours, a set; a flow; and a model of its own file."""
    blocks_of(9)
    make("lossy-list", tiny((5, 4, 1, 2), seed=7), "list", {"train": 12, "test": 5}, 4, step=2.0)
    blocks_of(2**16)
    colour = tiny((3, 4, 3, 4), seed=8, palette=(0, 17, 130, 255), covariance="diag", with_prior=False)
    make("lossy-set", colour, "set", {"images": 20}, 8, step=0.5)
    local = tiny((6, 5, 1, 3), seed=9, decoder={"kind": "local", "window": "3x1"})
    flowing = tiny_vlae((5, 6, 1, 2), seed=10, code_size=4, flow={"steps": 3}, encoder={"filters": [3, 5]})
    make("lossy-vlae-list", flowing, "list", {"train": 12, "test": 5}, 8, step=0.5)
    make("lossy-elsewhere-list", local, "list", {"images": 11}, 8, embed=False, step=0.7)


def sizes() -> None:
    """An archive of version 4: two sizes, one of them in strips, in two splits; and one without details."""
    vars(layout).update(PIECE=120, BLOCK=150)
    random, model = np.random.default_rng(13), tiny_pixelcnn((6, 5, 3, 256), seed=13)
    extents = {"train": [(6, 5), (17, 5), (6, 5)], "test": [(9, 7)]}
    with TemporaryDirectory() as folder:
        arrays: dict[str, Any] = {}
        paths: dict[str, list[Path]] = {}
        for split, found in extents.items():
            for number, extent in enumerate(found):
                name = f"{split}{number}.png"
                arrays[name] = random.integers(0, 256, (*extent, 3), np.uint8)
                Image.fromarray(arrays[name]).save(Path(folder) / name)
                paths.setdefault(split, []).append(Path(folder) / name)
        files = {split: [path.name for path in found] for split, found in paths.items()}
        splits, _ = survey(paths, files, dict.fromkeys(paths, (None, None)))
        for mode in ("list", "set"):
            data = compress_splits(splits, model, modes=[mode])
            (GOLDEN / "sizes" / f"{mode}.acn").write_bytes(data)
        np.savez_compressed(GOLDEN / "sizes" / "images.npz", **arrays)


def own() -> None:
    """Archives of models without codes: two blocks, splits and batches, every byte a level; a set of grey images."""
    blocks_of(4)
    make("own-list", tiny_pixelcnn((4, 5, 3, 256), seed=11), "list", {"train": 6, "test": 2}, 3)
    blocks_of(2**16)
    palette = tuple(range(0, 240, 3))
    grey = tiny_pixelcnn((6, 5, 1, 80), seed=12, palette=palette, window="3x1", errors=3, components=2, blocks=2)
    make("own-set", grey, "set", {"images": 12}, 64)


def spatial() -> None:
    """Archives by models of version 4: codes that are pictures, and levels in order in waves.

    An earlier program made `early-list` as `waves-list` is made, of version 2: pixel after pixel.
    """
    photos = {"window": "5x2", "emission": "logistic", "errors": 3}
    sizes = {"filters": [4, 3], "blocks": [1, 1]}
    grey = tiny_spatial((4, 6, 1, 5), seed=15, flow={"steps": 3})
    make("spatial-list", grey, "list", {"train": 12, "test": 5}, 8)
    colour = tiny_spatial((4, 4, 3, 256), seed=16, code_size=4, spatial=sizes, decoder=photos)
    make("spatial-set", colour, "set", {"images": 9}, 64)
    deep = tiny_spatial((4, 8, 3, 40), seed=17, code_size=6, spatial={"filters": [3, 2, 4], "blocks": [1, 0, 2]})
    make("lossy-spatial-list", deep, "list", {"train": 12, "test": 5}, 8, step=0.5)
    make("waves-list", tiny_vlae((3, 4, 3, 256), seed=18, decoder=photos), "list", {"images": 5}, 4)


def linked() -> None:
    """Archives by models of version 5, whose prior given a neighbour is autoregressive; codes of one number, too."""
    blocks_of(9)
    make("linked-tour", tiny((4, 5, 1, 5), seed=19, prior_autoregressive=7), "tour", {"train": 12, "test": 5}, 8)
    blocks_of(2**16)
    palette = (0, 17, 130, 255)
    colour = tiny((3, 4, 3, 4), seed=20, code_size=1, prior_hidden=[], prior_autoregressive=3, palette=palette)
    make("linked-set", colour, "set", {"images": 10}, 8)
    make("linked-one-tour", colour, "tour", {"images": 20}, 8, embed=False)


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    grey, colour = (4, 5, 1, 5), (3, 4, 3, 4)
    deep = {"filters": 3, "blocks": 2, "canvas": 0, "kernel": 5, "first_kernel": 3}
    binary = tiny((5, 4, 1, 2), covariance="diag", with_prior=False, decoder=deep)
    palette = (0, 17, 130, 255)
    blocks_of(9)
    make("binary-list", binary, "list", {"train": 21, "test": 5}, 64)
    blocks_of(2**16)
    make("grey-list", tiny(grey, components=1), "list", {"images": 30}, 7)
    make("grey-set", tiny(grey, palette=(0, 1, 7, 8, 200)), "set", {"train": 25, "empty": 0}, 16)
    make("grey-tour", tiny(grey, seed=1, covariance="diag"), "tour", {"images": 30}, 256)
    make("colour-list", tiny(colour, palette=palette), "list", {"images": 12}, 1)
    make("colour-set", tiny(colour, palette=palette, decoder=deep), "set", {"images": 20}, 4)
    make("colour-tour", tiny(colour, palette=palette, encoder={"hidden": 0}), "tour", {"a": 12, "b": 3}, 8)
    make("bytes-list", tiny((2, 3, 3, 256), code_size=1, prior_hidden=[3]), "list", {"images": 5}, 8)
    large = tiny((33, 32, 1, 2), precision=2, encoder={"stages": [[2]], "hidden": 0}, decoder={"canvas": 1})
    make("large-list", large, "list", {"images": 1}, 8)
    wide = tiny((6, 5, 1, 2), seed=3, decoder={"blocks": 2, "kernel": 7, "separable": True})
    make("separable-tour", wide, "tour", {"images": 23}, 8)
    many = tiny(colour, seed=4, prior_hidden=[], decoder={"blocks": 2, "kernel": 5, "separable": True})
    make("separable-list", many, "list", {"images": 9}, 4)
    near = tiny((6, 5, 1, 2), seed=5, decoder={"kind": "local", "window": "5x3", "blocks": 2})
    make("local-tour", near, "tour", {"images": 23}, 8)
    beside = tiny(colour, seed=6, decoder={"kind": "local", "window": "2x1", "canvas": 0})
    make("local-list", beside, "list", {"images": 9}, 4)
    photos = {"kind": "local", "window": "5x2", "emission": "logistic"}
    make("photos-list", tiny((4, 5, 3, 256), seed=7, decoder=photos), "list", {"images": 6}, 4)
    scans = {"kind": "local", "window": "3x1", "emission": "logistic", "components": 2, "errors": 2, "canvas": 0}
    make("photos-tour", tiny((5, 4, 1, 256), seed=8, decoder=scans), "tour", {"images": 11}, 4)
    stacks = {"emission": "logistic", "components": 3, "blocks": 2, "separable": True}
    make("photos-set", tiny((4, 4, 3, 20), seed=9, decoder=stacks), "set", {"images": 9}, 4)
    flowing = tiny_vlae((6, 5, 1, 2), code_size=4, encoder={"filters": [3, 5, 4]})
    make("vlae-list", flowing, "list", {"train": 21, "test": 5}, 8)
    plain = tiny_vlae(colour, seed=1, prior="normal", encoder={"filters": [3]}, decoder={"window": "2x1"})
    make("vlae-set", plain, "set", {"images": 20}, 64)
    lossy()
    own()
    sizes()
    spatial()
    linked()
    make("model-elsewhere", tiny(grey, seed=2), "tour", {"images": 11}, 8, embed=False)


if __name__ == "__main__":
    main()
