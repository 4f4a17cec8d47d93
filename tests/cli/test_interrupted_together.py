"""Ctrl-C where several processes do a command together."""

import os
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch does not export its type

from tests.cli.command import acn
from tests.training.several import CONTEXT


def interrupted(rank: int, late: int, port: int, folder: Path) -> None:
    """Run `acn devices` as a rank that is interrupted when it has joined the others, `late` somewhat later."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    os.environ |= {**meeting, "WORLD_SIZE": "2", "RANK": str(rank)}

    def place(_device: object) -> str:
        time.sleep(1.0 if rank == late else 0.0)
        raise KeyboardInterrupt

    with patch("acn.cli.devices._place", place):
        done = acn("devices", cwd=folder)
    (folder / f"{rank}.txt").write_text(f"{done.returncode} {done.stderr}")


@pytest.mark.parametrize("late", [0, 1])
def test_one_process_says_so_and_all_end_with_its_status(late: int, tmp_path: Path) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    made = [CONTEXT.Process(target=interrupted, args=(rank, late, store.port, tmp_path)) for rank in range(2)]
    for process in made:
        process.start()
    for process in made:
        process.join(60)
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)]
    assert said[1 - late] == "130 acn: interrupted\n"
    assert said[late] == "130 "
