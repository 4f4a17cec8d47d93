from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.reproduction.bars import Bar, _axis_begin, draw_bars, figure2
from acn.reproduction.summary import Spread
from tests.reproduction.fabricated import inputs, result


def bar(reconstruction: float, listed: float, tour: float | None) -> Bar:
    return Bar("ACN, K = 5", Spread((reconstruction,)), Spread((listed,)), None if tour is None else Spread((tour,)))


def colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    found, counts = np.unique(pixels, axis=0, return_counts=True)
    return {tuple(colour.tolist()) for colour in found[counts > 500]}


BLUE, RED, YELLOW = (0x44, 0x77, 0xAA), (0xCC, 0x33, 0x11), (0xEE, 0xCC, 0x66)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_all_three_costs_are_seen(tmp_path: Path, count: int) -> None:
    draw_bars([bar(70, 81, 73)] * count, tmp_path / "bars.png", title="costs")
    assert {BLUE, RED, YELLOW} <= colours(tmp_path / "bars.png")


def test_models_without_a_tour_have_no_red(tmp_path: Path) -> None:
    draw_bars([bar(70, 81, None)], tmp_path / "a.png", title="costs")
    draw_bars([bar(81, 81, None)], tmp_path / "b.png", title="costs")
    assert {BLUE, YELLOW} <= colours(tmp_path / "a.png")
    assert YELLOW in colours(tmp_path / "b.png")


@pytest.mark.parametrize(("lowest", "top"), [(70.3, 106.0), (67.4, 68.6), (81.0, 81.0), (0.3, 2.0), (6500.0, 6543.0)])
def test_the_axis_begins_below_every_bar_and_near_them(lowest: float, top: float) -> None:
    begin = _axis_begin(lowest, top)
    assert 0 <= begin < lowest
    assert begin == round(begin)
    assert begin > lowest - 0.25 * (top - lowest) - 5.51 or begin == 0


def test_figure2_says_its_numbers_and_where_the_axis_begins(tmp_path: Path) -> None:
    results = [result(v, seed) for v in ("acn", "k20", "vae", "pixelcnn") for seed in (0, 1)]
    document = figure2(inputs(*results, folder=tmp_path))
    assert [row.text for row in document.rows] == ["ACN, K = 5", "ACN, K = 20", "VAE", "Gated PixelCNN"]
    assert document.rows[0].cells["kl_tour_improved"] == Spread((3.25, 3.25))
    assert document.rows[3].cells["kl_unconditional"] is None
    assert f"begins at {document.facts['axis_begins_at']:g}" in document.text
    assert (tmp_path / "figure2.png").exists()
