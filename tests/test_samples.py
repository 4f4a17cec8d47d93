"""Whatever is measured or chosen on a part of a collection sees all of it: splits are often sorted by class."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import acn.cli.drawing
import acn.codec.loss
import acn.codec.store  # now, so that it does not import what a test puts in the place of `frozen_loss`
from acn.cli.coding import SAMPLE, sample_of
from acn.cli.freeze import freeze
from acn.data import Images, open_collection, spread
from acn.data.palette import ALL_BYTES
from acn.parsing import override
from acn.recipes import recipe
from acn.training import loop
from acn.training.state import TrainingState, new_state
from benchmarks import _shipped, encode
from tests.training.conftest import TINY

ROOT = Path(__file__).parents[1]


class TakenError(Exception):
    """Carries what reached the measurement."""


def by_class(*classes: int) -> Images:
    """Images of one pixel, sorted: a hundred of value 0, a hundred of value 1 and so on, for the `classes` named."""
    return Images(np.repeat(np.array(classes, np.uint8), 100).reshape(-1, 1, 1, 1), ALL_BYTES)


def shares(levels: Tensor) -> list[int]:
    """How many images there are of each class."""
    return levels.flatten().bincount().tolist()


@pytest.mark.parametrize("total", [1, 7, 1000, 10_000])
@pytest.mark.parametrize("count", [1, 2, 5, 128, 1000, 20_000])
def test_spread_takes_rows_of_all_parts_alike(total: int, count: int) -> None:
    rows = spread(total, count)
    assert len(rows) == min(total, count)
    quarters = np.histogram(rows, 4, (0, total))[0]
    assert quarters.max() - quarters.min() <= 1 + (total < 4 * count)


def test_the_model_that_an_archive_carries_is_rounded_by_images_of_all_splits_and_classes() -> None:
    found = shares(sample_of({"train": by_class(0, 1, 2), "valid": by_class(3), "test": by_class(4, 5, 6, 7)}))
    assert sum(found) == SAMPLE
    assert found == [SAMPLE // 8] * 8
    few = sample_of({"train": by_class(0), "valid": by_class(1).take(np.array([0]))})
    assert shares(few) == [100, 1]


def test_the_precision_is_timed_on_images_of_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = override(recipe("digits"), [*TINY, "training.precision=auto", "training.batch=50"])
    collection = open_collection(config.data)
    levels = collection.train.values(range(len(collection.train)))
    rising = collection.train.take(np.argsort(levels.reshape(len(levels), -1).sum(1)))
    taken: list[Tensor] = []

    def timed(_: TrainingState, images: Tensor, *__: object) -> float:
        taken.append(images)
        return 1.0

    monkeypatch.setattr(loop, "_time_pass", timed)
    state = new_state(config, collection.shape, len(rising), torch.device("cpu"))
    loop.choose_precision(config, state, rising)
    ink = taken[0].flatten(1).sum(1).float()
    assert len(ink) == 50
    assert ink.quantile(0.5) == pytest.approx(np.median(levels.reshape(len(levels), -1).sum(1)), rel=0.02)


def test_the_loss_of_rounding_is_measured_on_images_of_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*arguments: object) -> None:
        raise TakenError(arguments[-1])

    monkeypatch.setattr(acn.cli.drawing, "images_of", lambda *_: by_class(*range(10)))
    monkeypatch.setattr(acn.codec.loss, "frozen_loss", taken)
    with pytest.raises(TakenError) as found:
        freeze(Path("mnist"), images=200, device="cpu")
    assert shares(found.value.args[0]) == [20] * 10


def test_the_benchmarks_measure_images_of_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(test=by_class(*range(10)), config=SimpleNamespace(data=None))
    taken: list[Images] = []
    for module in (_shipped, encode):
        monkeypatch.setattr(module, "open_collection", lambda _: fake)
    monkeypatch.setattr(encode, "SIZES", ((50, 1), (200, 1)))

    def measured(images: Images, *_: object) -> dict[str, Any]:
        taken.append(images)
        return {"npz": {"ratio": 1}}

    monkeypatch.setattr(encode, "_measure", measured)
    encode.run(lambda _: None)
    assert [shares(images.batch(range(len(images)))) for images in taken] == [[5] * 10, [20] * 10]
    assert shares(_shipped.levels_of(fake, 100)) == [10] * 10  # type: ignore[arg-type]
    assert shares(_shipped.levels_of(fake)) == [100] * 10  # type: ignore[arg-type]


def heads(tree: ast.AST) -> Iterator[str]:
    """Calls that take the first so many images of something: `.batch(range(n))`, `.take(np.arange(n))`, n no length."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="batch" | "take" | "values"),
                args=[ast.Call(func=ast.Name(id="range") | ast.Attribute(attr="arange"), args=[count]), *_],
            ) if not (isinstance(count, ast.Call) and ast.unparse(count.func) == "len"):
                yield ast.unparse(node)


def test_heads_are_found() -> None:
    found = heads(ast.parse("a.batch(range(n)); a.take(np.arange(5)); a.batch(range(len(a))); a.batch(range(b, c))"))
    assert list(found) == ["a.batch(range(n))", "a.take(np.arange(5))"]


@pytest.mark.parametrize("folder", ["src/acn", "benchmarks"])
def test_nothing_takes_the_first_images_of_a_collection(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert {str(file): found for file in files if (found := list(heads(ast.parse(file.read_text("utf-8")))))} == {}
