"""One map of the codes, wherever it is shown."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.decomposition import PCA

import acn
from acn.components import COMPONENTS, PrincipalComponents
from acn.data import ALL_BYTES, Images, spread
from acn.evaluation import plots
from acn.exports import EncodedSplit, write_parquet
from acn.run_models import load_priors
from acn.web.layout import early_view


def codes(count: int = 200, size: int = 9) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    return (random.normal(size=(count, size)) * np.linspace(3, 1, size) + 5).astype(np.float32)


def test_components_are_those_of_scikit_learn() -> None:
    expected = PCA(COMPONENTS, svd_solver="full").fit(codes().astype(np.float64))
    found = PrincipalComponents.of(codes())
    assert np.allclose(found.shares, expected.explained_variance_ratio_)
    assert np.allclose(np.abs(found.project(codes())), np.abs(expected.transform(codes())), atol=1e-4)


def test_the_sign_of_an_axis_is_settled() -> None:
    axes = PrincipalComponents.of(codes()).axes
    assert (axes[np.abs(axes).argmax(0), range(axes.shape[1])] > 0).all()


def test_other_codes_are_placed_alike() -> None:
    found = PrincipalComponents.of(codes())
    assert np.array_equal(found.project(codes())[7:8], found.project(codes()[7:8]))


@pytest.mark.parametrize(("count", "size"), [(5, 1), (1, 4), (3, 2)])
def test_few_codes_still_have_a_plane(count: int, size: int) -> None:
    found = PrincipalComponents.of(codes(count, size))
    places = found.project(codes(count, size))
    assert places.shape[1] == max(2, min(size, COMPONENTS)) == len(found.shares)
    assert np.isfinite(places).all()
    assert np.isfinite(found.shares).all()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float32]]:
    """The points of every picture of codes that is drawn meanwhile."""
    found: list[NDArray[np.float32]] = []
    monkeypatch.setattr(plots, "_scatter", lambda axes, points, *rest: found.append(points))
    return found


def test_table_explorer_and_picture_show_one_map(tmp_path: Path, drawn: list[NDArray[np.float32]]) -> None:
    """Of the codes of the model that comes with the package, whose maps were once each other's mirror image."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="writing Parquet needs pyarrow")
    all_codes = load_priors(acn.load("mnist").run).codes
    shown = all_codes[spread(len(all_codes), 1500)]
    images = Images(np.zeros((len(shown), 1, 1, 1), np.uint8), ALL_BYTES)

    write_parquet(tmp_path / "codes.parquet", [EncodedSplit("train", images, shown)])
    table = parquet.read_table(tmp_path / "codes.parquet", columns=["x", "y"]).to_pydict()
    save_file({"codes": shown.numpy()}, tmp_path / "prior.safetensors")
    explorer = early_view(tmp_path)
    plots.plot_codes(shown, None, None, tmp_path / "codes.png", title="codes")

    assert explorer is not None
    plane = explorer.points[:, :2]
    assert np.ptp(plane, axis=0).min() > 1
    assert np.allclose(np.stack([table["x"], table["y"]], axis=1), plane, atol=1e-5)
    order = torch.randperm(len(shown), generator=torch.Generator().manual_seed(0)).numpy()  # in which they are drawn
    assert np.allclose(drawn[0], plane[order], atol=1e-5)
