import numpy as np
import pytest
from PIL import Image

from acn.reproduction.pictures import captioned


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures_stand_whole_below_their_captions(mode: str) -> None:
    random = np.random.default_rng(0)
    shape = (40, 300) if mode == "L" else (40, 300, 3)
    parts = [(name, Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))) for name in ("above", "below")]
    drawn = np.asarray(captioned(parts))
    rows = (drawn.shape[0] - 80) // 2
    for place, (_, picture) in enumerate(parts):
        top = rows + place * (40 + rows)
        assert (drawn[top : top + 40, :300] == np.asarray(picture)).all()
        caption = drawn[top - rows : top]
        assert caption.min() < 100
        assert caption.max() == 255


def test_a_caption_wider_than_its_picture_is_not_cut() -> None:
    text = "a caption that is much wider than the picture"
    drawn = np.asarray(captioned([(text, Image.new("L", (10, 10)))]))
    assert drawn.shape[1] > 200
    assert (drawn[:36, -4:] == 255).all()
