"""The baselines are lossless: without that their sizes mean nothing. `measure` decodes every picture and compares."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

pytest.importorskip("imagecodecs", reason="the baselines need the extra bench")
pytest.importorskip("zstandard", reason="the baselines need the extra bench")

from benchmarks import _photos, codecs

DIGITS = load_digits().images[:20].astype(np.uint8)[..., None]
CASES = {
    "two values": (DIGITS > 7).astype(np.uint8) * 9,
    "grey": DIGITS,
    "colour": DIGITS * np.array([1, 5, 15], dtype=np.uint8),
}


@pytest.mark.parametrize("case", CASES)
def test_every_codec_is_measured_on_pixels_that_come_back(case: str) -> None:
    table = codecs.measure(CASES[case], lambda line: None)
    assert table["two_values"] == (case == "two values")
    for name in (*codecs.byte_codecs(), *codecs.picture_codecs()):
        figures = table[name]
        assert isinstance(figures, dict)
        assert 0 < figures["together"] < figures["each"], name
        assert figures["together"] == min(figures["layouts"].values())


def test_an_archive_of_photographs_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_photos, "own_minutes", lambda _shape, _images: 0.001)
    walks = np.random.default_rng(0).normal(0, 9, (6, 9, 8, 3)).cumsum(1).cumsum(2) + 128
    figures = _photos.archive_of(np.clip(walks, 0, 255).astype(np.uint8))
    assert 0 < figures["model_bytes"] < figures["together"]
    assert figures["decode_to_forward"] > 0
    assert abs(figures["rounding_bits_per_dimension"]) < 1


def test_a_codec_that_loses_is_refused() -> None:
    sound = codecs.picture_codecs()["PNG"]
    lossy = codecs.PictureCodec(sound.encode, lambda data, two: sound.decode(data, two) + np.uint8(1), sound.side)
    with pytest.raises(ValueError, match="lossless"):
        codecs._size(DIGITS[0], False, lossy)


@pytest.mark.parametrize(("columns", "side"), [(5, 1000), (1, 1000), (5, 16), (1, 24)])
def test_sprites_hold_all_images_in_order(columns: int, side: int) -> None:
    parts = list(codecs.sprites(DIGITS, columns, side))
    assert all(max(part.shape[:2]) <= side for part in parts)
    cells = [
        part[top : top + 8, left : left + 8]
        for part in parts
        for top in range(0, part.shape[0], 8)
        for left in range(0, part.shape[1], 8)
    ]
    np.testing.assert_array_equal(cells[:20], DIGITS)
    assert not np.any(cells[20:])


def test_large_collections_are_measured_together_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "MOST_EACH", 19)
    figures = codecs.measure(DIGITS, lambda line: None)["PNG"]
    assert isinstance(figures, dict)
    assert figures["each"] is None
    assert figures["together"] > 0
