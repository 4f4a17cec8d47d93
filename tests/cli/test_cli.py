"""The command line as a user meets it: what it prints, what it leaves behind, and how it fails."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

from acn.cli.main import SECTIONS, app
from tests.cli.command import SMALL, acn, refused
from tests.test_runs import holder
from tests.training.conftest import TINY, long_training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("work")
    return folder / "runs" / "digits", acn("train", *SMALL, cwd=folder)


def test_train_ends_with_the_report(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, done = trained
    assert done.returncode == 0, done.stderr
    for text in ("1,437 train, 180 valid, 180 test", "list: order kept", "tour, order restored", "untrained encoder"):
        assert text in done.stdout
    assert {path.name for path in run.iterdir()} == {
        "config.json",
        "checkpoint.safetensors",
        "metrics.jsonl",
        "tensorboard",
        "evaluation.json",
        "codes.png",
        "prior.safetensors",
        ".lock",
    }
    with Image.open(run / "codes.png") as picture:
        assert min(picture.size) > 400
    events = b"".join(path.read_bytes() for path in (run / "tensorboard").iterdir())
    for name in (b"_hparams_/session_start_info", b"memory.neighbours", b"training.learning_rate"):
        assert name in events


def test_evaluation_has_every_figure(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    figures = json.loads((trained[0] / "evaluation.json").read_text())
    required = [
        "n_test",
        "reconstruction",
        "kl_k1",
        "kl_k5",
        "kl_k10",
        "kl_tour_greedy",
        "kl_tour_improved",
        "kl_unconditional_mixture",
        "kl_unconditional_associative",
        "kl_unconditional_autoregressive",
        "list",
        "set",
        "tour",
        "tour_restored",
        "order_nats",
        "code_std",
        "linear_probe",
        "seconds",
        "commit",
        "seed",
        "device",
    ]
    assert set(required) <= figures.keys()
    assert set(figures["linear_probe"]) == {"codes", "pixels", "pca", "random_encoder"}
    assert figures["n_test"] == 180
    unconditional = figures[f"kl_unconditional_{figures['prior']}"]
    assert figures["list"] == pytest.approx(figures["reconstruction"] + unconditional)
    assert figures["tour"] == pytest.approx(figures["reconstruction"] + figures["kl_tour_improved"])
    assert figures["kl_tour_improved"] < figures["kl_tour_greedy"]


def test_evaluating_twice_gives_the_same_figures(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run = trained[0]
    first = json.loads((run / "evaluation.json").read_text())
    done = acn("evaluate", str(run), "--json", "again.json", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    again = json.loads((run.parent / "again.json").read_text())
    assert (run.parent / "again.png").read_bytes() == (run / "codes.png").read_bytes()
    clock = ("seconds", "date")
    assert {k: v for k, v in first.items() if k not in clock} == {k: v for k, v in again.items() if k not in clock}


def test_images_that_moved_are_evaluated_where_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).integers(0, 3, (40, 5, 4), dtype=np.uint8))
    assert acn("train", "a.npz", "--recipe", "digits", *SMALL, cwd=tmp_path).returncode == 0
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    assert "a.npz" in refused(acn("evaluate", "runs/a", cwd=tmp_path), 1)
    assert acn("evaluate", "runs/a", "b.npz", cwd=tmp_path).returncode == 0


def test_a_run_goes_on_from_anywhere_and_after_its_images_moved(tmp_path: Path) -> None:
    random, elsewhere = np.random.default_rng(0), tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.savez(tmp_path / "a.npz", images=random.integers(0, 3, (40, 5, 4), dtype=np.uint8))
    np.savez(elsewhere / "other.npz", images=random.integers(0, 3, (40, 5, 4), dtype=np.uint8))
    assert acn("train", "a.npz", "--recipe", "digits", *SMALL, cwd=tmp_path).returncode == 0
    for command in (("train", "--resume"), ("evaluate",), ("reconstruct",)):
        done = acn(*command, "../runs/a", cwd=elsewhere)
        assert done.returncode == 0, done.stderr
    (tmp_path / "a.npz").rename(elsewhere / "b.npz")
    sentence = refused(acn("train", "--resume", "runs/a", cwd=tmp_path), 1)
    assert f"no longer at {tmp_path / 'a.npz'}; name their new place as SOURCE" in sentence
    assert acn("train", "elsewhere/b.npz", "--resume", "runs/a", cwd=tmp_path).returncode == 0
    for command in (("train", "--resume"), ("evaluate",)):
        assert "was trained on other images" in refused(acn(*command, "../runs/a", "other.npz", cwd=elsewhere), 1)


def test_few_images_lower_k_and_say_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "four.npz", images=np.random.default_rng(0).integers(0, 3, (4, 5, 4), dtype=np.uint8))
    options = [part for item in TINY if "neighbours" not in item for part in ("--set", item)]
    done = acn("train", "four.npz", "--recipe", "digits", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("K = 80 is lowered to 1: there are only 2 training images\n")
    settings = json.loads((tmp_path / "runs" / "four" / "config.json").read_text())["config"]
    assert settings["memory"]["neighbours"] == 1


def test_so_few_steps_that_nothing_is_learned_are_named_with_what_helps(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).integers(0, 3, (40, 5, 4), dtype=np.uint8))
    settings = (*SMALL, "--set", "training.batch=16", "--set", "training.epochs=3")
    done = acn("train", "a.npz", "--recipe", "digits", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = "3 epochs of 32 images: only 6 steps, too few to learn much; train longer with --set training.epochs=100"
    assert said in done.stdout
    assert "too few" not in acn("train", "--resume", "runs/a", cwd=tmp_path).stdout
    row = json.loads((tmp_path / "runs" / "a" / "metrics.jsonl").read_text())  # the only one, of all steps
    assert (row["step"], row["images"]) == (6, 96)
    settings = (*settings[:-1], "training.epochs=900", "--max-minutes", "1e-9")
    done = acn("train", "a.npz", "--recipe", "digits", *settings, cwd=tmp_path)
    assert "1e-09 minutes were over after 1 step, too few to learn much" in done.stdout


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
@pytest.mark.parametrize("command", [("train", "--max-minutes"), ("compress", "digits", "x.acn", "--train-minutes")])
def test_no_time_is_refused_by_the_bound_that_help_names(tmp_path: Path, command: tuple[str, ...], value: str) -> None:
    done = acn(*command[:-1], f"{command[-1]}={value}", cwd=tmp_path)
    assert done.returncode == 2
    assert f"expected a number of minutes above 0, found '{value}'" in " ".join(done.stderr.split())
    assert "(M > 0)" in " ".join(acn(command[0], "--help", cwd=tmp_path).stdout.split())


def test_help_lists_every_command_in_a_section_and_cuts_nothing_off() -> None:
    printed = CliRunner().invoke(app, ["--help"]).stdout
    shown = {line.split()[0]: line for line in printed.splitlines() if line.startswith("  ")}
    registered = {command.callback for command in app.registered_commands}
    assert registered == {command for commands in SECTIONS.values() for command in commands}
    for title, commands in SECTIONS.items():
        assert f"\n{title}:\n" in printed
        for command, summary in commands.items():
            line = shown[command.__name__.replace("_", "-")]
            assert line.endswith(f"  {summary}")
            assert len(line) < 80


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("arguments", [("--version",), ("info",), ("verify",), ("--help",)])
def test_output_that_cannot_be_written_is_a_sentence(arguments: tuple[str, ...], tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "codec" / "golden" / "binary-list.acn"
    command = [sys.executable, "-m", "acn", *arguments, *([str(golden)] if not arguments[0].startswith("--") else [])]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    expected = "acn: the output could not be written (No space left on device); free some space or redirect it\n"
    assert (done.returncode, done.stderr) == (1, expected)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_nothing_is_pickled(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run = trained[0]
    with safe_open(run / "checkpoint.safetensors", framework="pt") as file:
        assert file.metadata() is not None
    for path in run.rglob("*"):
        assert path.is_dir() or not path.read_bytes().startswith((b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK"))


def test_resuming_a_finished_run_reports_again(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, first = trained
    done = acn("train", "--resume", str(run), cwd=run.parent)
    assert done.returncode == 0, done.stderr
    table = first.stdout[first.stdout.index("Test split") :]
    assert table.splitlines()[:12] == done.stdout[done.stdout.index("Test split") :].splitlines()[:12]


def test_two_processes_do_not_train_one_run(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, _ = trained
    before = (run / "metrics.jsonl").read_bytes()
    with holder(run):
        done = acn("train", "--resume", str(run), cwd=run.parent)
    assert "is being trained by another process" in refused(done, 1)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_ctrl_c_saves_and_says_how_to_resume(tmp_path: Path) -> None:
    process = long_training(tmp_path)
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Resume with: acn train --resume run" in output
    assert "Traceback" not in errors
    with safe_open(tmp_path / "run" / "checkpoint.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["acn"])["step"] >= 20


def test_max_minutes_ends_the_training_in_time(tmp_path: Path) -> None:
    done = acn(
        "train", "--out", "run", *SMALL, "--set", "training.epochs=100000", "--max-minutes", "0.03", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert 1.5 < figures["training"]["seconds"] < 10


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label in ("circle", "square"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 256, (6, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{number}.png")
    done = acn("train", "pictures", "--recipe", "digits", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "runs" / "pictures" / "evaluation.json").read_text())
    assert figures["linear_probe"]["codes"] is not None
    assert figures["n_test"] == 6
    assert figures["kl_k10"] is not None


def test_images_without_labels_have_no_probe(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", images=np.random.default_rng(0).integers(0, 3, (40, 5, 4), dtype=np.uint8))
    done = acn("train", "plain.npz", "--recipe", "digits", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Linear classification" not in done.stdout
    figures = json.loads((tmp_path / "runs" / "plain" / "evaluation.json").read_text())
    assert figures["linear_probe"] == {}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("train", "nowhere.npz"), 1, "nowhere.npz"),
        (("train", "--recipe", "nonsense"), 2, "there is no recipe 'nonsense'; choose one of digits, images"),
        (("train", "--set", "memory.neighbors=3"), 2, "did you mean memory.neighbours"),
        (("train", "--set", "memory.neighbours"), 2, "section.key=value"),
        (("train", "--set", "memory.neighbours=2000"), 2, "at most N - 1 = 1436"),
        (("train", "--set", "training.batch=0"), 2, "training.batch"),
        (("train", "--resume", "nothing"), 1, "not a run folder"),
        (("train", "digits", "--resume", "nothing"), 1, "not a run folder"),
        (("train", "--recipe", "digits", "--resume", "nothing"), 2, "leave out all other options but --device"),
        (("train", "--device", "abacus"), 2, "abacus"),
        (("train", "--device", "mps"), 2, "--device expects cpu, cuda or auto"),
        (("evaluate", "nothing"), 1, "not a run folder"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments: tuple[str, ...], status: int, words: str, tmp_path: Path) -> None:
    assert words in refused(acn(*arguments, cwd=tmp_path), status)
    assert not list(tmp_path.iterdir())


def test_an_existing_run_is_not_overwritten(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run = trained[0]
    before = (run / "checkpoint.safetensors").read_bytes()
    assert "--resume" in refused(acn("train", "--out", str(run), *SMALL, cwd=run.parent), 2)
    assert (run / "checkpoint.safetensors").read_bytes() == before


def test_changed_images_are_noticed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 3, (40, 5, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels)
    assert acn("train", "a.npz", "--recipe", "digits", *SMALL, cwd=tmp_path).returncode == 0
    pixels[0, 0, 0] = 2 - pixels[0, 0, 0] // 2
    np.savez(tmp_path / "a.npz", images=pixels)
    for command in (("evaluate", "runs/a"), ("train", "--resume", "runs/a")):
        assert "runs/a" in refused(acn(*command, cwd=tmp_path), 1)


def test_a_damaged_run_is_refused(tmp_path: Path, trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    (tmp_path / "run").mkdir()
    for name in ("config.json", "checkpoint.safetensors"):
        (tmp_path / "run" / name).write_bytes((trained[0] / name).read_bytes())
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    assert "truncated or damaged" in refused(acn("evaluate", "run", cwd=tmp_path), 1)
    (tmp_path / "run" / "config.json").write_text('{"config": ')
    assert "config.json is damaged" in refused(acn("evaluate", "run", cwd=tmp_path), 1)


def test_traceback_on_request(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "acn", "--traceback", "evaluate", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "Traceback" in done.stderr


def test_a_command_that_is_terminated_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acn.cli.info.contents", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    done = acn("info", "any.acn", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "acn: terminated\n")


def test_version(tmp_path: Path) -> None:
    from acn import __version__

    assert acn("--version", cwd=tmp_path).stdout.strip() == f"acn {__version__}"
