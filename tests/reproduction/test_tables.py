from typing import Any

import pytest

from acn.data.published.static_mnist import STATIC_MNIST
from acn.evaluation.figures import LIKELIHOODS, PUBLISHED, Published
from acn.reproduction.documents import Document, Row
from acn.reproduction.summary import Spread
from acn.reproduction.tables import ACCURACIES, table1, table2, table3
from tests.reproduction.fabricated import inputs, result

MODELS = ("pixelcnn", "vae", "pixelvae", "acn")


def on_mnist(*variants: str) -> Any:  # noqa: ANN401
    return inputs(*(result(variant, fingerprint=STATIC_MNIST) for variant in variants))


def published(document: Document) -> list[Published]:
    return [cell for row in document.rows for cell in row.cells.values() if isinstance(cell, Published)]


def row(document: Document, text: str) -> Row:
    return next(row for row in reversed(document.rows) if row.text == text)


@pytest.mark.parametrize("table", [table1, table2, table3])
def test_published_figures_stand_only_beside_the_papers_images(table: Any) -> None:  # noqa: ANN401
    there = table(on_mnist(*MODELS))
    assert published(there)
    assert "Graves, Menick and van den Oord 2018" in there.notes[0]
    assert there.notes[1].startswith("Ours are of smaller networks")
    elsewhere = table(inputs(*(result(variant) for variant in MODELS)))
    assert not published(elsewhere)
    assert not elsewhere.notes
    assert all("paper" not in column.text for column in elsewhere.shown)
    mixed = table(inputs(result("acn", fingerprint=STATIC_MNIST), result("vae")))
    assert not published(mixed)


def test_table1_is_the_papers_with_ours_below() -> None:
    document = table1(on_mnist(*MODELS))
    assert [cell.value for cell in published(document)] == [
        *(81.6, 81.3, 81.0, 81.0, 79.5, 79.2, 79.0, 79.0, 78.5),
        *(80.9, 73.9),
    ]
    assert [cell.at_most for _, cell in LIKELIHOODS].count(True) == 2
    assert [row.source for row in document.rows[-4:]] == ["measured"] * 4
    assert all(row.source.startswith("published: ") for row in document.rows[:-4])


def test_models_without_neighbours_have_no_tour() -> None:
    document = table1(on_mnist(*MODELS))
    for name in ("Gated PixelCNN", "VAE", "Gated PixelVAE"):
        assert row(document, name).cells["tour"] is None
    assert row(document, "ACN").cells["tour"] == Spread((73.25,))
    assert row(document, "Gated PixelCNN").cells["list"] == Spread((70.0,))


def test_table2_has_ours_beside_the_papers() -> None:
    document = table2(on_mnist("acn"))
    for key, text in (("kl_k1", "KL, nearest neighbour (K = 1)"), ("kl_tour_greedy", "KL, greedy tour")):
        paper = row(document, text).cells["paper"]
        assert isinstance(paper, Published)
        assert paper == PUBLISHED["acn"].get(key)
    tour = row(document, "tour: order forgotten").cells
    assert tour["nats"] == Spread((73.25,))
    assert tour["paper"] == Published(73.9, "Graves, Menick and van den Oord 2018", at_most=True)
    assert row(document, "KL, improved tour").cells["paper"] is None


def test_table3_takes_other_features_from_the_acn() -> None:
    document = table3(on_mnist("vae", "pixelvae", "acn"))
    assert [row.text for row in document.rows[:3]] == ["PCA of the same size", "pixels", "untrained encoder"]
    assert document.rows[0].cells["accuracy"] == Spread((80.0,))
    assert [cell.value for cell in published(document)] == [82.8, 89.4, 95.4, 97.9, 98.5]
    assert set(ACCURACIES) == {"vae", "pixelvae"}
    assert [row.text for row in table3(on_mnist("vae")).rows] == ["VAE codes"]


def test_images_without_labels_have_nothing_to_classify() -> None:
    probes = dict.fromkeys(("codes", "pixels", "pca", "random_encoder"))
    document = table3(inputs(result("acn", linear_probe=probes)))
    assert not document.rows
    assert "no labels" in document.notes[0]
