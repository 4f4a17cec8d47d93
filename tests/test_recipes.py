import pytest
import torch

from acn.choice import Options
from acn.config import ACNSettings, Config, ImageShape, VLAESettings
from acn.errors import UsageError
from acn.models import build
from acn.networks.centred import pixels_seen
from acn.parsing import override, validated
from acn.recipes import RECIPES, default_recipe, recipe
from acn.training.step import rates


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_complete_and_survive_json(name: str) -> None:
    config = recipe(name)
    assert isinstance(config, Config)
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert validated(config.model_dump(mode="json")) == config
    assert override(config, []) == config


def test_recipe_of_the_paper() -> None:
    """Section 4 and 4.1: optimizer, rates, average, K, M, D, blocks and filters; five convolutions."""
    paper = recipe("mnist")
    training, model = paper.training, paper.model
    assert isinstance(model, ACNSettings)
    assert (training.optimizer, training.learning_rate, training.momentum) == ("rmsprop", 1e-5, 0.9)
    assert (training.batch, training.average_decay, training.schedule) == (64, 0.9999, "constant")
    assert (training.kl_warmup, rates(paper, 0, 0.0).kl_weight) == (0, 1)
    assert (model.mixtures, model.code_size, model.prior_hidden) == (8, 16, (512, 512, 512))
    assert (model.decoder.blocks, model.decoder.filters, model.decoder.kernel) == (10, 64, 5)
    assert sum(map(len, model.encoder.stages)) == 5
    assert paper.memory.neighbours == 5


@pytest.mark.parametrize(
    ("name", "blocks", "filters", "batch", "size"),
    [("cifar10", 15, 128, 64, None), ("imagenet32", 20, 368, 128, None), ("celeba32", 15, 128, 64, (32, 32))],
)
def test_recipes_of_the_papers_colour(
    name: str, blocks: int, filters: int, batch: int, size: tuple[int, int] | None
) -> None:
    """Sections 4, 4.2 to 4.4: a code of 128, eleven convolutions of 3x3, categorical levels; the rest as for MNIST."""
    paper, small = recipe(name), recipe(f"{name}-cpu")
    model = paper.model
    assert isinstance(model, ACNSettings)
    assert (model.code_size, sum(map(len, model.encoder.stages))) == (128, 11)
    assert (model.decoder.blocks, model.decoder.filters, model.decoder.kernel) == (blocks, filters, 5)
    assert (model.decoder.emission, model.decoder.canvas) == ("levels", 0)
    assert paper.training == recipe("mnist").training.model_copy(update={"batch": batch})
    assert paper.data.size == size
    assert small.data == paper.data
    assert (small.model, small.training) == (recipe("photos").model, recipe("photos").training)


def test_photo_codes_leave_all_between_pixels_to_the_code() -> None:
    model = build(recipe("photo-codes").model, ImageShape(height=5, width=4, channels=3, levels=256)).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (1, 3, 5, 4), generator=generator)
    others = torch.randint(256, images.shape, generator=generator)
    others[..., 2, 1] = images[..., 2, 1]
    code = torch.randn(1, 32, generator=generator)
    with torch.no_grad():
        found, other = (model.decoder(levels, code)[:, :, 2, 1] for levels in (images, others))
    torch.testing.assert_close(found, other)
    assert not torch.equal(found, model.decoder(images, -code)[:, :, 2, 1])


@pytest.mark.parametrize(("name", "components"), [("vlae-cifar10", 10), ("vlae-cifar10-cpu", 5)])
def test_recipes_of_a_vlae_for_colour_mix_logistic_distributions(name: str, components: int) -> None:
    """Section 4.3 has those of PixelCNN++; runs of the recipes of before, of levels, are opened as such."""
    config = recipe(name)
    assert isinstance(config.model, VLAESettings)
    assert (config.model.code, config.model.exact) == ("spatial", True)
    assert (config.model.decoder.emission, config.model.decoder.components) == ("logistic", components)
    stored = config.model_dump(mode="json")
    stored["model"]["decoder"] |= {"emission": "levels", "components": 5}
    opened = Config.model_validate(stored)
    assert isinstance(opened.model, VLAESettings)
    assert opened.model.decoder.emission == "levels"
    build(opened.model, ImageShape(height=32, width=32, channels=3, levels=256))


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("vlae-mnist", 71),  # the paper's stack of six masked 3x3 convolutions sees 69
        ("vlae-omniglot", 71),
        ("vlae-caltech", 71),
        ("vlae-mnist-small", 71),
        ("vlae-mnist-cpu", 40),
        ("vlae-cifar10", 10),  # as the paper's window 4x2
        ("vlae-cifar10-cpu", 27),
    ],
)
def test_recipes_of_a_vlae_see_as_much_as_they_say(name: str, pixels: int) -> None:
    model = recipe(name).model
    assert isinstance(model, VLAESettings)
    assert pixels_seen(model.decoder) == pixels


@pytest.mark.parametrize(
    ("source", "size", "model", "expected"),
    [
        ("photos/", (32, 32, 3, 256), None, "photos"),
        ("scans.npz", (28, 28, 1, 255), "vlae", "photos"),
        ("scans.npz", (28, 28, 1, 255), "vae", "images"),
        ("drawings/", (32, 32, 3, 16), None, "images"),
        ("binary.npz", (28, 28, 1, 2), None, "images"),
        ("rows.csv.npz", (1, 50, 1, 256), None, "images"),
        (None, (8, 8, 1, 17), None, "digits"),
    ],
)
def test_images_of_many_levels_are_taken_for_photographs(
    source: str | None, size: tuple[int, int, int, int], model: str | None, expected: str
) -> None:
    shape = ImageShape.model_validate(dict(zip(("height", "width", "channels", "levels"), size, strict=True)))
    assert default_recipe(source, shape, model) == expected
    assert Options(source, family=model).holds_little(shape) == (expected == "photos")
    assert not Options(source, recipe=expected, family=model).holds_little(shape)  # it was asked for
    if model is None:
        build(recipe(expected).model, shape)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("digts", r"did you mean digits\?"),
        ("Celeba", r"did you mean celeba32 or celeba32-cpu\?"),
        ("zzz", f"choose one of {', '.join(RECIPES)}"),
        ("", f"choose one of {', '.join(RECIPES)}"),
    ],
)
def test_for_an_unknown_recipe_others_are_suggested(name: str, advice: str) -> None:
    with pytest.raises(UsageError, match=f"^there is no recipe '{name}'; {advice}$"):
        recipe(name)
