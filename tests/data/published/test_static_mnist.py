"""From the published text files to the archive, by a server of our own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acn.cli.dataset import dataset as command
from acn.config import DataSettings
from acn.data import Images
from acn.data.assembly import fingerprint_pixels
from acn.data.collection import SPLITS
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.published import static_mnist
from acn.data.published.dataset import Converted, Dataset, as_images, read_dataset, write_archive
from acn.data.published.files import PublishedFile
from acn.data.published.static_mnist import (
    OTHER,
    STATIC_MNIST,
    STATIC_MNIST_IMAGES,
    USUAL,
    fingerprint_images,
    labelled,
    labels_by_likelihood,
)
from acn.data.published.table import DATASETS
from acn.data.sources import open_collection, open_splits
from acn.errors import DataError, UsageError
from acn.progress import Stage

NOWHERE = "http://127.0.0.1:9"  # the port at which everything is discarded, and nothing listens


@pytest.fixture
def bits(web: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Bytes]:
    """Small splits, as text in the folder `web`, that pass for the published ones."""
    random = np.random.default_rng(0)
    drawn = {split: random.integers(0, 2, (3, 28, 28, 1), dtype=np.uint8) for split in SPLITS}
    pretend(web, drawn, monkeypatch)
    return drawn


def published(address: str, count: int = 3) -> Dataset:
    """Static MNIST with so many images in each split, whose files are at `address`."""
    known = DATASETS["static-mnist"]
    files = tuple(PublishedFile(f"{address}/{file.name}") for file in known.files)
    return replace(known, files=files, counts=dict.fromkeys(SPLITS, count))


def read(folder: Path, stage: Stage, given: Path | None = None, address: str = NOWHERE) -> Converted:
    return read_dataset(published(address), None if given is None else str(given), folder, stage, open_splits)


def write_text(folder: Path, bits: dict[str, Bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for split, pixels in bits.items():
        np.savetxt(folder / f"binarized_mnist_{split}.amat", pixels.reshape(len(pixels), -1), fmt="%d")


def pretend(folder: Path, bits: dict[str, Bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(folder, bits)
    fingerprint = fingerprint_pixels({split: Images(pixels, ALL_BYTES) for split, pixels in bits.items()})
    monkeypatch.setattr(static_mnist, "STATIC_MNIST", fingerprint)
    monkeypatch.setattr(static_mnist, "STATIC_MNIST_IMAGES", fingerprint_images(bits))


def test_the_text_files_are_downloaded_and_become_the_archive(
    bits: dict[str, Bytes], server: str, tmp_path: Path, stage: Stage
) -> None:
    made = read(tmp_path / "made", stage, address=server)
    assert made.notes == (USUAL,)
    write_archive(tmp_path / "made" / "a.npz", made.splits)
    splits = open_splits(str(tmp_path / "made" / "a.npz"))[1]
    assert {split: images.pixels.tolist() for split, images in splits.items()} == {
        split: pixels.tolist() for split, pixels in bits.items()
    }
    assert all(images.labels is None for images in splits.values())


def test_files_that_are_there_are_not_downloaded(bits: dict[str, Bytes], web: Path, stage: Stage) -> None:
    assert read(web, stage).splits
    (web / "binarized_mnist_test.amat").unlink()
    with pytest.raises(
        DataError, match=r"binarized_mnist_test\.amat could not be downloaded .*name its folder by --from"
    ):
        read(web, stage)


def test_of_given_files_none_is_downloaded(bits: dict[str, Bytes], web: Path, tmp_path: Path, stage: Stage) -> None:
    assert read(tmp_path / "made", stage, web).splits
    assert not (tmp_path / "made").exists()
    with pytest.raises(DataError, match="is of 3 files: give the folder"):
        read(tmp_path / "made", stage, web / "binarized_mnist_test.amat")
    (web / "binarized_mnist_test.amat").unlink()
    with pytest.raises(DataError, match=r"there is no file .*test\.amat; it is published as http"):
        read(tmp_path / "made", stage, web)


@pytest.mark.parametrize("text", ["", "0 1 1\n", "0 2 " * 392])
def test_other_text_is_refused(bits: dict[str, Bytes], web: Path, stage: Stage, text: str) -> None:
    (web / "binarized_mnist_valid.amat").write_text(text)
    with pytest.raises(DataError, match=r"binarized_mnist_valid\.amat does not hold images of 28 x 28 bits"):
        read(web, stage)


def test_other_bits_are_refused(bits: dict[str, Bytes], web: Path, stage: Stage) -> None:
    (web / "binarized_mnist_valid.amat").write_text("0 " * 784 + "\n")
    with pytest.raises(DataError, match="not static MNIST as published"):
        read(web, stage)


def shuffled(bits: dict[str, Bytes]) -> dict[str, Bytes]:
    return {split: pixels[[2, 0, 1]] for split, pixels in bits.items()}


def test_another_order_of_the_same_images_is_accepted_and_kept(
    bits: dict[str, Bytes], tmp_path: Path, stage: Stage
) -> None:
    write_text(tmp_path / "other", shuffled(bits))
    made = read(tmp_path, stage, tmp_path / "other")
    assert made.notes == (OTHER,)
    for split, images in as_images(made.splits).items():
        assert images.pixels.tolist() == shuffled(bits)[split].tolist()


def test_images_in_other_splits_or_twice_are_refused(bits: dict[str, Bytes], tmp_path: Path, stage: Stage) -> None:
    train, test = bits["train"].copy(), bits["test"].copy()
    train[0], test[0] = bits["test"][0], bits["train"][0]
    twice = bits["valid"][[0, 0, 1]]
    for name, changed in (("moved", {"train": train, "test": test}), ("twice", {"valid": twice})):
        write_text(tmp_path / name, bits | changed)
        with pytest.raises(DataError, match="not static MNIST as published"):
            read(tmp_path, stage, tmp_path / name)


@pytest.mark.parametrize(("order", "words"), [("usual", USUAL), ("other", OTHER)])
def test_the_command_says_which_order_it_is(
    order: str,
    words: str,
    bits: dict[str, Bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(DATASETS, "static-mnist", published(NOWHERE))
    monkeypatch.setenv("ACN_DATA", str(tmp_path / "text"))
    write_text(tmp_path / "text", bits if order == "usual" else shuffled(bits))
    command("static-mnist")
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'text' / 'mnist_static.npz'}\n"
    assert words in printed.err
    with pytest.raises(UsageError, match="exists already"):
        command("static-mnist")


def grey(count: int, seed: int, labels: list[int] | None) -> Images:
    """Pictures that are black at most places, and grey where they have ink."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, 28, 28, 1)) * (random.random((count, 28, 28, 1)) < 0.3)
    return Images(pixels.astype(np.uint8), ALL_BYTES, None if labels is None else np.array(labels))


def draw(images: Images) -> Bytes:
    return (np.random.default_rng(9).random(images.pixels.shape) < images.pixels / 255).astype(np.uint8)


def test_bits_get_the_label_of_the_picture_that_they_were_drawn_from(
    web: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    mnist = {"train": grey(6, 1, [3, 1, 4, 1, 5, 9]), "test": grey(3, 2, [2, 6, 5])}
    drawn = {split: draw(images) for split, images in mnist.items()}
    bits = {"train": drawn["train"][::-1][:3], "valid": drawn["train"][:3], "test": drawn["test"]}
    pretend(web, bits, monkeypatch)
    splits = labelled(read(web, stage), mnist, stage).splits
    found = {name: split.labels.tolist() for name, split in splits.items() if split.labels is not None}
    assert found == {"train": [9, 5, 1], "valid": [3, 1, 4], "test": [2, 6, 5]}


def test_labels_need_pictures_of_the_same_size_with_labels(stage: Stage) -> None:
    for images in (grey(2, 0, None), Images(np.zeros((2, 8, 8, 1), np.uint8), ALL_BYTES, np.zeros(2, np.int64))):
        with pytest.raises(DataError, match="labels are found by MNIST itself"):
            labels_by_likelihood(np.zeros((1, 28, 28, 1), np.uint8), images, stage("", 1))


@pytest.mark.parametrize("entry", DATASETS.values(), ids=DATASETS)
def test_a_dataset_that_lacks_says_how_to_get_it(
    entry: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"make it with acn dataset {entry.name};"):
        open_splits(entry.file_name)


@pytest.mark.slow
def test_the_published_text_is_the_archive_that_the_figures_are_of(
    tmp_path: Path, data_folder: Path, stage: Stage
) -> None:
    source = str(data_folder / "mnist_static.npz")
    bits = {split: images.pixels for split, images in open_splits(source)[1].items()}
    write_text(tmp_path / "text", bits)
    made = read_dataset(DATASETS["static-mnist"], str(tmp_path / "text"), tmp_path, stage, open_splits)
    assert made.notes == (USUAL,)
    write_archive(tmp_path / "made.npz", made.splits)
    assert open_collection(DataSettings(source=str(tmp_path / "made.npz"))).provenance["fingerprint"] == STATIC_MNIST
    assert fingerprint_images({split: pixels[::-1] for split, pixels in bits.items()}) == STATIC_MNIST_IMAGES
