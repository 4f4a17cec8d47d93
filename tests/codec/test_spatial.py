"""Archives by models whose code is a picture, and of levels that a VLAE decodes in waves."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from acn.codec.archive import read
from acn.codec.archiver import compress
from acn.codec.cells import LARGEST_STEP, Cells
from acn.codec.facts import smallest
from acn.codec.frozen import FrozenModel
from acn.codec.loss import frozen_loss
from acn.codec.lossy import with_step
from acn.codec.modelfile import from_bytes, to_bytes
from acn.codec.restoring import decompress
from acn.distributions import GaussianPosterior
from acn.errors import ArchiveError
from acn.exact.tables import ONE
from tests.codec.models import (
    floating_vlae,
    mixture,
    random_images,
    random_levels,
    spatial_settings,
    tiny_spatial,
    tiny_vlae,
)
from tests.codec.surgery import Json, Parts, model_parts, model_with
from tests.codec.test_archive import changed

PHOTOS = {"window": "5x2", "emission": "logistic", "errors": 3}
GREY = tiny_spatial()  # 2 x 3 cells of two maps
COLOUR = tiny_spatial((4, 4, 3, 40), code_size=4, decoder=PHOTOS)
FACTS: dict[str, list[Json]] = {
    "shape.height": [0, 3, 5, 6, 2**22, 10**18],
    "shape.width": [1, 2, 5, 8],
    "model.code": ["vector", "maps"],
    "model.code_size": [0, 6, 11, 18, 2**11, 10**9],
    "model.spatial.filters": [[], [4], [4, 3, 3], [0, 3], [4, 10**9], [1] * 9],
    "model.spatial.blocks": [[1], [0, 1], [2, 1], [-1, 1], [10**3, 1], [1, 10**9]],
    "model.flow.hidden": [1, 6, 2**14],
    "model.flow.steps": [1, 3, 64],
    "model.flow.affine": [True],
    "model.posterior": ["iaf"],
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in FACTS.items() for value in values])
def test_facts_that_a_model_does_not_bear_out(path: str, value: Json) -> None:
    facts, rest = model_parts(to_bytes(GREY))
    with pytest.raises(ArchiveError) as caught:
        from_bytes(model_with(changed(facts, path, value), rest))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [GREY, COLOUR], ids=["grey", "colour"])
def test_images_come_back_from_a_file_that_is_refused_when_it_is_damaged(model: FrozenModel) -> None:
    images = random_images(model, 23)
    data = compress(images, model)
    again = from_bytes(to_bytes(model))
    assert compress(images, again) == data
    np.testing.assert_array_equal(decompress(data).reshape(images.shape), images)
    found = decompress(compress(images, model, mode="set")).reshape(images.shape)
    assert sorted(image.tobytes() for image in found) == sorted(image.tobytes() for image in images)
    for length in range(0, len(data), 97):
        with pytest.raises(ArchiveError):
            read(data[:length])
    flipped = bytearray(data)
    flipped[-9] ^= 16
    with pytest.raises(ArchiveError, match=r"block 1 of 1 \(images 0 to 22 of images\) is damaged") as caught:
        decompress(bytes(flipped))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("shape", "changes"), [((4, 6, 1, 5), {}), ((4, 6, 3, 40), {"decoder": PHOTOS})])
def test_a_list_takes_what_the_model_in_floating_point_says(shape: tuple[int, int, int, int], changes: Json) -> None:
    """Within 0.5 % of the negative ELBO, and the words that the stack started with."""
    real, model = floating_vlae(shape, **spatial_settings(**changes)), tiny_spatial(shape, precision=10, **changes)
    levels = random_levels(model, 400)
    loss = frozen_loss(model, real, mixture(torch.zeros(1, 12), 1, "diag"), levels)
    with torch.no_grad():
        posterior = real.posterior(levels)
        assert isinstance(posterior, GaussianPosterior)
        draws = [posterior.sample(torch.Generator().manual_seed(seed)) for seed in range(8)]
        costs = [real.prior().log_prob(z) - posterior.log_prob(z) + real.likelihood(z).log_prob(levels) for z in draws]
    computed = -float(torch.stack(costs).double().mean(0).sum()) / math.log(256)
    assert abs(loss.total) < 0.002 * computed / len(levels) * math.log(256)
    images = np.array(model.facts.palette, dtype=np.uint8)[levels.permute(0, 2, 3, 1).numpy()]
    [block] = read(compress(images, model)).header.blocks
    assert abs(block.bytes - 4 * block.first - computed) < 0.005 * computed


@pytest.mark.parametrize("model", [COLOUR, tiny_vlae((4, 5, 3, 40), decoder=PHOTOS)], ids=["picture", "vector"])
def test_waves_take_as_many_bytes_as_pixels_one_after_the_other(model: FrozenModel) -> None:
    raster, images = replace(model, facts=replace(model.facts, raster=True)), random_images(model, 40)
    one, other = (read(compress(images, some, embed=False)) for some in (model, raster))
    assert abs(one.header.blocks[0].bytes - other.header.blocks[0].bytes) <= 8
    assert one.payload(0) != other.payload(0)
    np.testing.assert_array_equal(decompress(one.data, model), images)


def test_files_of_earlier_programs_keep_their_order_of_pixels() -> None:
    data = Parts.of((Path(__file__).parent / "golden/early-list.acn").read_bytes()).model
    model = from_bytes(data)
    assert (data[4], model.facts.raster, model.facts.skew) == (2, True, None)
    assert to_bytes(model) == data
    assert to_bytes(tiny_vlae((4, 5, 3, 40), decoder=PHOTOS))[4] == to_bytes(GREY)[4] == 4
    assert to_bytes(tiny_vlae())[4] == 2
    with pytest.raises(ArchiveError, match="damaged"):  # its pixels would come in another order
        from_bytes(to_bytes(GREY)[:4] + b"\x02\0" + to_bytes(GREY)[6:])


def test_bounds_are_found_with_images_of_one_cell() -> None:
    one = smallest(GREY.facts)
    assert (one.shape.height, one.shape.width, one.code_size, one.maps) == (2, 2, 2, 2)
    assert one.picture == (2, 1, 1)


def test_maps_have_a_step_each_in_a_lossy_archive() -> None:
    levels = random_levels(GREY, 64)
    lossy = with_step(GREY, 0.25, levels)
    assert isinstance(lossy.grid, Cells)
    assert lossy.grid.steps == lossy.grid.steps[:2] * 6
    widths = GREY.posterior(levels).widths().view(-1, 2).log().mean(0).exp()  # type: ignore[attr-defined]
    for step, width in zip(lossy.grid.steps[:2], widths.tolist(), strict=True):
        assert step == LARGEST_STEP or abs(step - width / 4) <= 8
    parts = Parts.of(compress(random_images(GREY, 9), GREY, step=0.25))
    assert len(parts.header["lossy"]["steps"]) == 2
    parts.header["lossy"]["steps"] = [ONE] * 12
    with pytest.raises(ArchiveError, match="do not fit its model"):
        decompress(parts.joined())
