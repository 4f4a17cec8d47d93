"""The same bytes from one thread or two, from whatever instructions the libraries use, and each reads the other's.

What is limited: PyTorch's own kernels (`ATEN_CPU_CAPABILITY`), matrix products of MKL (`MKL_ENABLE_INSTRUCTIONS`, which
is read on Intel's processors alone) and of oneDNN (`ONEDNN_MAX_CPU_ISA`), and threads (`OMP_NUM_THREADS`). Where a
processor lacks the widest instructions, "all" is what it has. Other processors are the business of CI.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.codec.modelfile import to_bytes
from acn.codec.restoring import decompress
from tests.codec.models import random_images, tiny

REPOSITORY = Path(__file__).parents[2]
# Images by batch size: enough for batches of that size to occur.
COUNTS = {1: 12, 7: 60, 64: 190, 256: 520}
LIMITS = {
    "baseline": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "all": {},
}
ENVIRONMENTS = {
    f"{name}, {threads} threads": limits | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    for name, limits in LIMITS.items()
    for threads in (1, 2)
}
PROGRAM = """
import hashlib, json, sys
from pathlib import Path
import torch
from acn.codec import frozen, integers
from acn.codec.archiver import compress_splits
from acn.codec.restoring import decompress
from acn.codec.modelfile import from_bytes
from acn.data import ALL_BYTES, Images
from tests.codec.models import random_images

torch.set_num_threads(int(sys.argv[1]))
folder, other = Path(sys.argv[2]), Path(sys.argv[3])
model = from_bytes((folder.parent / "model.acnm").read_bytes())
archives, decoded = {}, {}
for batch, count in json.loads(sys.argv[4]).items():
    batch, images = int(batch), random_images(model, count)
    # Another computing batch on every side.
    frozen.PASS_NUMBERS = integers.PATCH_NUMBERS = 2 ** (12 + 2 * int(sys.argv[1]) + batch % 3)
    for mode in ("list", "set", "tour") if batch == 7 else ("list",):
        data = compress_splits({"images": Images(images, ALL_BYTES)}, model, modes=[mode], batch=batch, verify=False)
        (folder / f"{mode}-{batch}").write_bytes(data)
        archives[f"{mode}-{batch}"] = hashlib.sha256(data).hexdigest()
for path in sorted(other.iterdir()):
    decoded[path.name] = hashlib.sha256(decompress(path.read_bytes()).tobytes()).hexdigest()
print(json.dumps([torch.backends.cpu.get_cpu_capability(), archives, decoded]))
"""


def run(name: str, folder: Path, other: Path) -> tuple[str, dict[str, str], dict[str, str]]:
    limits = ENVIRONMENTS[name]
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, limits["OMP_NUM_THREADS"], str(folder), str(other), json.dumps(COUNTS)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | limits,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    capability, archives, decoded = json.loads(done.stdout)
    return capability, archives, decoded


def order_free(images: NDArray[np.uint8]) -> list[bytes]:
    return sorted(image.tobytes() for image in images)


@pytest.mark.slow
def test_every_machine_writes_the_same_bytes_and_reads_the_others(tmp_path: Path) -> None:
    encoder = {"stages": [[9], [17]]}
    model = tiny((4, 4, 3, 5), prior_autoregressive=21, decoder={"filters": 24, "head": 17}, encoder=encoder)
    (tmp_path / "model.acnm").write_bytes(to_bytes(model))
    (tmp_path / "none").mkdir()
    before, found = tmp_path / "none", []
    for number, name in enumerate(ENVIRONMENTS):
        found.append(run(name, tmp_path / str(number), before))
        before = tmp_path / str(number)  # the next one reads what this one wrote
    assert found[0][0].lower() == "default"
    written = [archives for _, archives, _ in found]
    assert set(written[0]) == {"set-7", "tour-7", *(f"list-{batch}" for batch in COUNTS)}
    assert all(archives == written[0] for archives in written)
    for batch, count in COUNTS.items():
        expected = hashlib.sha256(random_images(model, count).tobytes()).hexdigest()
        assert all(decoded[f"list-{batch}"] == expected for _, _, decoded in found[1:])
    for mode in ("set", "tour"):
        images = decompress((tmp_path / "0" / f"{mode}-7").read_bytes())
        assert order_free(images) == order_free(random_images(model, COUNTS[7]))
        expected = hashlib.sha256(images.tobytes()).hexdigest()
        assert all(decoded[f"{mode}-7"] == expected for _, _, decoded in found[1:])
