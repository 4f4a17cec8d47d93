"""Where `acn compress` has its model from: a run, or a training on the very images that it compresses."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from rich.console import Console

    from acn.codec.archiver import Splits
    from acn.codec.bitsback import Mode
    from acn.codec.folder import FolderImages
    from acn.codec.frozen import FrozenModel
    from acn.codec.layout import Extent
    from acn.config import ImageShape, ModelSettings
    from acn.data import Collection
    from acn.runs import Run
    from acn.training.crops import Crops

SAMPLE, OWN_SAMPLE = 128, 64
# Passes of a training that ends by the clock, however few its images are.
ENDLESS = 10**6


class Origin(Protocol):
    """A model that there is, or will be: the settings of its family, and what it knows of images."""

    @property
    def settings(self) -> "ModelSettings":
        """Of the family."""

    @property
    def shape(self) -> "ImageShape":
        """Of the images."""

    @property
    def palette(self) -> "NDArray[np.uint8]":
        """The value of each level."""

    def frozen(self, splits: "Splits", modes: "tuple[Mode, ...]", *, rounded: bool) -> "FrozenModel":
        """The model in exact integers; `rounded`: as far as makes the archive of `splits` shorter."""


@dataclass(frozen=True)
class OfRun:
    """The model of a run."""

    run: "Run"

    @property
    def settings(self) -> "ModelSettings":
        """See `Origin`."""
        return self.run.config.model

    @property
    def shape(self) -> "ImageShape":
        """See `Origin`."""
        return self.run.shape

    @property
    def palette(self) -> "NDArray[np.uint8]":
        """See `Origin`."""
        return self.run.palette

    def frozen(self, splits: "Splits", modes: "tuple[Mode, ...]", *, rounded: bool) -> "FrozenModel":
        """See `Origin`."""
        from acn.codec.store import frozen_model, model_to_embed

        if not rounded:
            return frozen_model(self.run)
        return model_to_embed(self.run, sample_of(splits), sum(map(len, splits.values())), modes)


@dataclass(frozen=True)
class OfPhotos:
    """A model without codes, which is trained on photographs when it is asked for: for `minutes`, None by their number.

    `crops`: of the photographs, of which there are `images`. `extent`: their height and width if they are of one size.
    `device`: where it is trained.
    """

    crops: "Crops"
    images: int
    extent: "Extent | None"
    minutes: float | None
    device: "torch.device"
    console: "Console"

    @property
    def settings(self) -> "ModelSettings":
        """See `Origin`."""
        from acn.recipes import own_of

        return own_of(self.crops.shape, round(self.crops.count))

    @property
    def shape(self) -> "ImageShape":
        """See `Origin`."""
        return self.crops.shape

    @property
    def palette(self) -> "NDArray[np.uint8]":
        """See `Origin`."""
        return self.crops.palette

    def frozen(self, splits: "Splits", modes: "tuple[Mode, ...]", *, rounded: bool) -> "FrozenModel":
        """See `Origin`.

        Raises:
            TrainingError: the loss is not finite.
        """
        from acn.cli.progress import training_bar
        from acn.codec.layout import fits_a_piece
        from acn.codec.store import smallest
        from acn.models import exact_model
        from acn.recipes import own_minutes, own_of
        from acn.training.own import train_own
        from acn.wording import counted

        crops = self.crops
        settings = own_of(crops.shape, round(crops.count))
        minutes = self.minutes or own_minutes(crops.shape, round(crops.count))
        filters = settings.decoder.filters
        images, duration = counted(self.images, "image"), counted(minutes, "minute")
        self.console.print(f"Training {filters} filters on {images} for {duration}", highlight=False)
        with training_bar(self.console) as show:
            model = train_own(
                crops,
                settings,
                60 * minutes,
                self.device,
                lambda share, left, bits: show(share, left, f"{bits:.3f} bits/dim"),
            )
        exact = exact_model(model.cpu(), "an archive")
        frozen = smallest(exact, crops.palette, None, crops.sample(OWN_SAMPLE), round(crops.count))
        if self.extent is None or not fits_a_piece(self.extent, crops.shape.channels):
            return frozen
        return frozen.sized(*self.extent)


def own_origin(
    source: str,
    split: str | None,
    images: "dict[str, FolderImages] | None",
    out: Path,
    minutes: float | None,
    device: "torch.device",
    *,
    coded: bool,
    embed: bool,
) -> Origin:
    """A model that is trained on the images of a source themselves.

    Args:
        source: of the images.
        split: only this one, None for all.
        images: of a folder, None of any other source.
        out: the archive.
        minutes: of training; None for what the images ask for.
        device: where networks run.
        coded: whether the archive takes a model with codes.
        embed: whether the archive will hold the model.

    Raises:
        DataError: the images cannot be trained on.
        UsageError: nothing says how long to train; or the model would be nowhere.
    """
    from rich.console import Console

    from acn.cli.archiving import collection_of
    from acn.config import DataSettings
    from acn.data import open_whole
    from acn.errors import UsageError
    from acn.recipes import PHOTO_LEVELS

    settings, console = DataSettings(source=source), Console(stderr=True)
    crops, extent = _crops_of_folder(images) if images is not None else _crops_of_arrays(open_whole(settings, split))
    if crops.shape.levels >= PHOTO_LEVELS and not coded:
        if not embed:
            raise UsageError(
                "a model trained for one archive has to be in it: leave out --no-embed, or name a run with --model"
            )
        return OfPhotos(crops, crops.images, extent, minutes, device, console)
    if minutes is None:
        why = "an archive that uses codes" if coded else f"an archive of images of {crops.shape.levels} levels"
        raise UsageError(
            f"{why} needs --model RUN or --train-minutes M: without them, acn compress trains models only for lossless "
            "archives of photographs"
        )
    for part in (images or {}).values():
        part.refuse_sizes()
    collection = open_whole(settings, split) if images is None else collection_of(images, settings)
    return OfRun(_trained(console, source, collection, out, minutes, device))


def _crops_of_folder(splits: "dict[str, FolderImages]") -> "tuple[Crops, Extent | None]":
    """Crops of all images, and their height and width if they are of one size."""
    from itertools import chain

    from acn.training.crops import cut

    extents = [extent for images in splits.values() for extent in images.extents]
    pixels = sum(height * width for height, width in extents)
    crops = cut(chain.from_iterable(images.each() for images in splits.values()), pixels)
    return crops, extents[0] if len(set(extents)) == 1 else None


def _crops_of_arrays(collection: "Collection") -> "tuple[Crops, Extent | None]":
    """The same of images that are all of one size."""
    from acn.training.crops import cut

    shape, images = collection.shape, collection.train
    values = (images.values([row])[0] for row in range(len(images)))
    return cut(values, len(images) * shape.height * shape.width), (shape.height, shape.width)


def _trained(
    console: "Console", source: str, collection: "Collection", out: Path, minutes: float, device: "torch.device"
) -> "Run":
    """Train the recipe `archive` on a collection, or go on where an interrupted command left off."""
    from acn.cli.train import fewer_neighbours, train_on
    from acn.evaluation.evaluate import fit_priors
    from acn.parsing import override
    from acn.recipes import recipe
    from acn.run_models import load_model
    from acn.training.opening import resume_or_begin

    folder = out.with_name(out.name + ".run")
    lasting = [f"training.max_minutes={minutes}", f"training.epochs={ENDLESS}"]
    config = override(recipe("archive"), [f"data.source={source}", *lasting])
    config = fewer_neighbours(console, config, len(collection.train))
    run, state = resume_or_begin(folder, config, collection, device, "delete it to train again")
    train_on(console, run, collection, state, "the same command")
    fit_priors(run, load_model(run).to(device), collection)
    return run


def sample_of(splits: "Splits") -> "torch.Tensor":
    """Level indices `[B, C, H, W]` of at most `SAMPLE` images, evenly spaced over all splits in turn."""
    import torch

    from acn.data import spread

    rows = spread(sum(map(len, splits.values())), SAMPLE)
    parts, start = [], 0
    for images in splits.values():
        parts.append(images.batch(rows[(start <= rows) & (rows < start + len(images))] - start))
        start += len(images)
    return torch.cat(parts)
