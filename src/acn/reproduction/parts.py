"""The parts of the reproduction: what each is called, which trainings it needs, and what it writes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from acn.errors import UsageError
from acn.reproduction import ablations, pictures, tables
from acn.reproduction.bars import figure2
from acn.reproduction.documents import Document
from acn.reproduction.plan import BASES, VARIANTS, Scale, Training
from acn.reproduction.summary import Found, Material

ABLATION = "ablation-"


@dataclass(frozen=True)
class Part:
    """A table or figure.

    `variants`: that it shows, in this order. `show`: makes it. `single`: it is drawn from the runs of seed 0, and from
    all variants together; other parts take every seed, and the variants that are there, of which they need `least`.
    """

    variants: tuple[str, ...]
    show: Callable[[Material], Document]
    single: bool = False
    least: int = 1

    def trainings(self, scale: Scale, seeds: int, source: str) -> list[Training]:
        """What it needs, seed by seed, so that an interrupted reproduction has whole tables of fewer seeds."""
        return [
            Training(variant, scale, seed, source)
            for seed in range(1 if self.single else seeds)
            for variant in self.variants
        ]

    def possible(self, found: Found) -> bool:
        """Whether it can be made from what is there."""
        return len(found) >= (len(self.variants) if self.single else self.least)


PARTS: dict[str, Part] = {
    "table1": Part(("pixelcnn", "vae", "pixelvae", "acn"), tables.table1),
    "table2": Part(("acn",), tables.table2),
    "table3": Part(("vae", "pixelvae", "acn"), tables.table3),
    "figure2": Part(("acn", "k20", "k100", "k1000", "pixelvae", "vae", "pixelcnn"), figure2),
    "figure3": Part(("acn",), pictures.figure3, single=True),
    "figure4": Part(("acn",), pictures.figure4, single=True),
    "figure5": Part(("acn", "pixelcnn"), pictures.figure5, single=True),
    "figure6": Part(("acn",), pictures.figure6, single=True),
    **{
        name: Part(tuple(comparison.rows), partial(ablations.compare, name), least=2)
        for name, comparison in ablations.COMPARISONS.items()
    },
    f"{ABLATION}tour": Part(("acn",), ablations.tour),
    f"{ABLATION}unconditional": Part(("acn",), ablations.unconditional),
}
GROUPS: dict[str, tuple[str, ...]] = {
    "ablations": tuple(name for name in PARTS if name.startswith(ABLATION)),
    "all": tuple(PARTS),
}


def parts_named(name: str) -> dict[str, Part]:
    """Return the part or the parts of the group called `name`, by name.

    Raises:
        UsageError: there is no such part.
    """
    if name not in PARTS and name not in GROUPS:
        raise UsageError(f"PART expects one of {', '.join([*PARTS, *GROUPS])}, found {name!r}")
    return {each: PARTS[each] for each in GROUPS.get(name, (name,))}


def scale_named(name: str) -> Scale:
    """Return the scale called `name`.

    Raises:
        UsageError: there is no such scale.
    """
    scales: dict[str, Scale] = {"cpu": "cpu", "paper": "paper"}
    if name not in scales:
        raise UsageError(f"--scale expects {' or '.join(scales)}, found {name!r}")
    return scales[name]


def document_of(part: Part, material: Material, missing: Sequence[Training], left_out: Sequence[Training]) -> Document:
    """Make a part and say under it how it was measured, and what is not in it.

    Args:
        part: which is possible.
        material: what it is made from.
        missing: trainings that are not there yet.
        left_out: trainings that ask for more neighbours than there are.
    """
    document = part.show(material)
    return replace(document, notes=(*document.notes, *_circumstances(part, material), *_gaps(missing, left_out)))


def _circumstances(part: Part, material: Material) -> list[str]:
    scale, splits = material.results[0].training.scale, material.collection.splits
    counts = ", ".join(f"{len(images):,} {name}" for name, images in splits.items())
    setting = f"Scale `{scale}`, recipe `{BASES[scale]}`; images: {counts}."
    if part.single:
        return [setting]
    several = any(len(results) > 1 for results in material.found.values())
    spread = (
        "Mean ± sample standard deviation over seeds (n - 1)" if several else "One seed, so that no spread is shown"
    )
    return [f"{setting} {spread}."]


def _gaps(missing: Sequence[Training], left_out: Sequence[Training]) -> list[str]:
    notes = []
    if missing:
        notes.append(f"Not trained yet: {', '.join(training.name for training in missing)}.")
    if left_out:
        names = dict.fromkeys(VARIANTS[training.variant].text for training in left_out)
        notes.append(f"Left out, since there are not as many other training images: {'; '.join(names)}.")
    return notes
