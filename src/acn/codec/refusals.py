"""What an archive cannot hold, or a file that is restored: refused before anything is coded or written."""

from collections.abc import Iterable

from acn.codec.archive import Archive
from acn.codec.folder import FolderImages
from acn.codec.frozen import FrozenModel
from acn.data import Images
from acn.errors import ArchiveError, DataError, UsageError

NO_TOUR = "a lossy archive has no tour: choose list, or set, which forgets the order for fewer bytes"


def refuse_planes(archive: Archive, where: str) -> None:
    """Refuse to restore to `where` an archive of which that could hold a part only.

    Raises:
        ArchiveError: the archive holds transparency or 16-bit samples.
    """
    if any(block.planes is not None for block in archive.header.blocks):
        raise ArchiveError(
            f"the archive holds transparency or 16 bits per sample, which {where} would lose: restore it into a folder"
        )


def refuse_step(model: FrozenModel) -> None:
    """Refuse a lossy archive by a model without codes, which are all that such an archive holds.

    Raises:
        UsageError: the model has none.
    """
    if not model.facts.settings.has_codes:
        label = model.facts.settings.label
        raise UsageError(f"a lossy archive needs codes, which a {label} does not have; use another model")


def refuse_tour(model: FrozenModel, step: float | None) -> None:
    """Refuse to code images along a tour where the archive is lossy, or the model lacks a part.

    Raises:
        UsageError: it is, or does.
    """
    if step is not None:
        raise UsageError(NO_TOUR)
    if not model.facts.with_prior:
        raise UsageError(_no_tour(model))


def refuse_rich(splits: Iterable[Images | FolderImages], kept: str) -> None:
    """Refuse images with transparency or 16 bits; `kept` ends the sentence: where archives keep these.

    Raises:
        DataError: there is one.
    """
    for images in splits:
        if isinstance(images, FolderImages):
            for name, traits in zip(images.files, images.traits, strict=True):
                if traits.alpha or traits.deep:
                    found = "transparency" if traits.alpha else "16 bits per sample"
                    raise DataError(f"{name} has {found}, which an archive keeps {kept}")


def _no_tour(model: FrozenModel) -> str:
    """Say what the mode `tour` needs, and what was found."""
    settings = model.facts.settings
    if settings.conditional:
        return "the mode tour needs the model with its prior network, found one without"
    return (
        f"the mode tour needs a prior conditioned on a neighbour, which a {settings.label} does not have: "
        "use the mode list or set"
    )
