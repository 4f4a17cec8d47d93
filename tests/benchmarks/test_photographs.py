"""The benchmark of whole photographs, on small ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import photographs

pytest.importorskip("imagecodecs")


@pytest.mark.slow
def test_photographs_of_several_sizes_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    for name, (height, width) in {"a": (20, 70), "b": (9, 8)}.items():
        values = np.clip(random.normal(0, 6, (height, width, 3)).cumsum(1) + 128, 0, 255).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(photographs, "own_minutes", lambda _shape, _images: 0.001)
    said = list[str]()
    found = photographs.run(said.append, str(tmp_path))
    assert found["images"] == {"a.png": [20, 70], "b.png": [9, 8]}
    figures = found["acn, everything inside"]
    assert isinstance(figures, dict)
    assert figures["model_bytes"] < figures["bytes"] < 20_000
    assert figures["blocks"] == 2
    assert len(said) == 3
