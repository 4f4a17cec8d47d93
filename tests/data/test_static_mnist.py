"""From the published text files to the archive, by a server of our own."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from acn.cli.static_mnist import static_mnist as command
from acn.config import DataSettings
from acn.data import Images, static_mnist
from acn.data.collection import SPLITS
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.provenance import fingerprint_pixels
from acn.data.sources import open_collection, open_splits
from acn.data.static_mnist import (
    STATIC_MNIST,
    STATIC_MNIST_IMAGES,
    fingerprint_images,
    labels_by_likelihood,
    make_static_mnist,
)
from acn.errors import DataError
from acn.progress import Advance

NOWHERE = "http://127.0.0.1:9"  # the port at which everything is discarded, and nothing listens


def stage(name: str, length: int) -> Advance:
    assert length > 0
    return lambda count: None


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Bytes]:
    """Small splits, as text under the folder `web`, that pass for the published ones."""
    random = np.random.default_rng(0)
    drawn = {split: random.integers(0, 2, (3, 28, 28, 1), dtype=np.uint8) for split in SPLITS}
    publish(tmp_path / "web", drawn, monkeypatch)
    return drawn


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "web").mkdir(exist_ok=True)
    handler = functools.partial(Silent, directory=tmp_path / "web")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def write_text(folder: Path, bits: dict[str, Bytes]) -> None:
    folder.mkdir()
    for split, pixels in bits.items():
        np.savetxt(folder / f"binarized_mnist_{split}.amat", pixels.reshape(len(pixels), -1), fmt="%d")


def publish(folder: Path, bits: dict[str, Bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(folder, bits)
    fingerprint = fingerprint_pixels({split: Images(pixels, ALL_BYTES) for split, pixels in bits.items()})
    monkeypatch.setattr(static_mnist, "STATIC_MNIST", fingerprint)
    monkeypatch.setattr(static_mnist, "STATIC_MNIST_IMAGES", fingerprint_images(bits))


def test_the_text_files_are_downloaded_and_become_the_archive(
    bits: dict[str, Bytes], server: str, tmp_path: Path
) -> None:
    made = make_static_mnist(tmp_path / "made", None, stage, server)
    assert made.usual_order
    splits = open_splits(str(made.path))[1]
    assert {split: images.pixels.tolist() for split, images in splits.items()} == {
        split: pixels.tolist() for split, pixels in bits.items()
    }
    assert all(images.labels is None for images in splits.values())


def test_files_that_are_there_are_not_downloaded(bits: dict[str, Bytes], tmp_path: Path) -> None:
    assert make_static_mnist(tmp_path / "web", None, stage, NOWHERE).path.exists()
    (tmp_path / "web" / "binarized_mnist_test.amat").unlink()
    with pytest.raises(DataError, match=r"binarized_mnist_test\.amat could not be downloaded .*into the folder"):
        make_static_mnist(tmp_path / "web", None, stage, NOWHERE)


def test_a_download_that_breaks_off_leaves_no_file(
    bits: dict[str, Bytes], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(self: Silent, source: object, output: BinaryIO) -> None:
        output.write(b"0 1 0")

    monkeypatch.setattr(Silent, "copyfile", cut)
    with pytest.raises(DataError, match="bytes are missing at its end"):
        make_static_mnist(tmp_path / "made", None, stage, server)
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.parametrize("text", ["", "0 1 1\n", "0 2 " * 392])
def test_other_text_is_refused(bits: dict[str, Bytes], tmp_path: Path, text: str) -> None:
    (tmp_path / "web" / "binarized_mnist_valid.amat").write_text(text)
    with pytest.raises(DataError, match=r"binarized_mnist_valid\.amat does not hold images of 28 x 28 bits"):
        make_static_mnist(tmp_path / "web", None, stage, NOWHERE)


def test_other_bits_are_refused(bits: dict[str, Bytes], tmp_path: Path) -> None:
    (tmp_path / "web" / "binarized_mnist_valid.amat").write_text("0 " * 784 + "\n")
    with pytest.raises(DataError, match="not static MNIST as published"):
        make_static_mnist(tmp_path / "web", None, stage, NOWHERE)
    assert not (tmp_path / "web" / "mnist_static.npz").exists()


def shuffled(bits: dict[str, Bytes]) -> dict[str, Bytes]:
    return {split: pixels[[2, 0, 1]] for split, pixels in bits.items()}


def test_another_order_of_the_same_images_is_accepted_and_kept(bits: dict[str, Bytes], tmp_path: Path) -> None:
    write_text(tmp_path / "other", shuffled(bits))
    made = make_static_mnist(tmp_path / "other", None, stage, NOWHERE)
    assert not made.usual_order
    for split, images in open_splits(str(made.path))[1].items():
        assert images.pixels.tolist() == shuffled(bits)[split].tolist()


def test_images_in_other_splits_or_twice_are_refused(bits: dict[str, Bytes], tmp_path: Path) -> None:
    train, test = bits["train"].copy(), bits["test"].copy()
    train[0], test[0] = bits["test"][0], bits["train"][0]
    twice = bits["valid"][[0, 0, 1]]
    for name, changed in (("moved", {"train": train, "test": test}), ("twice", {"valid": twice})):
        write_text(tmp_path / name, bits | changed)
        with pytest.raises(DataError, match="not static MNIST as published"):
            make_static_mnist(tmp_path / name, None, stage, NOWHERE)


@pytest.mark.parametrize(("order", "words"), [("usual", "in the order that"), ("other", "in another order")])
def test_the_command_says_which_order_it_is(
    order: str, words: str, bits: dict[str, Bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text(tmp_path / "text", bits if order == "usual" else shuffled(bits))
    command(tmp_path / "text", labels=None)
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'text' / 'mnist_static.npz'}\n"
    assert words in printed.err


def grey(count: int, seed: int, labels: list[int] | None) -> Images:
    """Pictures that are black at most places, and grey where they have ink."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, 28, 28, 1)) * (random.random((count, 28, 28, 1)) < 0.3)
    return Images(pixels.astype(np.uint8), ALL_BYTES, None if labels is None else np.array(labels))


def draw(images: Images) -> Bytes:
    return (np.random.default_rng(9).random(images.pixels.shape) < images.pixels / 255).astype(np.uint8)


def test_bits_get_the_label_of_the_picture_that_they_were_drawn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist = {"train": grey(6, 1, [3, 1, 4, 1, 5, 9]), "test": grey(3, 2, [2, 6, 5])}
    drawn = {split: draw(images) for split, images in mnist.items()}
    bits = {"train": drawn["train"][::-1][:4], "valid": drawn["train"][:2], "test": drawn["test"]}
    publish(tmp_path / "web", bits, monkeypatch)
    splits = open_splits(str(make_static_mnist(tmp_path / "web", mnist, stage, NOWHERE).path))[1]
    found = {split: images.labels.tolist() for split, images in splits.items() if images.labels is not None}
    assert found == {"train": [9, 5, 1, 4], "valid": [3, 1], "test": [2, 6, 5]}


def test_labels_need_pictures_of_the_same_size_with_labels() -> None:
    for images in (grey(2, 0, None), Images(np.zeros((2, 8, 8, 1), np.uint8), ALL_BYTES, np.zeros(2, np.int64))):
        with pytest.raises(DataError, match="labels are found by MNIST itself"):
            labels_by_likelihood(np.zeros((1, 28, 28, 1), np.uint8), images, stage("", 1))


def test_the_recipes_of_static_mnist_say_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="acn static-mnist"):
        open_splits("mnist_static.npz")


def test_the_published_text_is_the_archive_that_the_figures_are_of(tmp_path: Path, data_folder: Path) -> None:
    source = str(data_folder / "mnist_static.npz")
    bits = {split: images.pixels for split, images in open_splits(source)[1].items()}
    write_text(tmp_path / "text", bits)
    made = make_static_mnist(tmp_path / "text", None, stage, NOWHERE)
    assert made.usual_order
    assert open_collection(DataSettings(source=str(made.path))).provenance["fingerprint"] == STATIC_MNIST
    assert fingerprint_images({split: pixels[::-1] for split, pixels in bits.items()}) == STATIC_MNIST_IMAGES
