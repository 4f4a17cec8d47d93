import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acn.config import DataSettings
from acn.data import open_collection, open_splits
from acn.data.hub import read_hub
from acn.data.palette import Bytes
from acn.errors import DataError, MissingExtraError


def random_images(count: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 5), dtype=np.uint8)


def encoded(pixels: Bytes) -> dict[str, Any]:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - the library may be absent
    library = pytest.importorskip("datasets", reason="the optional library datasets is not installed")
    loaded: dict[str, Any] = {}

    def load_dataset(name: str) -> Any:  # noqa: ANN401 - as above
        if name not in loaded:
            raise library.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub\nmore lines")
        return library.DatasetDict(loaded[name])

    monkeypatch.setattr(library, "load_dataset", load_dataset)
    library.loaded = loaded
    yield library
    del library.loaded


def rows(library: Any, pixels: Bytes, labels: list[int] | None = None) -> Any:  # noqa: ANN401
    features = {"picture": library.Image()}
    columns: dict[str, list[Any]] = {"picture": [encoded(image) for image in pixels]}
    if labels is not None:
        features = {"text": library.Value("string"), "kind": library.ClassLabel(names=["cat", "dog"]), **features}
        columns |= {"text": ["x"] * len(labels), "kind": labels}
    return library.Dataset.from_dict(columns, features=library.Features(features))


@pytest.mark.parametrize("source", ["hub:owner/name", "owner/name"])
@pytest.mark.parametrize("valid", ["valid", "validation", "val"])
def test_columns_and_splits_are_found(hub: Any, source: str, valid: str) -> None:  # noqa: ANN401
    train, test = random_images(6), random_images(3, seed=1)
    hub.loaded["owner/name"] = {
        "train": rows(hub, train, [0, 1, 1, 0, 1, 0]),
        valid: rows(hub, train[:2], [1, 0]),
        "test": rows(hub, test, [-1, -1, -1]),
        "unsupervised": rows(hub, test, [0, 0, 0]),
    }
    name, splits = open_splits(source)
    assert name == "owner/name"
    assert list(splits) == ["train", "valid", "test"]
    np.testing.assert_array_equal(splits["train"].pixels[..., 0], train)
    np.testing.assert_array_equal(splits["test"].pixels[..., 0], test)
    assert splits["train"].label_names == ("cat", "dog")
    assert splits["train"].labels is not None
    assert splits["train"].labels.tolist() == [0, 1, 1, 0, 1, 0]
    assert splits["test"].labels is None
    assert open_collection(DataSettings(source=source)).shape.levels == 256


def test_dataset_of_image_files_without_labels(hub: Any, tmp_path: Path) -> None:  # noqa: ANN401
    pixels = random_images(2)
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    train = hub.Dataset.from_dict({"image": paths}).cast_column("image", hub.Image())
    hub.loaded["owner/name"] = {"train": train}
    images = read_hub("owner/name").splits["train"]
    assert images.labels is None
    np.testing.assert_array_equal(images.pixels[..., 0], pixels)


def test_other_datasets_are_refused(hub: Any) -> None:  # noqa: ANN401
    texts = hub.Dataset.from_dict({"text": ["a"], "label": [0]})
    hub.loaded["o/texts"] = {"train": texts}
    hub.loaded["o/test"] = {"test": rows(hub, random_images(2))}
    hub.loaded["o/twice"] = {split: rows(hub, random_images(2)) for split in ("train", "validation", "val")}
    hub.loaded["o/sizes"] = {"train": rows(hub, random_images(2)), "test": rows(hub, random_images(2)[:, :3])}
    for name, message in (
        ("o/texts", "expected a column of images, found text, label;"),
        ("o/test", "expected a split named train, found test;"),
        ("o/twice", "val and validation are both the valid split"),
        ("o/sizes", r"found 4x5 \(height x width\) in o/sizes train 0 and 3x5 in o/sizes test 0"),
    ):
        with pytest.raises(DataError, match=message):
            read_hub(name)


def test_row_without_an_image_is_named(hub: Any) -> None:  # noqa: ANN401
    features = hub.Features({"image": hub.Image()})
    columns = {"image": [encoded(random_images(1)[0]), None]}
    hub.loaded["o/gap"] = {"train": hub.Dataset.from_dict(columns, features=features)}
    with pytest.raises(DataError, match="expected an image in o/gap train 1, found none"):
        read_hub("o/gap")


def test_failed_download_is_one_sentence(hub: Any) -> None:  # noqa: ANN401
    with pytest.raises(
        DataError, match=r"dataset o/none could not be loaded .*: Dataset 'o/none' .*; .*HF_HUB_OFFLINE=1"
    ):
        read_hub("o/none")


def test_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install datasets"):
        open_splits("hub:owner/name")
    with pytest.raises(DataError, match=r"no file or folder 'pictures/birds', and .* pip install datasets"):
        open_splits("pictures/birds")
