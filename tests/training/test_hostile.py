"""Run folders that are damaged, foreign or made to do harm: one sentence each, before anything large is built."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from acn.data import Collection
from acn.distributions import GaussianPrior
from acn.errors import AcnError, RunError
from acn.networks.autoregressive import Autoregressive, ConditionalMixtures
from acn.run_models import StoredPriors, load_model, load_priors, save_priors
from acn.runs import Run, open_run
from acn.tensors import read_tensors, write_tensors
from acn.training.state import restore_state
from tests.training.conftest import Bench

# What the largest of these cases may add to the process, in MiB.
MEMORY = 600


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, digits: Collection) -> Run:
    bench = Bench(tmp_path_factory.mktemp("hostile"), digits)
    run, state = bench.begin("run", "training.epochs=1")
    bench.train(run, state, until=3)
    mixture = GaussianPrior(torch.full((2,), 0.5).double(), torch.zeros(2, 3).double(), torch.ones(2, 3).double())
    save_priors(run, StoredPriors(mixture, torch.zeros(9, 3)))
    return run


@pytest.fixture(autouse=True)
def whole(run: Run) -> Iterator[None]:
    """Leave the folder as it was."""
    before = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    yield
    for path, content in before.items():
        path.write_bytes(content)


def use(path: Path, images: int) -> None:
    """Do all that reads a run's files."""
    run = open_run(path)
    load_model(run)
    load_priors(run)
    assert run.palette.size
    restore_state(run, images, torch.device("cpu"))


def change(run: Run, where: str, value: object) -> None:
    """Set the entry at `where`, such as `config.model.code_size`, of the run's config.json."""
    record = json.loads((run.path / "config.json").read_text())
    *path, key = where.split(".")
    node = record
    for part in path:
        node = node[part]
    if value is None:
        del node[key]
    else:
        node[key] = value
    (run.path / "config.json").write_text(json.dumps(record))


CONFIGS = {
    "many filters": ("config.model.decoder.filters", 10**9, "less than or equal to"),
    "filters within limits": ("config.model.decoder.filters", 65536, "does not fit"),
    "many stages": ("config.model.encoder.stages", [[4]] * 100_000, "config.json is damaged"),
    "many blocks": ("config.model.decoder.blocks", 1000, "does not fit"),
    "large code": ("config.model.code_size", 65536, "does not fit"),
    "wide prior": ("config.model.prior_hidden", [65536] * 1000, "does not fit"),
    "wide flow": (
        "config.model",
        {"name": "vlae", "flow": {"steps": 64, "hidden": 2**14, "layers": 16}},
        "does not fit",
    ),
    "large window": ("config.model.decoder", {"kind": "local", "window": "9999x9999"}, "does not fit"),
    "palette out of range": ("data.palette", [*range(16), 256], "palette"),
    "palette unsorted": ("data.palette", [*range(15), 16, 15], "palette"),
    "palette short": ("data.palette", [0, 1], "palette"),
    "palette of texts": ("data.palette", ["0"] * 17, "palette"),
    "palette of lists": ("data.palette", [[0]] * 17, "palette"),
    "no palette": ("data.palette", None, "no palette"),
    "images are text": ("data.images", "many", "images"),
    "data is a list": ("data", [], "data"),
    "shape is huge": ("shape.height", 10**30, "does not fit"),
    "shape is text": ("shape.height", "tall", "height"),
    "made is a number": ("made", 3, "made"),
    "another family": ("config.model.name", "vae", "does not fit"),
    "an unknown family": ("config.model.name", "cnn", "there is no model 'cnn'; the models are acn"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_hostile_settings_are_one_sentence(run: Run, digits: Collection, case: str) -> None:
    where, value, words = CONFIGS[case]
    change(run, where, value)
    with pytest.raises(RunError, match=words) as refused:
        use(run.path, len(digits.train))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("text", ["[" * 100_000, '{"config": ' * 5000, "9" * 5000, " " * 2**21, "null", '"text"'])
def test_settings_that_are_no_settings(run: Run, text: str) -> None:
    (run.path / "config.json").write_text(text)
    with pytest.raises(RunError, match=r"config\.json is damaged"):
        open_run(run.path)


def rewrite(run: Run, edit: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> None:
    """Write the checkpoint again after `edit`, with digests that are right."""
    tensors, facts = read_tensors(run.checkpoint)
    edit(tensors, facts)
    write_tensors(run.checkpoint, tensors, facts)


FACTS = {
    "position beyond N": ("position", 10_000),
    "position at N": ("position", 1437),
    "negative step": ("step", -1),
    "huge step": ("step", 2**40),
    "negative epoch": ("epoch", -1),
    "step is a text": ("step", "3"),
    "step is a truth": ("step", True),
    "step is missing": ("step", None),
    "seconds are negative": ("seconds", -1.0),
    "seconds are infinite": ("seconds", float("inf")),
    "pending is a number": ("pending", 3),
    "pending lacks figures": ("pending", [{"kl": 1.0}]),
    "a fact too many": ("memory", 1),
}


@pytest.mark.parametrize("case", FACTS)
def test_impossible_facts_are_named(run: Run, digits: Collection, case: str) -> None:
    key, value = FACTS[case]

    def edit(tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        facts[key] = value
        if value is None:
            del facts[key]

    rewrite(run, edit)
    with pytest.raises(RunError, match=rf"checkpoint\.safetensors is damaged \(.*{key}"):
        restore_state(run, len(digits.train), torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("optimizer.encoder.code.weight.exp_avg", None),
        ("optimizer.encoder.code.weight.exp_avg", torch.zeros(1)),
        ("optimizer.encoder.code.weight.step", torch.tensor(3)),
        ("optimizer.encoder.code.weight.more", torch.zeros(1)),
        ("model.encoder.code.weight", torch.zeros(3, 8, dtype=torch.int32)),
        ("average.encoder.code.bias", None),
        ("memory.codes", torch.zeros(5, 3)),
        ("memory.visited", torch.zeros(1437)),
        ("more", torch.zeros(1)),
    ],
)
def test_other_tensors_are_named(run: Run, digits: Collection, name: str, change: Tensor | None) -> None:
    def edit(tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        tensors.pop(name, None)
        if change is not None:
            tensors[name] = change

    rewrite(run, edit)
    with pytest.raises(RunError, match=rf"does not fit the run's settings: {name} is .* there, .* was expected"):
        restore_state(run, len(digits.train), torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("codes", torch.zeros(9, 4), "codes is"),
        ("codes", torch.zeros(0, 3), "no mixture or no codes"),
        ("weights", torch.tensor([-1.0, 2.0]).double(), "not a distribution"),
        ("weights", torch.tensor([0, 1]), "weights is int64"),
        ("factors", torch.zeros(2, 3).double(), "not a distribution"),
        ("factors", None, "factors is nothing"),
        ("weights", None, "does not fit|no mixture"),
    ],
)
def test_priors_that_are_none_are_refused(run: Run, name: str, change: Tensor | None, words: str) -> None:
    tensors, _ = read_tensors(run.path / "prior.safetensors")
    tensors.pop(name)
    write_tensors(run.path / "prior.safetensors", tensors | ({} if change is None else {name: change}), {})
    with pytest.raises(RunError, match=words):
        load_priors(run)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("made.output.bias", None, "biases are missing"),
        ("made.output.bias", torch.zeros(20), "do not go together"),
        ("made.output.bias", torch.zeros(27), "made.output.weight is"),
        ("made.output.weight", torch.zeros(18, 9), "made.output.weight is"),
        ("made.hidden.1.weight", None, "made.hidden.1.weight is nothing"),
        ("made.hidden.0.bias", torch.zeros(9), "does not fit"),
        ("made.hidden.2.bias", torch.zeros(8), "made.hidden.2.bias is"),
        ("centre", torch.zeros(4), "centre is"),
        ("centre", None, "centre is nothing"),
        ("width", torch.zeros(3), "not a distribution"),
        ("axes", torch.ones(3, 3), "not a distribution"),
        ("width", torch.ones(3).double(), "width is float64"),
    ],
)
def test_autoregressive_priors_that_are_none_are_refused(
    run: Run, name: str, change: Tensor | None, words: str
) -> None:
    priors = replace(load_priors(run), autoregressive=Autoregressive(ConditionalMixtures(3, 8, 2)))
    save_priors(run, priors)
    assert load_priors(run).autoregressive is not None
    tensors, facts = read_tensors(run.path / "prior.safetensors")
    tensors.pop(f"autoregressive.{name}", None)
    more = {} if change is None else {f"autoregressive.{name}": change}
    write_tensors(run.path / "prior.safetensors", tensors | more, facts)
    with pytest.raises(RunError, match=words):
        load_priors(run)


def test_a_file_that_names_an_autoregressive_prior_has_to_hold_it(run: Run) -> None:
    save_priors(run, replace(load_priors(run), chosen="autoregressive"))
    with pytest.raises(RunError, match="names an autoregressive prior and holds none; delete it and run acn evaluate"):
        load_priors(run)


@pytest.mark.parametrize("width", [0.0, -1.0, float("inf"), float("nan"), "wide", [1.0]])
def test_widths_of_posteriors_that_are_none_are_refused(run: Run, width: object) -> None:
    tensors, facts = read_tensors(run.path / "prior.safetensors")
    write_tensors(run.path / "prior.safetensors", tensors, facts | {"narrowest": width})
    with pytest.raises(RunError, match="states a width of posteriors that is none; delete it and run acn evaluate"):
        load_priors(run)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_settings_say_it_is_a_sentence_or_a_run(run: Run, digits: Collection, data: st.DataObject) -> None:
    config = run.path / "config.json"
    before = config.read_text()
    record = json.loads(before)
    node, key = record, data.draw(st.sampled_from(sorted(record)))
    while isinstance(node[key], dict) and node[key] and data.draw(st.integers(0, 4)):
        node = node[key]
        key = data.draw(st.sampled_from(sorted(node)))
    node[key] = data.draw(JSON)
    config.write_text(json.dumps(record))
    with suppress(AcnError):
        use(run.path, len(digits.train))
    config.write_text(before)


PEAK = """
import resource, sys, torch
from pathlib import Path
from tests.training.test_hostile import use
from acn.errors import AcnError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    use(Path(sys.argv[1]), 1437)
except AcnError as error:
    print(error, file=sys.stderr)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", ["filters within limits", "many blocks", "many stages", "large code", "wide prior"])
def test_nothing_large_is_built_for_a_small_file(run: Run, case: str) -> None:
    where, value, _ = CONFIGS[case]
    change(run, where, value)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(run.path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)),
    )
    assert int(done.stdout) < MEMORY, done.stderr
    assert done.stderr
