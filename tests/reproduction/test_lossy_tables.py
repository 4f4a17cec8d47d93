"""Tables and the ablation of Chen et al. 2017, and their published figures."""

import json
from typing import Any

import numpy as np
import pytest

from acn.data.published.mnist import DYNAMIC_MNIST
from acn.data.published.static_mnist import STATIC_MNIST
from acn.evaluation.figures import Published
from acn.reproduction import lossy_pictures
from acn.reproduction.chen import ABLATION, LIKELIHOODS, PLACEMENT
from acn.reproduction.documents import Document
from acn.reproduction.lossy_tables import ablation, likelihoods
from acn.reproduction.plan import VARIANTS, WINDOWS
from acn.reproduction.summary import PageInputs, Spread
from tests.reproduction.fabricated import inputs, result
from tests.reproduction.test_pages import RESULTS

FACTS = {"samples": 32, "images": 500, "negative_elbo": 80.5}


def dynamic(*variants: str) -> PageInputs:
    data = {"source": "dynamic-mnist.npz", "fingerprint": DYNAMIC_MNIST, "binarize": "dynamic"}
    return inputs(*(result(variant, data=data, nll=79.0, importance=FACTS) for variant in variants))


def published(document: Document) -> list[float]:
    return [cell.value for row in document.rows for cell in row.cells.values() if isinstance(cell, Published)]


def test_published_rows_stand_beside_the_papers_images() -> None:
    document = likelihoods("vlae-table2", dynamic(*ABLATION))
    assert published(document) == [cell.value for cell in LIKELIHOODS["dynamic-mnist"].values()]
    assert "Chen et al. 2017" in document.notes[0]
    assert [row.text for row in document.rows[-3:]] == [VARIANTS[variant].text for variant in ABLATION]
    static = likelihoods("vlae-table1", inputs(result("vlae", fingerprint=STATIC_MNIST)))
    assert 79.03 in published(static)


@pytest.mark.parametrize("show", [ablation, lambda found: likelihoods("vlae-table2", found)])
def test_other_images_are_not_comparable(show: Any) -> None:  # noqa: ANN401
    for fingerprint in ("other", STATIC_MNIST):  # static bits are not those of dynamic MNIST
        document = show(inputs(*(result(variant, fingerprint=fingerprint) for variant in ABLATION)))
        assert not published(document)
        assert document.notes[0].startswith("Not comparable with published figures, which are of MNIST in grey")


def test_the_ablation_is_the_papers() -> None:
    document = ablation(dynamic(*ABLATION))
    assert published(document) == [87.55, 0.0, 79.48, 10.60, 78.94, 11.73]
    assert [row.cells["own_kl"] for row in document.rows] == [Spread((0.0,)), Spread((11.0,)), Spread((11.0,))]
    assert [row.cells["own_elbo"] for row in document.rows] == [Spread((70.0,)), Spread((81.0,)), Spread((81.0,))]
    assert {row.cells["bound"] for row in document.rows} == {Spread((80.5,))}
    assert [str(cell) for cell in ABLATION["vlae-dynamic-normal"]] == ["79.48", "10.60"]


def test_only_pages_with_published_figures_speak_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("draw_windows", "some_images"):
        monkeypatch.setattr(lossy_pictures, name, lambda *_, **__: None)
    found = inputs(*(result(f"vlae-{window}", fingerprint=STATIC_MNIST) for window in WINDOWS))
    document = lossy_pictures.windows(found)
    assert not published(document)
    assert document.notes == (found.difference,)
    assert list(document.notes) == json.loads((RESULTS / "vlae-figure3.json").read_text(encoding="utf-8"))["notes"][:1]


def test_decoders_that_see_more_than_their_windows_are_named() -> None:
    made = inputs(result("vlae-cifar10"), result("vlae-cifar10-7x4"))
    note = likelihoods("vlae-table5", made).notes[-1]
    assert "27 pixels with the window 4x2, where the paper's sees 10; 50 pixels with the window 7x4" in note
    assert note.endswith("where the paper's sees 31.")


def test_published_figures_are_of_known_studies_and_variants() -> None:
    assert {each.study for each in VARIANTS.values()} >= LIKELIHOODS.keys()
    assert VARIANTS.keys() >= ABLATION.keys() | PLACEMENT.keys()
    for likelihood in LIKELIHOODS.values():
        assert all(cell.source == "Chen et al. 2017" for cell in likelihood.values())
        assert min(likelihood.values(), key=lambda cell: cell.value) is list(likelihood.values())[-1]


def test_cifar10_is_in_bits_per_dimension() -> None:
    data = {
        "source": "cifar10.npz",
        "fingerprint": "any",
        "binarize": "none",
        "images": {"train": 45_000, "valid": 5_000, "test": 10_000},
    }
    document = likelihoods("vlae-table5", inputs(result("vlae-cifar10", data=data, nll=80.0)))
    assert published(document) == [cell.value for cell in LIKELIHOODS["cifar10"].values()]
    ours = document.rows[-1].cells["nll_bits"]
    assert isinstance(ours, Spread)
    assert ours.mean == pytest.approx(80.0 / 784 / np.log(2))  # the fabricated images have 784 subpixels
    part = data | {"images": {"train": 3_600, "valid": 400, "test": 1_000}}
    assert not published(likelihoods("vlae-table5", inputs(result("vlae-cifar10", data=part))))
