"""What lossy codes keep, as pictures, after Chen et al. 2017. Numbers are of these pages."""

import torch

from acn.reproduction.chen import PLACEMENT
from acn.reproduction.documents import Column, Document, Row, columns
from acn.reproduction.lossy_tables import TEXT, notes
from acn.reproduction.pictures import (
    COPIES,
    ROWS,
    SAMPLES,
    SEED,
    captioned,
    picture_page,
    sampler_of,
    samples_grid,
    save_rows,
    some_images,
)
from acn.reproduction.plan import VARIANTS
from acn.reproduction.summary import Material
from acn.reproduction.windows import draw_windows
from acn.sampling.pictures import grid, save_picture, to_pictures

PLACED = ("window", "own_kl", "own_kl_bits", "reconstruction", "own_elbo", "nll", "nll_error")
THE_PAPERS = Column("paper", "KL (published)")


def reconstructions(material: Material) -> Document:
    """Several images with the code of each original."""
    originals = some_images(material, ROWS)
    drawn = sampler_of(material, material.found["vlae"][0], len(originals) * COPIES).reconstruct(originals, COPIES)
    save_rows(material, torch.cat([originals[:, None], drawn], dim=1), "vlae-figure1.png")
    return picture_page(
        material,
        "vlae-figure1",
        "VLAE, Figure 1: what lossy codes decode to",
        "Images of the test split in the first column; beside each, images drawn from the decoder given its mean code. "
        "What differs among them is not in the code.",
    )


def samples(material: Material) -> Document:
    """Samples with codes drawn from the flow, for the local decoder and for independent pixels."""
    count, parts = SAMPLES[0] * SAMPLES[1], []
    for variant, results in material.found.items():
        sampler = sampler_of(material, results[0], count)
        codes = sampler.model.prior().cpu().sample(sampler.generator, (count,))
        parts.append((VARIANTS[variant].text, samples_grid(material, sampler.decode(codes))))
    save_picture(captioned(parts), material.folder / "vlae-figure2.png")
    return picture_page(
        material,
        "vlae-figure2",
        "VLAE, Figure 2: samples",
        "New images, codes drawn from the prior of each model, the flow: above from the local decoder, below from the "
        "decoder whose pixels are independent given the code.",
    )


def windows(material: Material) -> Document:
    """Lay out and draw how much is in the code by how much the decoder sees."""
    name = "vlae-figure3"
    draw_windows(
        [(results[0].run, results[0].evaluation) for results in material.found.values()],
        some_images(material, ROWS),
        material.folder / f"{name}.png",
        device=material.device,
        stage=material.stage,
        seed=SEED,
    )
    return Document(
        name,
        f"VLAE, Figure 3: what leaves the code as the window grows, {material.collection.name}",
        f"The same model with windows of several sizes. {TEXT} In the picture, of seed 0, stand images of the test "
        "split, and below them what each model draws from their mean codes.",
        material.found,
        columns=columns(PLACED),
        rows=tuple(Row(VARIANTS[variant].text, material.cells(variant, PLACED)) for variant in material.found),
        notes=notes(material),
        picture=f"{name}.png",
        facts={"drawing_seed": SEED},
    )


def placement(material: Material) -> Document:
    """Lay out and draw what is in the code beside a local decoder, and beside one of independent pixels."""
    name, originals, parts = "vlae-figure4", some_images(material, ROWS), []
    for variant, results in material.found.items():
        drawn = sampler_of(material, results[0], len(originals) * COPIES).reconstruct(originals, COPIES)
        pictures = to_pictures(torch.cat([originals[:, None], drawn], dim=1), material.collection.palette)
        parts.append((VARIANTS[variant].text, grid(pictures, first_column=True)))
    save_picture(captioned(parts), material.folder / f"{name}.png")
    papers = PLACEMENT if material.papers else {}
    return Document(
        name,
        f"VLAE, Figure 4: where information is placed, {material.collection.name}",
        f"The same model with a local decoder and with one whose pixels are independent given the code. {TEXT} In the "
        "picture, of seed 0, stand images of the test split, and beside each what is drawn given its mean code.",
        material.found,
        columns=(*columns(PLACED), THE_PAPERS),
        rows=tuple(
            Row(VARIANTS[variant].text, {**material.cells(variant, PLACED), THE_PAPERS.key: papers.get(variant)})
            for variant in material.found
        ),
        notes=notes(material),
        picture=f"{name}.png",
        facts={"drawing_seed": SEED},
    )
