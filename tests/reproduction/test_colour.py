"""Pages of images in colour: the paper's figures stand beside its own images alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from acn.config import DataSettings
from acn.data import ALL_BYTES, Images, assemble
from acn.evaluation.figures import Published
from acn.record import Evaluation
from acn.reproduction import pictures
from acn.reproduction.documents import Document
from acn.reproduction.parts import GROUPS, PARTS
from acn.reproduction.studies import STUDIES
from acn.reproduction.summary import Spread
from tests.reproduction.fabricated import inputs, result

CIFAR10 = {"source": "cifar10.npz", "images": {"train": 45_000, "valid": 5_000, "test": 10_000}}
IMAGENET = {"source": "small", "images": {"train": 1_281_149 - 49_999, "valid": 49_999, "test": 49_999}}
MANY = {"codes": 20.0, "codes_top5": 45.0, "pixels": 2.0, "pixels_top5": 8.0}


def of(part: str, data: dict[str, Any]) -> Document:
    found = [
        result(variant, data={**data, "fingerprint": "any"}, linear_probe=MANY) for variant in PARTS[part].variants
    ]
    return PARTS[part].show(inputs(*found))


def published(document: Document) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in document.rows:
        for cell in row.cells.values():
            if isinstance(cell, Published):
                found.setdefault(row.text, []).append(cell.value)
    return found


@pytest.mark.parametrize(
    ("part", "data", "expected"),
    [
        (
            "table4",
            CIFAR10,
            {
                "DRAW": [4.13],
                "ConvDRAW": [4.0],
                "PixelCNN": [3.14],
                "Gated PixelCNN": [3.03],
                "PixelRNN": [3.0],
                "PixelCNN++": [2.92],
                "PixelSNAIL": [2.85],
                "ACN": [3.07],
            },
        ),
        (
            "table6",
            IMAGENET,
            {"ConvDRAW": [4.4], "PixelRNN": [3.86], "Gated PixelCNN": [3.83], "PixelSNAIL": [3.8], "ACN": [3.82]},
        ),
        (
            "table5",
            CIFAR10,
            {
                "reconstruction": [6536.7],
                "KL, nearest neighbour (K = 1)": [5.4],
                "KL, K = 5": [6.2],
                "KL, K = 10": [6.7],
                "KL, greedy tour": [6.3],
                "KL, unconditional: Gaussian mixture": [14.4],
                "tour: order forgotten": [6543.0],
            },
        ),
        (
            "table7",
            IMAGENET,
            {
                "reconstruction": [8112.8],
                "KL, nearest neighbour (K = 1)": [2.9],
                "KL, K = 5": [8.7],
                "KL, K = 10": [10.3],
                "KL, greedy tour": [10.6],
                "KL, unconditional: Gaussian mixture": [18.2],
                "tour: order forgotten": [8123.4],
            },
        ),
        ("classes-cifar10", CIFAR10, {"codes": [55.3], "pixels": [38.4]}),
        ("classes-imagenet32", IMAGENET, {"codes": [18.5, 40.5], "pixels": [3.0, 9.0]}),
    ],
)
def test_the_papers_figures_are_those_of_its_images(part: str, data: Any, expected: Any) -> None:  # noqa: ANN401
    there, elsewhere = of(part, data), of(part, data | {"images": data["images"] | {"test": 4}})
    assert published(there) == expected
    assert "Graves, Menick and van den Oord 2018" in there.notes[0]
    assert there.notes[1].startswith("Ours are of smaller networks with another decoder (local")
    assert not published(elsewhere)
    assert not elsewhere.notes
    assert len(there.rows) >= len(elsewhere.rows) > 0
    assert there.name == part
    assert part.removeprefix("table") in there.title or part.startswith("classes")


def test_todays_imagenet_is_not_the_papers() -> None:
    study, whole = STUDIES["acn-imagenet32"], STUDIES["acn-imagenet32"].published.counts
    assert study.comparable({**IMAGENET, "fingerprint": "any"})
    assert not study.comparable({"source": "imagenet32.npz", "images": dict(whole), "fingerprint": "any"})


def test_the_bound_of_a_tour_is_said_to_be_one() -> None:
    row = next(row for row in of("table5", CIFAR10).rows if row.text.startswith("tour: "))
    assert str(row.cells["paper"]) == "≤ 6543.0"


def test_first_guesses_stand_beside_the_first_five() -> None:
    codes = of("classes-imagenet32", IMAGENET).rows[0]
    assert codes.text == "codes"
    assert (codes.cells["accuracy"], codes.cells["five"]) == (Spread((20.0,)), Spread((45.0,)))


def test_what_is_measured_is_the_acn_of_the_study() -> None:
    rows = {row.text: row for row in of("table6", IMAGENET).rows if row.source == "measured"}
    assert list(rows) == ["ACN", "decoder alone (PixelCNN)"]
    assert rows["ACN"].cells["tour"] == Spread((73.25,))
    assert rows["decoder alone (PixelCNN)"].cells["tour"] is None


def test_every_figure_of_the_paper_is_there() -> None:
    assert {f"figure{number}" for number in range(2, 17)} | {f"table{number}" for number in range(1, 8)} <= set(PARTS)
    assert all(PARTS[name].study.startswith("acn-") for name in GROUPS["colour"])


def test_neighbours_by_code_stand_above_those_by_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shades = np.arange(0, 250, 25, dtype=np.uint8)
    pixels = np.broadcast_to(shades[:, None, None, None], (10, 16, 16, 3))
    some = Images(pixels, ALL_BYTES)
    images = assemble("shades", {"train": some, "valid": some, "test": some}, DataSettings(source="shades"))
    test = images.test
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(1)).float()[:, None]
    monkeypatch.setattr(pictures, "load_model", lambda _run: torch.nn.Identity())
    monkeypatch.setattr(pictures, "encode", lambda *_: order)
    monkeypatch.setattr(pictures, "spread", lambda count, most: np.arange(min(count, most)))
    made = pictures.neighbours("figure14", inputs(result("acn-cifar10"), folder=tmp_path, images=images))
    assert made.picture == "figure14.png"
    with Image.open(tmp_path / "figure14.png") as picture:
        drawn = np.asarray(picture.convert("L"))
    assert {int(value) for value in test.pixels.flatten()} <= set(drawn.flatten().tolist())


def test_evaluations_keep_what_five_guesses_find() -> None:
    made = result("acn-imagenet32", linear_probe=MANY).evaluation
    assert Evaluation.from_json(made.to_json()).probes == MANY
