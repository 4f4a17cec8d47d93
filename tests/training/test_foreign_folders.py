"""Folders that are damaged, or made to do harm: one sentence each, before anything large is built or read."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from acn import checks, runs
from acn.config import ImageShape, ModelSettings
from acn.data import Collection
from acn.distributions import GaussianPrior
from acn.errors import AcnError, RunError, UsageError
from acn.models import Model, build
from acn.runs import StoredPriors, load_model, load_priors, open_run, read_metrics, save_priors
from acn.tensors import read_tensors, write_tensors
from acn.training import state as training_state
from acn.training.state import restore_state
from tests.training.conftest import Bench

Tree = dict[str, Any]
Contents = dict[str, Tensor]
DELETED = "deleted"
HARM = [  # as JSON, so that every use is a value of its own
    *("null", "true", '""', '"acn"', '"vae"', '"pixelcnn"', '"all"', "[]", "{}", "[[]]", "[[4], [0]]"),
    *("0", "-1", "1", "2", "7", "1.5", "Infinity", "NaN", str(2**31), str(10**9), str(2**63), str(10**400)),
    *(str(-(10**400)), '"1e9"', "[1, 2, 3]", '{"name": "acn"}', "[" * 500 + "]" * 500, json.dumps([[4]] * 1000)),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, digits: Collection) -> Path:
    """A run of two steps, with an unconditional prior."""
    bench = Bench(tmp_path_factory.mktemp("foreign"), digits)
    run, state = bench.begin("whole")
    bench.train(run, state, until=2)
    one = torch.ones(1).double()
    save_priors(run, StoredPriors(GaussianPrior(one, torch.zeros(1, 3).double(), torch.ones(1, 3).double()), codes()))
    return run.path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module", autouse=True)
def nothing_large_is_built() -> Iterator[None]:
    """Networks with memory for their weights are as small as those of the run."""

    def guarded(wanted: ModelSettings, shape: ImageShape) -> Model:
        with torch.device("meta"):
            size = sum(weight.numel() for weight in build(wanted, shape).state_dict().values())
        assert size < 200_000
        return build(wanted, shape)

    with pytest.MonkeyPatch.context() as patch:
        for module in (runs, training_state):
            patch.setattr(module, "build", guarded)
        yield


def codes() -> Tensor:
    return torch.randn(9, 3, generator=torch.Generator().manual_seed(0))


def use(folder: Path) -> None:
    """Read all that commands read of a run."""
    run = open_run(folder)
    assert run.palette.ndim == 1
    read_metrics(run)
    load_model(run)
    load_priors(run)
    restore_state(run, 1437, torch.device("cpu"))


def assert_refused_in_a_sentence(folder: Path, words: str) -> None:
    with pytest.raises((RunError, UsageError), match=words) as raised:
        use(folder)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert len(sentence) < 1000
    assert str(folder) in sentence


def change_settings(folder: Path, change: Callable[[Tree], object]) -> None:
    tree = json.loads((folder / "config.json").read_text())
    change(tree)
    (folder / "config.json").write_text(json.dumps(tree))


def change_tensors(file: Path, change: Callable[[Contents, Tree], object], *, foreign: bool = False) -> None:
    """Change a file of tensors, as one who knows the format would, or, `foreign`, as other programs write it."""
    tensors, facts = read_tensors(file)
    change(tensors, facts)
    if foreign:
        save_file(tensors, file, metadata={"acn": json.dumps(facts)})
    else:
        write_tensors(file, tensors, facts)


def test_the_run_can_be_used(folder: Path) -> None:
    use(folder)
    for name in ("checkpoint", "prior"):
        change_tensors(folder / f"{name}.safetensors", lambda *_: None, foreign=True)
    use(folder)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("config.model.decoder.filters", 10**9, "less than or equal to 65536"),
        ("config.model.decoder.filters", 2**16, "ask for larger networks"),
        ("config.model.encoder.stages", [[4]] * 100_000, "at most 16 items"),
        ("config.model.encoder.hidden", 2**16, r"encoder\.code\.weight is \(3, 8\) there, \(3, 65536\) was expected"),
        ("config.model.prior_hidden", [2**16] * 3, r"prior_network.* was expected"),
        ("config.model.code_size", "three", "model.code_size"),
        ("config.model.name", "cnn", "there is no model 'cnn'"),
        ("config.training.batch", "many", "training.batch"),
        ("config.training.seed", -1, "training.seed"),
        ("shape.levels", 10**9, "levels"),
        ("shape.height", 10**9, "was expected|no machine can hold"),
        ("shape.channels", 2, "channels"),
        ("data.palette", [0, 1], "expected 17 ascending pixel values"),
        ("data.palette", [0] * 17, "expected 17 ascending pixel values"),
        ("data.palette", [*range(16), 256], "palette"),
        ("data.palette", "black", "palette"),
        ("data.palette", None, "has no palette; restore the file or train again"),
        ("data.images", {"train": -1}, "images"),
        ("data.fingerprint", 3, "fingerprint"),
        ("data", [], "data"),
    ],
)
def test_impossible_settings_are_refused(folder: Path, place: str, value: object, words: str) -> None:
    def change(tree: Tree) -> None:
        *sections, key = place.split(".")
        for section in sections:
            tree = tree[section]
        tree[key] = value

    change_settings(folder, change)
    assert_refused_in_a_sentence(folder, words)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"config":' * 50_000, "\x00", "9" * 5000, '"' + "x" * 2**20 + '"', "NaN"]
)
def test_settings_that_are_no_settings_are_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert_refused_in_a_sentence(folder, "config.json is damaged or of another version")


def drop(prefix: str) -> Callable[[Contents, Tree], None]:
    def change(tensors: Contents, _: Tree) -> None:
        del tensors[next(name for name in sorted(tensors) if name.startswith(prefix))]

    return change


def say(**facts: object) -> Callable[[Contents, Tree], None]:
    return lambda _, kept: kept.update(facts)


def put(name: str, tensor: Tensor) -> Callable[[Contents, Tree], None]:
    return lambda tensors, _: tensors.update({name: tensor})


CHECKPOINTS: dict[str, tuple[Callable[[Contents, Tree], None], str]] = {
    "no moments": (drop("optimizer."), r"optimizer\.\S+ is nothing there, .* was expected"),
    "no average": (drop("average."), "is nothing there"),
    "whole numbers": (
        put("model.encoder.code.bias", torch.zeros(3, dtype=torch.int32)),
        "is I32 .* float32 .* expected",
    ),
    "doubles": (put("memory.codes", torch.zeros(1437, 3).double()), "is float64 .* float32 .* expected"),
    "fewer codes": (put("memory.codes", torch.zeros(7, 3)), r"is \(7, 3\) there, \(1437, 3\) was expected"),
    "a stranger": (put("stranger", torch.zeros(3)), r"stranger is \(3,\) there, nothing was expected"),
    "beyond the images": (say(position=1437), "position 1437 of 1437 images"),
    "far beyond the images": (say(position=10**30), "damaged"),
    "before the images": (say(position=-1), "position"),
    "before the start": (say(step=-1), "step"),
    "after all steps": (say(step=2**40), "step"),
    "an epoch before the first": (say(epoch=-3), "epoch"),
    "half a step": (say(step=1.5), "step"),
    "a step in words": (say(step="2"), "step"),
    "negative time": (say(seconds=-1.0), "seconds"),
    "no time": (say(seconds=None), "seconds"),
    "endless time": (say(seconds=math.inf), "seconds"),
    "wrong figures": (say(pending=[{"kl": "much"}]), "pending"),
    "more facts": (say(more=1), "more"),
}


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("case", CHECKPOINTS)
def test_impossible_checkpoints_are_refused(folder: Path, case: str, foreign: bool) -> None:
    change, words = CHECKPOINTS[case]
    change_tensors(folder / "checkpoint.safetensors", change, foreign=foreign)
    assert_refused_in_a_sentence(folder, words)


PRIORS: dict[str, tuple[Callable[[Contents, Tree], None], str]] = {
    "an unknown choice": (say(chosen="best"), "a prior that there is not, 'best'"),
    "a choice that is a list": (say(chosen=["mixture"]), "a prior that there is not"),
    "no codes": (put("codes", torch.zeros(0, 3)), "no mixture or no codes"),
    "codes of another size": (put("codes", torch.zeros(9, 4)), r"codes is \(9, 4\) there, \(9, 3\) was expected"),
    "negative weights": (put("weights", -torch.ones(1).double()), "no distribution"),
    "no weight": (put("weights", torch.zeros(1).double()), "no distribution"),
    "negative scales": (put("factors", -torch.ones(1, 3).double()), "no distribution"),
    "means in one dimension": (put("means", torch.zeros(1).double()), "means"),
    "no factors": (drop("factors"), "factors is nothing there"),
    "whole weights": (put("weights", torch.ones(1).long()), "weights is int64"),
}


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("case", PRIORS)
def test_impossible_priors_are_refused(folder: Path, case: str, foreign: bool) -> None:
    change, words = PRIORS[case]
    change_tensors(folder / "prior.safetensors", change, foreign=foreign)
    assert_refused_in_a_sentence(folder, words)


def places(tree: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every value inside `tree`."""
    if path:
        yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    if isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from places(value, (*path, number))


def replaced(tree: Tree, path: tuple[Any, ...], text: str) -> None:
    *sections, key = path
    node: Any = tree
    for section in sections:
        node = node[section]
    if text == DELETED:
        del node[key]
    else:
        node[key] = json.loads(text)


many = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@many
@given(data=st.data())
def test_no_change_of_the_settings_ends_in_a_traceback(whole: Path, data: st.DataObject) -> None:
    tree = json.loads((whole / "config.json").read_text())
    some = st.sampled_from(list(places(tree)))
    for place in data.draw(st.lists(some, min_size=1, max_size=2)):
        with suppress(LookupError, TypeError):  # what the first change left has no such place
            replaced(tree, place, data.draw(st.sampled_from([*HARM, DELETED])))
    try_with(whole, "config.json", lambda file: file.write_text(json.dumps(tree)))


@many
@given(data=st.data())
def test_no_change_of_a_file_of_tensors_ends_in_a_traceback(whole: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["checkpoint.safetensors", "prior.safetensors"]))
    tensors, facts = read_tensors(whole / name)
    for _ in range(data.draw(st.integers(1, 2))):
        kind = data.draw(st.sampled_from(["fact", "drop", "shape", "type", "fill", "rename"]))
        if kind == "fact":
            fact = data.draw(st.sampled_from([*facts, "chosen", "sha256"]))
            facts[fact] = json.loads(data.draw(st.sampled_from(HARM)))
            continue
        chosen = data.draw(st.sampled_from(sorted(tensors) or ["codes"]))
        tensor = tensors.pop(chosen, torch.zeros(3))
        if kind == "rename":
            tensors[chosen[:-1]] = tensor
        if kind == "shape":
            tensors[chosen] = torch.zeros(data.draw(st.lists(st.integers(0, 9), max_size=4)), dtype=tensor.dtype)
        if kind == "type":
            kinds = [torch.int8, torch.int32, torch.int64, torch.float16, torch.float64, torch.bool]
            tensors[chosen] = tensor.to(data.draw(st.sampled_from(kinds)))
        if kind == "fill":
            value = data.draw(st.sampled_from([0, 1, -1, 1e9, 3e38, math.nan, math.inf]))
            tensors[chosen] = torch.full_like(tensor.double(), value).to(tensor.dtype)
    try_with(whole, name, lambda file: save_file(tensors, file, metadata={"acn": json.dumps(facts)}))


def try_with(whole: Path, name: str, write: Callable[[Path], object]) -> None:
    """Use the run with another file in place of one of its own: it works, or is refused in a sentence."""
    before = (whole / name).read_bytes()
    try:
        write(whole / name)
        use(whole)
    except AcnError as error:
        sentence = str(error)
    else:
        sentence = ""
    finally:
        (whole / name).write_bytes(before)
    assert "\n" not in sentence
    assert len(sentence) < 1000


def test_the_bound_of_a_configuration_file_is_beyond_every_true_one(whole: Path) -> None:
    assert (whole / "config.json").stat().st_size * 100 < checks.LARGEST_CONFIG
