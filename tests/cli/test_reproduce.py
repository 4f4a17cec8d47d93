"""`acn reproduce` as a user meets it, with trainings of a second on small pictures."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.cli.main import main
from acn.reproduction.parts import PARTS
from acn.training.metrics import Metrics
from tests.reproduction.conftest import shrink
from tests.test_runs import holder

DRAWN = ("vlae-figure1", "vlae-figure2")  # pictures without figures
# Pages of the VLAE without a figure of the paper.
UNPUBLISHED = (*DRAWN, "vlae-figure3")
FIGURES = {name for name in PARTS if "figure" in name}


def call(folder: Path, *arguments: str) -> int:
    """Run the command in this process, in `folder`, and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["acn", "reproduce", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)


def pictures(folder: Path, *, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    images = random.integers(0, 3, (60, 5, 4, 3), dtype=np.uint8)
    np.savez(folder / "pieces.npz", images=images, labels=np.arange(60) % 3)


PIECES = ("--data", "pieces.npz")


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        yield


@pytest.fixture(scope="module")
def made(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything was reproduced, with one seed."""
    folder = tmp_path_factory.mktemp("made")
    pictures(folder)
    assert call(folder, "all", *PIECES, "--seeds", "1") == 0
    return folder


@pytest.fixture
def work(small: None, tmp_path: Path) -> Path:
    pictures(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence of a refusal."""
    error = capsys.readouterr().err
    assert error.startswith("acn: ")
    assert error.count("\n") == 1
    return error


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_part_writes_its_files(made: Path) -> None:
    written = {path.name for path in (made / "results").iterdir()}
    pairs = {f"{name}.{suffix}" for name in PARTS for suffix in ("md", "json")}
    assert written == pairs | {f"{name}.png" for name in FIGURES} | {"vlae-figure3.csv"}  # what its picture shows


@pytest.mark.parametrize("name", PARTS)
def test_files_parse_and_say_where_they_come_from(made: Path, name: str) -> None:
    tree = json.loads((made / "results" / f"{name}.json").read_text(encoding="utf-8"))
    page = (made / "results" / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {tree['title']}\n")
    assert not any(words in page for words in ("published: ", "(published)", "as Graves", "as Chen"))
    assert ("Not comparable with published figures" in page) is (name.startswith("vlae") and name not in UNPUBLISHED)
    assert tree["written"]["command"] == "acn reproduce all --scale cpu --seeds 1 --data pieces.npz"
    assert {run["seed"] for run in tree["runs"]} == {0}
    several = {"vlae-table2": 5, "vlae-ablation": 5, "vlae-table3": 2, "vlae-table4": 12}
    passes = {"decoders": 40, **several}.get(name, 1)  # time was not up for the decoders
    assert {run["images_seen"] for run in tree["runs"]} == {48 * passes}
    for row in tree["rows"]:
        assert row["name"] in page
        assert any(cell for key, cell in row.items() if key not in ("name", "source"))
    assert (tree.get("picture") == f"{name}.png") is (name in FIGURES)


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_pictures_can_be_read(made: Path, name: str) -> None:
    with Image.open(made / "results" / f"{name}.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100
        assert len(np.unique(np.asarray(picture.convert("L")))) > 2


def test_more_neighbours_than_images_are_left_out(made: Path) -> None:
    assert not list((made / "runs" / "reproduce-cpu").glob("k100*"))
    tree = json.loads((made / "results" / "ablation-neighbours.json").read_text())
    assert [row["name"] for row in tree["rows"]] == ["K = 1", "K = 5", "K = 20", "any other image"]
    assert any("Left out" in note and "K = 1000" in note for note in tree["notes"])


def test_figures_are_those_of_the_evaluations(made: Path) -> None:
    evaluation = json.loads((made / "runs" / "reproduce-cpu" / "acn-0" / "evaluation.json").read_text())
    for name in ("table1", "ablation-prior", "ablation-tour"):
        tree = json.loads((made / "results" / f"{name}.json").read_text())
        row = tree["rows"][-1] if name != "ablation-prior" else tree["rows"][0]
        assert row["tour"]["mean"] == evaluation["tour"]


def test_what_is_there_is_not_trained_again(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = times(made / "runs")
    assert call(made, "figure2", *PIECES, "--seeds", "1", "--out", "again") == 0
    assert times(made / "runs") == before
    output = capsys.readouterr().out
    assert "part 1 of 1: figure2" in output
    assert "training" not in output
    first, again = (json.loads((made / out / "figure2.json").read_text()) for out in ("results", "again"))
    assert first["rows"] == again["rows"]
    assert (made / "results" / "figure2.png").read_bytes() == (made / "again" / "figure2.png").read_bytes()


def test_pictures_are_drawn_alike_every_time(made: Path) -> None:
    assert call(made, "figure5", *PIECES, "--out", "again") == 0
    assert (made / "results" / "figure5.png").read_bytes() == (made / "again" / "figure5.png").read_bytes()


def test_only_made_names_what_is_missing(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = times(made / "runs")
    assert call(made, "table3", *PIECES, "--seeds", "2", "--only-made", "--out", "partly") == 0
    assert times(made / "runs") == before
    note = "Not trained yet: vae-1, pixelvae-1, acn-1."
    assert note in (made / "partly" / "table3.md").read_text(encoding="utf-8")
    assert "±" not in capsys.readouterr().out


def test_only_made_without_any_run_writes_nothing(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(work, "table3", *PIECES, "--seeds", "1", "--only-made") == 1
    captured = capsys.readouterr()
    assert "table3 is not written: there is no finished vae-0, pixelvae-0, acn-0" in captured.out
    assert captured.err.startswith("acn: nothing was written: runs/reproduce-cpu holds no finished run of table3")
    assert [path.name for path in work.iterdir()] == ["pieces.npz"]


def test_several_seeds_have_a_spread(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(work, "table2", *PIECES, "--seeds", "2", "--runs", "mine") == 0
    output = capsys.readouterr().out
    assert "training 1 of 2: ACN, seed 0, in mine/acn-0" in output
    assert "training 2 of 2: ACN, seed 1, in mine/acn-1" in output
    assert "±" in output
    cell = json.loads((work / "results" / "table2.json").read_text())["rows"][0]["nats"]
    evaluations = [json.loads((work / "mine" / f"acn-{seed}" / "evaluation.json").read_text()) for seed in (0, 1)]
    values = [figures["reconstruction"] for figures in evaluations]
    assert cell["values"] == values
    assert cell["standard_deviation"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def silhouettes(folder: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (60, 5, 4), dtype=np.uint8)
    np.savez(folder / "caltech101-silhouettes.npz", images=bits)


def test_pages_whose_images_are_not_there_are_left_out(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ACN_DATA", raising=False)
    silhouettes(work)
    assert call(work, "vlae", "--seeds", "1") == 0
    output = capsys.readouterr().out
    assert "Left out: vlae-table3; there is no file or folder 'omniglot.npz'" in output
    assert "make it with acn dataset omniglot" in output
    assert "Left out: vlae-table1, vlae-figure1, vlae-figure2, vlae-figure3, vlae-figure4; there is no file" in output
    assert sorted(path.name for path in (work / "results").iterdir()) == ["vlae-table4.json", "vlae-table4.md"]
    page = (work / "results" / "vlae-table4.md").read_text(encoding="utf-8")
    assert "Not comparable with published figures, which are of Caltech-101 silhouettes" in page
    assert "K = 32 codes for each of 500 evenly spaced test images" in page


@pytest.mark.parametrize(
    ("part", "dataset"), [("vlae-table3", "omniglot"), ("vlae", "static-mnist"), ("all", "static")]
)
def test_without_any_images_it_is_said_which_command_makes_them(
    part: str, dataset: str, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ACN_DATA", raising=False)
    assert call(work, part) == 1
    assert f"make it with acn dataset {dataset}" in refused(capsys)


def test_a_likelihood_that_was_sampled_otherwise_is_sampled_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACN_DATA", raising=False)
    silhouettes(work)
    assert call(work, "vlae-table4", "--seeds", "1") == 0
    file = work / "runs" / "reproduce-cpu" / "vlae-caltech-0" / "likelihood.json"
    first = json.loads(file.read_text())
    file.write_text(json.dumps(first | {"importance": first["importance"] | {"samples": 5}, "nll": 1.0}))
    assert call(work, "vlae-table4", "--seeds", "1") == 0
    again = json.loads(file.read_text())
    assert (again["nll"], again["importance"]) == (first["nll"], first["importance"])


def interrupt_at(step: int) -> Callable[..., None]:
    record = Metrics.record

    def interrupted(self: Metrics, state: object, *arguments: object) -> None:
        if state.step == step:  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGINT)
        record(self, state, *arguments)  # type: ignore[arg-type]

    return interrupted


def test_ctrl_c_leaves_a_run_that_goes_on(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("table2", *PIECES, "--seeds", "1")
    monkeypatch.setattr(Metrics, "record", interrupt_at(1))
    assert call(work, *arguments) == 130
    assert "saved. Resume with: acn reproduce table2 --data pieces.npz --seeds 1" in capsys.readouterr().out
    run = work / "runs" / "reproduce-cpu" / "acn-0"
    begun = json.loads((run / "config.json").read_text())["made"]["date"]
    assert not (run / "evaluation.json").exists()
    assert not (work / "results").exists()
    monkeypatch.undo()
    assert call(work, *arguments) == 0
    written = json.loads((work / "results" / "table2.json").read_text())["runs"][0]
    assert (written["trained"]["date"], written["steps"], written["images_seen"]) == (begun, 3, 48)


def test_ctrl_c_in_an_evaluation_keeps_the_training(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("acn.reproduction.trainings.evaluate", interrupt)
    assert call(work, "table2", *PIECES) == 130
    assert "Resume with: acn reproduce table2 --data pieces.npz\n" in capsys.readouterr().out
    assert (work / "runs" / "reproduce-cpu" / "acn-0" / "checkpoint.safetensors").exists()


def test_what_another_process_trains_is_left_to_it(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = work / "runs" / "reproduce-cpu"
    vae = runs / "vae-0"
    with holder(vae) as other:
        waits: list[float] = []

        def ends_its_training(seconds: float) -> None:
            assert (runs / "acn-0" / "evaluation.json").exists()  # everything else was done first
            waits.append(seconds)
            other.kill()
            other.wait()

        monkeypatch.setattr("acn.cli.reproduce.time.sleep", ends_its_training)
        assert call(work, "table3", *PIECES, "--seeds", "1") == 0
    assert len(waits) == 1
    output = capsys.readouterr().out
    assert (
        output.index("training 3 of 3: ACN")
        < output.index("training 1 of 3: VAE")
        < output.index("part 1 of 1: table3")
    )


def test_runs_on_other_images_are_refused(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = times(made)
    assert call(made, "table2", "--data", "digits", "--seeds", "1") == 1
    assert "acn-0 was trained on other images than those of digits" in refused(capsys)
    assert times(made) == before


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("table8",), 2, "there is no part 'table8'; did you mean table7 or table6 or table5?"),
        (("table1", "--data", "nowhere.npz"), 1, "nowhere.npz"),
        (("table1", *PIECES, "--out", "pieces.npz"), 2, "--out expects a folder, found the file"),
        (("table1", *PIECES, "--runs", "pieces.npz/runs"), 2, "--runs expects a folder, found the file"),
        (("table1", *PIECES, "--device", "abacus"), 2, "abacus"),
    ],
)
def test_mistakes_end_in_one_sentence(
    arguments: tuple[str, ...], status: int, words: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(work, *arguments) == status
    assert words in refused(capsys)
    assert [path.name for path in work.iterdir()] == ["pieces.npz"]


def test_a_scale_is_one_of_those_that_help_shows(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(work, "table1", "--scale", "huge") == 2
    assert "'huge' is not one of 'cpu', 'paper'" in capsys.readouterr().err
