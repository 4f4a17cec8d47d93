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
from acn.reproduction.summary import PageInputs
from acn.reproduction.windows import draw_windows
from acn.sampling.grids import grid, save_picture, to_pictures

PLACED = ("window", "own_kl", "own_kl_bits", "reconstruction", "own_elbo", "nll", "nll_error")
THE_PAPERS = Column("paper", "KL (published)")


def reconstructions(inputs: PageInputs) -> Document:
    """Several images with the code of each original."""
    originals = some_images(inputs, ROWS)
    drawn = sampler_of(inputs, inputs.found["vlae"][0], len(originals) * COPIES).reconstruct(originals, COPIES)
    save_rows(inputs, torch.cat([originals[:, None], drawn], dim=1), "vlae-figure1.png")
    return picture_page(
        inputs,
        "vlae-figure1",
        "VLAE, Figure 1: what lossy codes decode to",
        "Images of the test split in the first column; beside each, images drawn from the decoder given its mean code. "
        "What differs among them is not in the code.",
    )


def samples(inputs: PageInputs) -> Document:
    """Samples with codes drawn from the flow, for the local decoder and for independent pixels."""
    count, parts = SAMPLES[0] * SAMPLES[1], []
    for variant, results in inputs.found.items():
        sampler = sampler_of(inputs, results[0], count)
        codes = sampler.model.prior().cpu().sample(sampler.generator, (count,))
        parts.append((VARIANTS[variant].text, samples_grid(inputs, sampler.decode(codes))))
    save_picture(captioned(parts), inputs.folder / "vlae-figure2.png")
    return picture_page(
        inputs,
        "vlae-figure2",
        "VLAE, Figure 2: samples",
        "New images, codes drawn from the prior of each model, the flow: above from the local decoder, below from the "
        "decoder whose pixels are independent given the code.",
    )


def windows(inputs: PageInputs) -> Document:
    """Lay out and draw how much is in the code by how much the decoder sees."""
    name = "vlae-figure3"
    draw_windows(
        [(results[0].run, results[0].evaluation) for results in inputs.found.values()],
        some_images(inputs, ROWS),
        inputs.folder / f"{name}.png",
        device=inputs.device,
        stage=inputs.stage,
        seed=SEED,
    )
    return Document(
        name,
        f"VLAE, Figure 3: what leaves the code as the window grows, {inputs.collection.name}",
        f"The same model with windows of several sizes. {TEXT} In the picture, of seed 0, stand images of the test "
        "split, and below them what each model draws from their mean codes.",
        inputs.found,
        columns=columns(PLACED),
        rows=tuple(Row(VARIANTS[variant].text, inputs.cells(variant, PLACED)) for variant in inputs.found),
        notes=notes(inputs, published=False),
        picture=f"{name}.png",
        facts={"drawing_seed": SEED},
    )


def placement(inputs: PageInputs) -> Document:
    """Lay out and draw what is in the code beside a local decoder, and beside one of independent pixels."""
    name, originals, parts = "vlae-figure4", some_images(inputs, ROWS), []
    for variant, results in inputs.found.items():
        drawn = sampler_of(inputs, results[0], len(originals) * COPIES).reconstruct(originals, COPIES)
        pictures = to_pictures(torch.cat([originals[:, None], drawn], dim=1), inputs.collection.palette)
        parts.append((VARIANTS[variant].text, grid(pictures, first_column=True)))
    save_picture(captioned(parts), inputs.folder / f"{name}.png")
    papers = PLACEMENT if inputs.papers else {}
    return Document(
        name,
        f"VLAE, Figure 4: where information is placed, {inputs.collection.name}",
        f"The same model with a local decoder and with one whose pixels are independent given the code. {TEXT} In the "
        "picture, of seed 0, stand images of the test split, and beside each what is drawn given its mean code.",
        inputs.found,
        columns=(*columns(PLACED), THE_PAPERS),
        rows=tuple(
            Row(VARIANTS[variant].text, {**inputs.cells(variant, PLACED), THE_PAPERS.key: papers.get(variant)})
            for variant in inputs.found
        ),
        notes=notes(inputs),
        picture=f"{name}.png",
        facts={"drawing_seed": SEED},
    )
