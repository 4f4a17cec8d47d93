"""Figures 3 to 16 of Graves, Menick and van den Oord 2018, drawn from the models trained here.

The functions of several figures take the name of one, and draw from the variants in the order of its part.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from acn.data import spread
from acn.evaluation.costs import encode
from acn.evaluation.plots import plot_codes
from acn.reproduction.documents import Document
from acn.reproduction.plan import VARIANTS
from acn.reproduction.summary import PageInputs
from acn.reproduction.trainings import Result
from acn.run_models import load_model, load_priors
from acn.sampling.draws import Sampler, draw_codes
from acn.sampling.grids import grid, save_picture, to_pictures
from acn.sampling.neighbours import MOST_IMAGES, beside_nearest

Picture = Image.Image
SEED = 0  # of everything that is drawn
ROWS, COPIES = 10, 9
CHAINS, STEPS = 8, 15
SAMPLES = (4, 16)
CAPTION = 18  # pixels


def figure3(inputs: PageInputs) -> Document:
    """Codes of the test split on their principal plane."""
    result, test = inputs.found["acn"][0], inputs.collection.test
    model = load_model(result.run).to(inputs.device)
    codes = encode(model, test, inputs.stage("codes of test", len(test)))
    title = f"{inputs.collection.name}: codes of the test split"
    plot_codes(codes, test.labels, test.label_names, inputs.folder / "figure3.png", title=title)
    return picture_page(
        inputs,
        "figure3",
        "Figure 3: principal components of the codes",
        "Codes of the test split on their first two principal components, coloured by the label, which training did "
        "not see.",
    )


def reconstructions(name: str, inputs: PageInputs, rows: int = ROWS) -> Document:
    """Several images with the code of each original."""
    originals = some_images(inputs, rows)
    sampler = sampler_of(inputs, inputs.results[0], len(originals) * COPIES)
    drawn = sampler.reconstruct(originals, COPIES)
    save_rows(inputs, torch.cat([originals[:, None], drawn], dim=1), f"{name}.png")
    return picture_page(
        inputs,
        name,
        f"{_title(name)}: reconstructions",
        "Images of the test split in the first column; beside each, images drawn from the decoder given its mean code.",
    )


def samples(name: str, inputs: PageInputs) -> Document:
    """Samples of an ACN with its unconditional prior above those of the decoder alone."""
    acn, alone = (results[0] for results in inputs.found.values())
    count = SAMPLES[0] * SAMPLES[1]
    sampler = sampler_of(inputs, acn, count)
    codes = draw_codes(sampler.model, load_priors(acn.run), count, sampler.generator, "mixture")
    above = sampler.decode(codes)
    below = sampler_of(inputs, alone, count).decode(torch.zeros(count, 0))
    other = VARIANTS[alone.training.variant].text
    parts = [
        ("ACN, codes from the unconditional prior (Gaussian mixture)", samples_grid(inputs, above)),
        (other, samples_grid(inputs, below)),
    ]
    save_picture(captioned(parts), inputs.folder / f"{name}.png")
    return picture_page(
        inputs,
        name,
        f"{_title(name)}: samples",
        "New images: above from the ACN, codes drawn from its unconditional prior (the Gaussian mixture); below from "
        f"the {other}, which has no code.",
    )


def daydreams(name: str, inputs: PageInputs, chains: int = CHAINS) -> Document:
    """Chains of associations."""
    starts = some_images(inputs, chains)
    sampler = sampler_of(inputs, inputs.results[0], len(starts) * STEPS)
    save_rows(inputs, sampler.daydream(starts, STEPS), f"{name}.png")
    return picture_page(
        inputs,
        name,
        f"{_title(name)}: daydreams",
        "Images of the test split in the first column. Each next image: encode the last one, draw a code from the "
        "prior given its code, draw an image from the decoder given that.",
    )


def neighbours(name: str, inputs: PageInputs) -> Document:
    """The nearest images by code above the nearest by pixels."""
    test = inputs.collection.test
    images = test.take(spread(len(test), MOST_IMAGES))
    model = load_model(inputs.results[0].run).to(inputs.device)
    codes = encode(model, images, inputs.stage("codes of test", len(images)))
    rows = torch.from_numpy(spread(len(images), ROWS))
    shown = beside_nearest(codes, images.batch(range(len(images))), rows, COPIES)
    parts = ("nearest codes", shown[::2]), ("nearest pixels", shown[1::2])
    drawn = [(text, grid(to_pictures(part, inputs.collection.palette), first_column=True)) for text, part in parts]
    save_picture(captioned(drawn), inputs.folder / f"{name}.png")
    return picture_page(
        inputs,
        name,
        f"{_title(name)}: nearest neighbours",
        "Images of the test split in the first column; beside each its nearest, the nearest one first: above by the "
        "distance of codes, below by that of pixels.",
    )


def _title(name: str) -> str:
    return f"Figure {name.removeprefix('figure')}"


def captioned(parts: Sequence[tuple[str, Picture]]) -> Picture:
    """Put pictures one below the other, each under its caption; all are grey, or all in colour."""
    margin, font = CAPTION // 2, ImageFont.load_default(CAPTION)
    width = max(max(picture.width, round(font.getlength(text)) + 2 * margin) for text, picture in parts)
    height = sum(picture.height + 2 * CAPTION for _, picture in parts)
    canvas = Image.new(parts[0][1].mode, (width, height), "white")
    pen, top = ImageDraw.Draw(canvas), 0
    for text, picture in parts:
        pen.text((margin, top + margin), text, fill="black", font=font)
        canvas.paste(picture, (0, top + 2 * CAPTION))
        top += 2 * CAPTION + picture.height
    return canvas


def picture_page(inputs: PageInputs, name: str, title: str, text: str) -> Document:
    """The page of a picture that was drawn with `SEED` from the runs of seed 0, and lies beside it."""
    return Document(
        name,
        f"{title}, {inputs.collection.name}",
        text,
        inputs.found,
        notes=(f"Drawn from the runs of training seed 0, with seed {SEED}; nothing was selected.",),
        picture=f"{name}.png",
        facts={"drawing_seed": SEED},
    )


def some_images(inputs: PageInputs, count: int) -> Tensor:
    """At most `count` images of the test split `[B, C, H, W]`, evenly spaced: collections are often sorted by class."""
    test = inputs.collection.test
    return test.batch(spread(len(test), count))


def sampler_of(inputs: PageInputs, result: Result, images: int) -> Sampler:
    """Open a model that is to draw so many images."""
    model = load_model(result.run).to(inputs.device)
    generator = torch.Generator().manual_seed(SEED)
    return Sampler(model, generator, progress=inputs.stage(f"drawing from {result.training.variant}", images))


def samples_grid(inputs: PageInputs, images: Tensor) -> Picture:
    """Lay out `SAMPLES` images."""
    pictures = to_pictures(images, inputs.collection.palette)
    return grid(pictures.reshape(*SAMPLES, *pictures.shape[1:]))


def save_rows(inputs: PageInputs, images: Tensor, name: str) -> Path:
    """Save `[rows, columns, C, H, W]` as a grid whose first column stands apart."""
    path = inputs.folder / name
    save_picture(grid(to_pictures(images, inputs.collection.palette), first_column=True), path)
    return path
