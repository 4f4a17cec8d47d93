"""The rules of the house: imports point down only, light modules stay light, and the command line answers at once."""

import ast
import functools
import graphlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import acn

PACKAGE = Path(acn.__file__).parent
REPOSITORY = Path(__file__).parents[1]

# From the ground up. A room imports rooms of lower floors and itself, never its neighbours on the same floor.
FLOORS = (
    ("errors", "units", "version", "threads", "progress", "wording"),
    ("devices", "hub", "ranks"),
    ("joining",),
    ("settings",),
    ("network_settings",),
    ("families",),
    ("config", "files", "pretrained", "provenance"),
    ("parsing",),
    ("recipes", "exact", "record", "tensors"),
    ("choice", "emissions"),
    ("logistic",),
    ("distributions", "components"),
    ("divergence", "likelihood"),
    ("data", "networks", "memory"),
    ("models",),
    ("checks",),
    ("runs",),
    ("run_models",),
    ("training", "evaluation", "sampling", "codec", "exports"),
    ("projector", "publishing"),
    ("trained",),
    ("array_training",),
    ("estimator", "reproduction"),
    ("web",),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FORBIDDEN = {("models", "memory"), ("networks", "memory"), ("networks", "data")}
LIGHT = (
    "errors",
    "units",
    "version",
    "threads",
    "wording",
    "settings",
    "network_settings",
    "families",
    "config",
    "parsing",
    "recipes.__init__",
    "recipes.own",
    "recipes.graves",
    "recipes.chen",
    "files",
    "cli.main",
    "__init__",
)
HEAVY = {"torch", "numpy", "sklearn", "matplotlib", "scipy", "pandas", "PIL"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Full names of everything that a file imports, in functions too."""
    tree = parsed(path)
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def own_imports(path: Path) -> set[str]:
    """Modules of this package that a file imports; `from acn.units import f` names the module `acn.units`."""
    found = set()
    for name in imports(path):
        if name.split(".")[0] == "acn":
            while name not in MODULES:
                name = name.rpartition(".")[0]
            found.add(name)
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module in MODULES} - {""} <= FLOOR.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    here = room(module)
    if not here:
        when_asked_for = {"acn.array_training", "acn.codec", "acn.errors", "acn.trained", "acn.estimator"}
        assert own_imports(MODULES[module]) - when_asked_for <= {"acn.threads", "acn.version"}
        return
    for target in own_imports(MODULES[module]) - {"acn"}:
        there = room(target)
        assert there == here or FLOOR[there] < FLOOR[here], f"{module} must not import {target}"
        assert (here, there) not in FORBIDDEN, f"{module} must not import {target}"


def test_no_import_cycles() -> None:
    graph = {module: own_imports(path) - {module} for module, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


# Where families may be named: where they are defined, and recipes and the reproduction, which choose among them.
FAMILY_ROOMS = {"families", "config", "parsing", "recipes", "models", "reproduction"}
FAMILY_NAMES = {"pixelvae", "vae", "pixelcnn"}
FAMILY_CLASSES = {"ACN", "PixelVAE", "VAE", "PixelCNN"}
FAMILY_CLASSES |= {f"{name}Settings" for name in FAMILY_CLASSES}


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) not in FAMILY_ROOMS])
def test_no_module_outside_models_names_a_family(module: str) -> None:
    for node in ast.walk(parsed(MODULES[module])):
        assert not (isinstance(node, ast.Name) and node.id in FAMILY_CLASSES), node.lineno
        assert not (isinstance(node, ast.Constant) and node.value in FAMILY_NAMES), node.lineno


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_no_numerical_library(name: str) -> None:
    path = PACKAGE / f"{name.replace('.', '/')}.py"
    assert not {imported.split(".")[0] for imported in imports(path, top_level_only=True)} & HEAVY


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "data"])
def test_reading_images_loads_what_a_source_needs_when_it_is_read(module: str) -> None:
    late = {"sklearn", "datasets", "scipy", "pandas"}
    assert not {imported.split(".")[0] for imported in imports(MODULES[module], top_level_only=True)} & late


def test_command_line_loads_no_numerical_library() -> None:
    program = f"import sys, acn, acn.cli.main; print(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_help_answers_at_once() -> None:
    """Processor seconds, which is what a quiet machine takes: on a busy one the clock would measure the others."""

    def seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-m", "acn", "--help"], capture_output=True, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert any(seconds() < 0.5 for _ in range(5))


def test_import_sets_thread_variables_before_numpy() -> None:
    program = "import acn, os; print(os.environ['OMP_WAIT_POLICY'], os.environ['OPENBLAS_NUM_THREADS'])"
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}  # the user's own choice stays
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["ACTIVE", "1"]


def test_text_is_written_by_what_keeps_the_bytes_of_names() -> None:
    """`acn.files.write_text_atomically` does; `Path.write_text` ends in an error where a name is no Unicode."""
    assert [path.name for path in PACKAGE.rglob("*.py") if ".write_text(" in path.read_text(encoding="utf-8")] == []


def test_version_is_in_the_changelog() -> None:
    """Every release is listed; before the first one there is only the heading of what is to come."""
    headings = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert headings
    assert released[:1] in ([], [acn.__version__])


def test_version_is_in_the_citation() -> None:
    assert f"\nversion: {acn.__version__}\n" in (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")


def test_ci_runs_the_line_that_the_readme_gives() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.+?)\n```", readme, re.MULTILINE)
    assert commands[0].endswith("acn train")
    assert commands[1] in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8").splitlines()
