from pathlib import Path

import numpy as np
import torch

from acn.data import Collection
from acn.evaluation.costs import encode
from acn.models import Model
from acn.run_models import StoredPriors, load_priors, save_priors
from acn.runs import Run
from acn.web.atlas import Atlas, open_atlas, stored_codes
from tests.web.conftest import make_run, opened, write_images


def test_codes_are_mean_codes_in_order(digits_run: tuple[Run, Collection], digits_atlas: tuple[Atlas, Model]) -> None:
    atlas, model = digits_atlas
    images = digits_run[1].train
    assert torch.equal(atlas.codes, model.posterior(images.batch(range(len(images)))).mean)


def test_stored_codes_are_not_computed_again(digits_run: tuple[Run, Collection]) -> None:
    run, collection = digits_run
    model = opened(run, collection)[1]

    def refuse(_: float) -> None:
        raise AssertionError

    atlas = open_atlas(run, model, {"train": collection.train}, title="", stored=True, progress=refuse)
    assert torch.equal(atlas.codes, load_priors(run).codes)


def test_codes_of_another_model_are_not_believed(tmp_path: Path) -> None:
    run, collection = make_run(tmp_path / "run")
    priors = load_priors(run)
    mixture, codes = priors.mixture, priors.codes
    save_priors(run, StoredPriors(mixture, codes + 0.1))
    atlas, model = opened(run, collection)
    assert stored_codes(run, model, collection.train) is None
    assert torch.equal(atlas.codes, encode(model, collection.train, lambda _: None))
    save_priors(run, StoredPriors(mixture, codes[1:]))
    assert stored_codes(run, model, collection.train) is None


def test_a_run_that_was_not_evaluated(tmp_path: Path) -> None:
    run, collection = make_run(tmp_path / "run", evaluated=False)
    done: list[float] = []
    atlas = open_atlas(
        run, opened(run, collection)[1], {"train": collection.train}, title="", stored=True, progress=done.append
    )
    assert sum(done) == len(collection.train) == len(atlas.codes)


def test_neighbours_are_those_of_brute_force(digits_atlas: tuple[Atlas, Model]) -> None:
    atlas, _ = digits_atlas
    pixels = atlas.images.batch(range(len(atlas.images))).flatten(1)
    for row in (0, 17, len(atlas.images) - 1):
        for space, found in (
            (atlas.codes, atlas.by_code(atlas.codes[row], 12, row)),
            (pixels, atlas.by_pixels(atlas.images.batch([row])[0], 12, row)),
        ):
            distances = (space.double() - space[row].double()).square().sum(1).sqrt()
            distances[row] = torch.inf
            order = distances.sort(stable=True).indices[:12]
            assert [near for near, _ in found] == order.tolist()
            assert np.allclose([distance for _, distance in found], distances[order])


def test_a_point_is_never_its_own_neighbour_even_among_equals(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 3, (40, 5, 4), dtype=np.uint8)
    images[:30] = images[0]
    run, collection = make_run(tmp_path / "run", f"data.source={write_images(tmp_path / 'a.npz', images)}")
    atlas, _ = opened(run, collection)
    for row in range(len(atlas.images)):
        for found in (atlas.by_code(atlas.codes[row], 50, row), atlas.by_pixels(atlas.images.batch([row])[0], 50, row)):
            assert sorted(near for near, _ in found) == [other for other in range(len(atlas.images)) if other != row]


def test_an_image_from_outside_may_be_near_any_row(digits_atlas: tuple[Atlas, Model]) -> None:
    atlas, _ = digits_atlas
    assert atlas.by_code(atlas.codes[3], 1, None) == [(3, 0.0)]
    assert atlas.by_pixels(atlas.images.batch([3])[0], 1, None) == [(3, 0.0)]


def test_names_of_labels(
    digits_atlas: tuple[Atlas, Model],
    digits_run: tuple[Run, Collection],
    colour_run: tuple[Run, Collection],
    tmp_path: Path,
) -> None:
    atlas, _ = digits_atlas
    named = atlas.names()
    assert named is not None
    assert named[0] == [str(digit) for digit in range(10)]
    assert np.array_equal(named[1], np.asarray(digits_run[1].train.labels))
    assert opened(*colour_run)[0].names() is None
    images = np.random.default_rng(0).integers(0, 3, (40, 5, 4), dtype=np.uint8)
    source = write_images(tmp_path / "sparse.npz", images, np.array([7, 1000] * 20))
    sparse, _ = opened(*make_run(tmp_path / "sparse", f"data.source={source}"))
    named = sparse.names()
    assert named is not None
    assert named[0] == ["7", "1000"]
    assert sparse.cluster_count() == 2
