from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.projector import export_projector
from tests.test_exports import splits


def test_every_line_belongs_to_its_picture(tmp_path: Path) -> None:
    split = splits(7)[0]
    assert export_projector(tmp_path / "out", split) == 7
    codes = np.loadtxt(tmp_path / "out" / "tensors.tsv", delimiter="\t")
    assert codes == pytest.approx(split.codes.numpy(), rel=1e-5)
    lines = (tmp_path / "out" / "metadata.tsv").read_text().splitlines()
    assert lines[:3] == ["index\tlabel", "0\tcat", "1\tdog"]
    assert len(lines) == 8
    configuration = (tmp_path / "out" / "projector_config.pbtxt").read_text()
    assert "single_image_dim: 5\n    single_image_dim: 4" in configuration
    with Image.open(tmp_path / "out" / "sprite.png") as sprite:
        assert sprite.size == (3 * 5, 3 * 4)
        cell = np.asarray(sprite)[4:8, 5:10]  # the fifth picture
    pixels = split.images.values(range(7))
    assert np.array_equal(cell, np.rint(pixels[4] * (255 / int(pixels.max()))))


def test_labels_with_tabs_and_ends_of_lines_stay_on_their_line(tmp_path: Path) -> None:
    split = splits(3)[0]
    odd = replace(split, images=replace(split.images, label_names=("tab\tx", "new\r\nline")))
    export_projector(tmp_path, odd)
    assert (tmp_path / "metadata.tsv").read_text() == "index\tlabel\n0\ttab x\n1\tnew  line\n2\ttab x\n"


def test_a_sprite_that_would_be_too_large_holds_evenly_spaced_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acn.projector.LARGEST_SPRITE", 11)  # two pictures of 5 pixels in each direction
    assert export_projector(tmp_path, splits(9)[0]) == 4
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == ["0", "3", "5", "8"]
