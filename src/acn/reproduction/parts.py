"""The parts of the reproduction: what each is called, which trainings it needs, and what it writes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from acn.errors import UsageError
from acn.evaluation.importance import Sampling
from acn.reproduction import ablations, colour_tables, lossy_pictures, lossy_tables, pictures, tables
from acn.reproduction.bars import figure2
from acn.reproduction.chen import ABLATION
from acn.reproduction.documents import Document
from acn.reproduction.plan import COLOUR, VARIANTS, WINDOWS, Training
from acn.reproduction.studies import STUDIES, Scale
from acn.reproduction.summary import Found, PageInputs
from acn.wording import unknown

VARIED, VLAE = "ablation-", "vlae-"
MORE_ROWS, MORE_CHAINS = 20, 16


@dataclass(frozen=True)
class Part:
    """A table or figure.

    `variants`: that it shows, in this order. `show`: makes it. `single`: it is drawn from the runs of seed 0, and from
    all variants together; other parts take every seed, and the variants that are there, of which they need `least`.
    """

    variants: tuple[str, ...]
    show: Callable[[PageInputs], Document]
    single: bool = False
    least: int = 1

    @property
    def study(self) -> str:
        """What all its variants belong to: one of `STUDIES`."""
        return VARIANTS[self.variants[0]].study

    def trainings(self, scale: Scale, seeds: int, source: str | None) -> list[Training]:
        """What it needs, seed by seed, so that an interrupted reproduction has whole tables of fewer seeds.

        `source`: of the images; None for those of the study.
        """
        source = STUDIES[self.study].source if source is None else source
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
    "figure4": Part(("acn",), partial(pictures.reconstructions, "figure4"), single=True),
    "figure5": Part(("acn", "pixelcnn"), partial(pictures.samples, "figure5"), single=True),
    "figure6": Part(("acn",), partial(pictures.daydreams, "figure6"), single=True),
    **{
        name: Part(tuple(comparison.rows), partial(ablations.compare, name), least=2)
        for name, comparison in ablations.COMPARISONS.items()
    },
    f"{VARIED}tour": Part(("acn",), ablations.tour),
    f"{VARIED}unconditional": Part(("acn",), ablations.unconditional),
}
# Images in colour; where the paper shows more of the same, so do these pages.
_CIFAR10, _IMAGENET, _CELEBA = ((f"acn-{images}", f"acn-{images}-alone") for images in COLOUR)
_IN_COLOUR = {
    "table4": Part(_CIFAR10, partial(colour_tables.likelihoods, "table4")),
    "table5": Part(_CIFAR10[:1], partial(colour_tables.costs, "table5")),
    "table6": Part(_IMAGENET, partial(colour_tables.likelihoods, "table6")),
    "table7": Part(_IMAGENET[:1], partial(colour_tables.costs, "table7")),
    "classes-cifar10": Part(_CIFAR10[:1], partial(colour_tables.classes, "classes-cifar10")),
    "classes-imagenet32": Part(_IMAGENET[:1], partial(colour_tables.classes, "classes-imagenet32")),
    "figure7": Part(_CIFAR10[:1], partial(pictures.reconstructions, "figure7"), single=True),
    "figure8": Part(_CIFAR10, partial(pictures.samples, "figure8"), single=True),
    "figure9": Part(_IMAGENET[:1], partial(pictures.daydreams, "figure9"), single=True),
    "figure10": Part(_IMAGENET[:1], partial(pictures.reconstructions, "figure10"), single=True),
    "figure11": Part(_IMAGENET, partial(pictures.samples, "figure11"), single=True),
    "figure12": Part(_CELEBA[:1], partial(pictures.reconstructions, "figure12"), single=True),
    "figure13": Part(_CELEBA, partial(pictures.samples, "figure13"), single=True),
    "figure14": Part(_CIFAR10[:1], partial(pictures.neighbours, "figure14"), single=True),
    "figure15": Part(_IMAGENET[:1], partial(pictures.reconstructions, "figure15", rows=MORE_ROWS), single=True),
    "figure16": Part(_IMAGENET[:1], partial(pictures.daydreams, "figure16", chains=MORE_CHAINS), single=True),
}
PARTS |= _IN_COLOUR
# Chen et al. 2017; the numbers are those of these pages.
_DYNAMIC = ("vlae-dynamic-alone", "vlae-dynamic-normal", "vlae-dynamic-iaf", "vlae-dynamic")
_SWEEP = ("vlae-factorized", *(f"vlae-{window}" for window in WINDOWS), "vlae")
PARTS |= {
    f"{VLAE}table1": Part(("vlae-factorized", "vlae-iaf", "vlae"), partial(lossy_tables.likelihoods, f"{VLAE}table1")),
    f"{VLAE}table2": Part(_DYNAMIC, partial(lossy_tables.likelihoods, f"{VLAE}table2")),
    f"{VLAE}table3": Part(("vlae-omniglot-alone", "vlae-omniglot"), partial(lossy_tables.likelihoods, f"{VLAE}table3")),
    f"{VLAE}table4": Part(("vlae-caltech-alone", "vlae-caltech"), partial(lossy_tables.likelihoods, f"{VLAE}table4")),
    f"{VLAE}table5": Part(("vlae-cifar10", "vlae-cifar10-7x4"), partial(lossy_tables.likelihoods, f"{VLAE}table5")),
    f"{VLAE}ablation": Part(tuple(ABLATION), lossy_tables.ablation, least=2),
    f"{VLAE}figure1": Part(("vlae",), lossy_pictures.reconstructions, single=True),
    f"{VLAE}figure2": Part(("vlae", "vlae-factorized"), lossy_pictures.samples, single=True),
    f"{VLAE}figure3": Part(_SWEEP, lossy_pictures.windows, least=2),
    f"{VLAE}figure4": Part(("vlae-factorized", "vlae"), lossy_pictures.placement, least=2),
}
GROUPS: dict[str, tuple[str, ...]] = {
    "colour": tuple(_IN_COLOUR),
    "ablations": tuple(name for name in PARTS if name.startswith(VARIED)),
    "vlae": tuple(name for name in PARTS if name.startswith(VLAE)),
    "all": tuple(PARTS),
}


def parts_named(name: str) -> dict[str, Part]:
    """Return the part or the parts of the group called `name`, by name.

    Raises:
        UsageError: there is no such part.
    """
    if name not in PARTS and name not in GROUPS:
        raise UsageError(unknown("part", name, [*PARTS, *GROUPS]))
    return {each: PARTS[each] for each in GROUPS.get(name, (name,))}


def document_of(
    part: Part, inputs: PageInputs, missing: Sequence[Training], left_out: Mapping[Training, str]
) -> Document:
    """Make a part and say under it how it was measured, and what is not in it.

    Args:
        part: which is possible.
        inputs: what it is made from.
        missing: trainings that are not there yet.
        left_out: trainings that do not fit the images, and why.
    """
    document = part.show(inputs)
    return replace(document, notes=(*document.notes, *_circumstances(part, inputs), *_gaps(missing, left_out)))


def _circumstances(part: Part, inputs: PageInputs) -> list[str]:
    training, splits = inputs.results[0].training, inputs.collection.splits
    counts = ", ".join(f"{len(images):,} {name}" for name, images in splits.items())
    setting = f"Scale `{training.scale}`, recipe `{training.base.recipe}`; images: {counts}."
    if part.single:
        return [setting]
    several = any(len(results) > 1 for results in inputs.found.values())
    spread = (
        "Mean ± sample standard deviation over seeds (n - 1)" if several else "One seed, so that no spread is shown"
    )
    return [f"{setting} {spread}.", *([_sampled(training.sampling)] if training.sampling else [])]


def _sampled(sampling: Sampling) -> str:
    return (
        f"NLL: by importance sampling, K = {sampling.samples:,} codes for each of {sampling.images:,} evenly spaced "
        "test images, or of all if there are fewer, under the model's own prior; exact where there is no code. Its "
        "standard error is over these images, which are the same in all rows; reconstruction, KL and -ELBO are of all."
    )


def _gaps(missing: Sequence[Training], left_out: Mapping[Training, str]) -> list[str]:
    notes = []
    if missing:
        notes.append(f"Not trained yet: {', '.join(training.name for training in missing)}.")
    for reason in dict.fromkeys(left_out.values()):
        names = dict.fromkeys(VARIANTS[training.variant].text for training, why in left_out.items() if why == reason)
        notes.append(f"Left out, since {reason}: {'; '.join(names)}.")
    return notes
