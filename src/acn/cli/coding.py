"""Where `acn compress` has its model from: a run, or a training on the very images that it compresses."""

from dataclasses import dataclass, replace
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
    from acn.config import ImageShape, ModelSettings
    from acn.data import Collection
    from acn.runs import Run

SAMPLE, OWN_SAMPLE = 128, 64


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

    `device`: where it is trained.
    """

    collection: "Collection"
    minutes: float | None
    device: "torch.device"
    console: "Console"

    @property
    def settings(self) -> "ModelSettings":
        """See `Origin`."""
        from acn.recipes import own_of

        return own_of(self.shape, len(self.collection.train))

    @property
    def shape(self) -> "ImageShape":
        """See `Origin`."""
        return self.collection.shape

    @property
    def palette(self) -> "NDArray[np.uint8]":
        """See `Origin`."""
        return self.collection.palette

    def frozen(self, splits: "Splits", modes: "tuple[Mode, ...]", *, rounded: bool) -> "FrozenModel":
        """See `Origin`.

        Raises:
            TrainingError: the loss is not finite.
        """
        from acn.cli.progress import training_bar
        from acn.codec.store import smallest
        from acn.data import spread
        from acn.models import exact_model
        from acn.recipes import own_minutes, own_of
        from acn.training.own import train_own

        images, count = self.collection.train, len(self.collection.train)
        settings, minutes = own_of(self.shape, count), self.minutes or own_minutes(self.shape, count)
        filters = settings.decoder.filters
        self.console.print(f"Training {filters} filters on {count:,} images for {minutes:g} minutes", highlight=False)
        with training_bar(self.console) as show:
            model = train_own(
                images,
                settings,
                60 * minutes,
                self.device,
                lambda share, left, bits: show(share, left, f"{bits:.3f} bits/dim"),
            )
        return smallest(
            exact_model(model.cpu(), "an archive"), self.palette, None, images.batch(spread(count, OWN_SAMPLE)), count
        )


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
    from acn.recipes import are_photos

    settings, console = DataSettings(source=source), Console(stderr=True)
    collection = open_whole(settings, split) if images is None else collection_of(images, settings)
    if are_photos(collection.shape) and not coded:
        if not embed:
            raise UsageError(
                "a model that is trained for one archive has to be in it: leave out --no-embed, or name a run by "
                "--model"
            )
        return OfPhotos(_with_every_byte(collection), minutes, device, console)
    if minutes is None:
        why = "an archive that takes a model with codes" if coded else f"images of {collection.shape.levels} levels"
        raise UsageError(
            f"acn compress expects --model RUN or --train-minutes M here: without them it trains a model for lossless "
            f"archives of photographs alone, and found {why}"
        )
    return OfRun(_trained(console, source, collection, out, minutes, device))


def _with_every_byte(photos: "Collection") -> "Collection":
    """The same photographs, with a level for every byte if few are missing: a model then need not list them."""
    from acn.data import ALL_BYTES

    if photos.shape.levels < len(ALL_BYTES) * 3 // 4:
        return photos
    train, valid, test = (images.with_palette(ALL_BYTES) for images in photos.splits.values())
    return replace(photos, shape=train.shape, palette=ALL_BYTES, train=train, valid=valid, test=test)


def _trained(
    console: "Console", source: str, collection: "Collection", out: Path, minutes: float, device: "torch.device"
) -> "Run":
    """Train the recipe `archive` on a collection, or go on where an interrupted command left off."""
    from acn.cli.train import fewer_neighbours, train_on
    from acn.config import override
    from acn.evaluation.evaluate import fit_priors
    from acn.recipes import recipe
    from acn.runs import load_model
    from acn.training.opening import resume_or_begin

    folder = out.with_name(out.name + ".run")
    config = override(recipe("archive"), [f"data.source={source}", f"training.max_minutes={minutes}"])
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
