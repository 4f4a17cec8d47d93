"""`acn runs` and `acn compare`."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from acn.cli.listing import _told_apart
from acn.cli.main import app
from acn.errors import RunError
from tests.training.conftest import TINY


def acn(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False, env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluated runs, which differ in the size of their codes, and a folder that only looks like one."""
    folder = tmp_path_factory.mktemp("runs")
    for name, size in (("a", 3), ("b", 2)):
        settings = [*TINY, f"model.code_size={size}", "training.epochs=1"]
        acn("train", "digits", "--out", folder / name, *(part for item in settings for part in ("--set", item)))
    (folder / "c").mkdir()
    (folder / "c" / "checkpoint.safetensors").write_bytes(b"")
    return folder


def test_runs_are_listed_with_what_their_records_say(folder: Path) -> None:
    rows = json.loads(acn("runs", folder, "--format", "json"))
    assert [row["run"] for row in rows] == ["a", "b"]
    for row in rows:
        record = json.loads((folder / row["run"] / "evaluation.json").read_text())
        assert row == {
            "run": row["run"],
            "model": "acn",
            "images": "digits",
            "epochs": 1.0,
            "minutes": pytest.approx(record["training"]["seconds"] / 60, abs=0.01),
            "list": record["list"],
            "nll": None,
            "tour": record["tour"],
            "codes": record["linear_probe"]["codes"],
        }
    table = acn("runs", folder)
    assert f"{rows[0]['list']:.2f}" in table
    assert list(csv.DictReader(io.StringIO(acn("runs", folder, "--format", "csv"))))[1]["run"] == "b"


def test_runs_are_compared_where_they_differ(folder: Path) -> None:
    rows = json.loads(acn("compare", folder / "a", folder / "b", "--format", "json"))
    a, b = str(folder / "a"), str(folder / "b")
    assert [row for row in rows if row["kind"] == "setting"] == [
        {"kind": "setting", "key": "model.code_size", a: 3, b: 2}
    ]
    record = json.loads((folder / "b" / "evaluation.json").read_text())
    figures = {row["key"]: row for row in rows if row["kind"] == "figure"}
    assert figures["list"][b] == record["list"]
    assert figures["pca"][b] == record["linear_probe"]["pca"]
    assert "nll" not in figures
    assert "model.code_size" not in acn("compare", folder / "a", folder / "a")


def test_a_run_without_figures_has_dashes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    for name in ("config.json", "checkpoint.safetensors"):
        (tmp_path / "fresh" / name).write_bytes((folder / "a" / name).read_bytes())
    rows = json.loads(acn("compare", folder / "a", tmp_path / "fresh", "--format", "json"))
    assert all(row[str(tmp_path / "fresh")] is None for row in rows if row["kind"] == "figure")
    assert "–" in acn("runs", tmp_path)


def test_runs_without_any_figures_are_compared_by_their_settings(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in ("config.json", "checkpoint.safetensors"):
            (tmp_path / name / file).write_bytes((folder / name / file).read_bytes())
    said = f"No figures yet: acn evaluate {tmp_path / 'a'} measures those of a run."
    shown = acn("compare", tmp_path / "a", tmp_path / "b")
    assert "model.code_size" in shown
    assert shown.splitlines()[-1] == said
    assert acn("compare", tmp_path / "a", tmp_path / "a").splitlines() == [said]
    assert json.loads(acn("compare", tmp_path / "a", tmp_path / "a", "--format", "json")) == []
    assert "measures those" not in acn("compare", tmp_path / "a", folder / "b")


def test_damaged_runs_are_left_out_by_name(folder: Path, tmp_path: Path) -> None:
    for name, file in (("kept", None), ("odd", "evaluation.json"), ("cut", "checkpoint.safetensors")):
        shutil.copytree(folder / "a", tmp_path / name)
        if file is not None:
            whole = (tmp_path / name / file).read_bytes()
            (tmp_path / name / file).write_bytes(whole[: len(whole) // 2])
    done = CliRunner().invoke(app, ["runs", str(tmp_path), "--format", "json"], catch_exceptions=False)
    assert [row["run"] for row in json.loads(done.stdout)] == ["kept"]
    said = done.stderr.splitlines()
    assert all(line.startswith("acn: left out: ") for line in said)
    assert [next(name for name in ("cut", "odd") if str(tmp_path / name) in line) for line in said] == ["cut", "odd"]
    shutil.rmtree(tmp_path / "kept")
    with pytest.raises(RunError, match="cut"):
        acn("runs", tmp_path)


def test_a_folder_without_runs_is_a_sentence(tmp_path: Path) -> None:
    for place, said in ((tmp_path, "holds no run"), (tmp_path / "none", "there is no folder")):
        with pytest.raises(RunError, match=said):
            acn("runs", place)


@pytest.mark.parametrize(
    ("folders", "headings"),
    [
        (["runs/a", "runs/b"], ["a", "b"]),
        (["runs/deep/a", "runs/b"], ["deep/a", "b"]),
        (["/x/runs/a", "/x/runs/b"], ["a", "b"]),
        (["/x/a", "runs/b"], ["/x/a", "runs/b"]),
        (["mnist", "runs/b"], ["mnist", "runs/b"]),
        (["runs/a"], ["a"]),
        (["a", "a/b"], ["a", "a/b"]),
    ],
)
def test_headings_leave_out_what_all_folders_share(folders: list[str], headings: list[str]) -> None:
    assert _told_apart(folders) == headings
