"""What produced a figure: which code, on which machine, when. Every file of results carries it."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acn.version import __version__

# What `provenance` says.
FACTS = ("acn", "commit", "uncommitted_changes", "date", "device", "cores", "threads", "torch", "python", "system")


def provenance(device: str = "cpu") -> dict[str, Any]:
    """Return commit, date, versions and hardware as plain values; `commit` is None outside a checkout of the source."""
    import torch

    commit = _git("rev-parse", "HEAD")
    return {
        "acn": __version__,
        "commit": commit,
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")) if commit else None,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": _device_name(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _device_name(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"cpu ({processor()})"


def processor() -> str:
    """Name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    """Output of a git command in the folder of this source, None where there is no checkout of it."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
