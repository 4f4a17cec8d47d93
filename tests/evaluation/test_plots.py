import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acn.evaluation import plots
from acn.evaluation.plots import plot_codes, plot_curves


def codes(count: int, dimensions: int = 4) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(0))


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("classes", [None, 1, 3, 20, 40])
def test_picture_has_its_size_and_ink(tmp_path: Path, classes: int | None) -> None:
    labels = None if classes is None else torch.arange(200) % classes
    plot_codes(codes(200), labels, None, tmp_path / "codes.png", title="codes")
    pixels = picture(tmp_path / "codes.png")
    assert pixels.shape == (910, 1170, 3)
    assert 0.01 < (pixels < 250).any(-1).mean() < 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["codes.png"]


def test_labels_change_the_picture_and_runs_agree(tmp_path: Path) -> None:
    labels = np.arange(100) % 3
    names = ("cats", "dogs", "birds")
    for name, given in (("a", labels), ("b", labels), ("c", None)):
        plot_codes(codes(100), given, names, tmp_path / f"{name}.png", title="codes")
    first, second, plain = (picture(tmp_path / f"{name}.png") for name in "abc")
    assert np.array_equal(first, second)
    assert not np.array_equal(first, plain)


@pytest.mark.parametrize(("count", "dimensions"), [(1, 4), (5, 1), (2, 2)])
def test_tiny_collections_are_drawn(tmp_path: Path, count: int, dimensions: int) -> None:
    plot_codes(codes(count, dimensions), None, None, tmp_path / "codes.png", title="few")
    assert picture(tmp_path / "codes.png").size


def test_names_that_the_font_lacks_are_drawn_without_a_warning(tmp_path: Path) -> None:
    names = ("数字", "tab\tx")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_codes(codes(9), np.arange(9) % 2, names, tmp_path / "codes.png", title="odd names")


def test_identical_codes_are_drawn(tmp_path: Path) -> None:
    plot_codes(torch.ones(9, 3), torch.arange(9) % 2, None, tmp_path / "codes.png", title="collapsed")
    assert picture(tmp_path / "codes.png").size


def test_large_collections_are_thinned_alike() -> None:
    chosen = plots._subset(50_000)
    assert len(set(chosen.tolist())) == plots.MOST_POINTS
    assert np.array_equal(chosen, plots._subset(50_000))
    assert sorted(plots._subset(100)) == list(range(100))


def test_failure_leaves_the_earlier_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("interrupted")

    path = tmp_path / "codes.png"
    path.write_bytes(b"earlier")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(RuntimeError, match="interrupted"):
        plot_codes(codes(9), None, None, path, title="codes")
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_drawing_leaves_the_global_state_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of pyplot, which cannot be imported here."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    plot_codes(torch.eye(3), None, None, tmp_path / "codes.png", title="codes")
    plot_curves([], tmp_path / "curves.png")
    assert {path.name for path in tmp_path.iterdir()} == {"codes.png", "curves.png"}


def test_curves_are_drawn_of_a_damaged_log(tmp_path: Path) -> None:
    """Its rows may lack any figure."""
    row = {"step": 20, "images": 2000, "total": 5.0, "reconstruction": 4.0, "kl": 1.0, "code_std": None}
    rows = [row, *({key: value for key, value in row.items() if key != gone} for gone in row)]
    plot_curves(rows, tmp_path / "curves.png")
    assert picture(tmp_path / "curves.png").size
