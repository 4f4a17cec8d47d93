"""The wheel holds the whole package; `scripts/wheel` also installs it in an empty environment and trains."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import acn

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    source, package = tmp_path / "source", REPOSITORY / "src" / "acn"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    program = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    built = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("acn-*.whl")
    assert wheel.name.startswith(f"acn-{acn.__version__}-")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("acn/")}
        archive.extractall(tmp_path / "installed")
    files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert held == {str(path.relative_to(package.parent)) for path in files}
    loaded = subprocess.run(
        [sys.executable, "-c", "import acn; print(acn.load('mnist', device='cpu'), acn.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.startswith("TrainedModel(mnist: ")
    assert str(tmp_path / "installed") in loaded.stdout
