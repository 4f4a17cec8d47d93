import inspect
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from acn.cli.devices import find_device
from acn.cli.main import SECTIONS, app
from acn.errors import UsageError

# Commands that run no network: of files, settings and figures alone.
WITHOUT = {"check", "compare", "dataset", "devices", "info", "publish", "runs", "settings"}


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, chosen in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert find_device("auto").type == chosen


def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no GPU that it can use"):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="there are 2 GPUs here, counted from 0"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["mps", "meta", "abacus", ""])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expects cpu, cuda or auto"):
        find_device(name)


def test_every_command_that_runs_networks_takes_a_device() -> None:
    commands = {command for section in SECTIONS.values() for command in section}
    taking = {command.__name__ for command in commands if "device" in inspect.signature(command).parameters}
    assert taking == {command.__name__ for command in commands} - WITHOUT


@pytest.mark.parametrize("command", ["sample mnist", "encode mnist digits -o codes.npz", "similar mnist digits"])
def test_the_device_that_is_named_is_taken(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command.split(), "--device", "cuda"])
    assert "--device cuda: PyTorch finds no GPU" in str(result.exception)


def test_a_command_says_what_would_be_used_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("acn.cli.devices.RECIPE", "mnist-small")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    done = CliRunner().invoke(app, ["devices"])
    device, threads, precision, processes = done.output.splitlines()
    assert re.match(r"Device +cpu: .+; PyTorch", device)
    assert re.match(rf"Threads +{torch.get_num_threads()} for the networks \(OMP_NUM_THREADS=3\)", threads)
    share = float(re.findall(r"bfloat16 takes the networks of mnist-small ([0-9.]+) times as long", precision)[0])
    assert ("bfloat16" if share < 1 / 1.2 else "float32") in precision.split(":")[0]
    assert re.match(r"Processes +1: torchrun starts several", processes)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_commands_that_one_process_does_are_left_to_rank_0(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("RANK", rank)
    done = CliRunner().invoke(app, ["runs", "nowhere"])
    assert (done.exit_code != 0) == (rank == "0")  # there is no such folder


@pytest.mark.parametrize("rank", ["0", "1"])
def test_rank_0_alone_says_that_it_does_not_understand(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("RANK", rank)
    done = CliRunner().invoke(app, ["train", "--recepie", "digits"])
    assert done.exit_code == 2
    assert ("No such option" in done.stderr) == (rank == "0")
