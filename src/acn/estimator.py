"""Associative Compression Networks as a scikit-learn estimator: `acn.ACNEncoder`.

Rows of a matrix are images: whole numbers 0 ... 255 are pixel values as they are, any others are quantised by the range
of the training data. What `acn train` does is done here too, by the same code.

Letters: N images, F = H W C numbers of each (height, width, channels), D code size, Q queries, K neighbours.
"""

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from acn.array_training import images_kept, learn, passing_folder, setting_text
from acn.config import SEEDS, Config
from acn.data import ALL_BYTES, Collection, Images, assemble
from acn.data.arrays import refuse_one_image, shape_of
from acn.data.fitting import Fitting, fitted, fitting_of
from acn.data.scale import PixelScale, image_shape, is_whole, with_channels
from acn.data.splits import complete_splits
from acn.devices import find_device
from acn.errors import DataError, UsageError
from acn.families import FAMILIES
from acn.files import storage_error
from acn.memory import nearest, squared_distances
from acn.parsing import override
from acn.recipes import recipe as recipe_settings
from acn.recipes import with_used_code
from acn.runs import CONFIG
from acn.sampling.draws import check_temperature
from acn.training.opening import with_fewer_neighbours

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
RandomState = int | np.random.RandomState | None

# One image to choose the prior's size by, and two to train on: each the other's neighbour.
FEWEST_IMAGES = 3


class ACNEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Codes, likelihoods, samples and neighbours of images, learnt without labels.

    `X` is images `[N, H, W]` or `[N, H, W, C]`, or rows `[N, F]` of their F = H W C numbers. Where all numbers of the
    training images are whole and in 0 ... 255 they are pixel values; others are quantised evenly between the smallest
    and the largest of them. Numbers that were not seen in training become the nearest known ones, and every likelihood
    is that of the quantised image.

    A tenth of the images (setting `data.valid_share`) is not trained on: it chooses the size of the unconditional prior
    that `score_samples` and `sample` use.

    Args:
        n_components: D, numbers per code.
        model: the family by name: `acn`, `vlae`, `pixelvae` or `vae`; None for that of the recipe. With `vlae` come
            free bits, without which its code may stay unused, and a window that fits the images; `settings` may set
            others.
        recipe: settings by name: `images` (at most an hour), `digits` (small networks), `archive`, `mnist-cpu`,
            `mnist`. More
            neighbours than there are other training images become as many as there are.
        image_shape: (H, W) or (H, W, C) of images that come as rows. None takes rows for grey images: squares if F is
            a square number, else one line of F pixels.
        levels: 2 ... 256, to quantise to so many levels in any case. None for 256, and only where it is needed.
        epochs: passes over the images; None for those of the recipe.
        max_minutes: a limit to the training; None for that of the recipe.
        settings: more settings by name, such as `{"training.batch": 128}`; the parameters above come before them.
            `data.size` and `data.fit` give images that size before anything else, and `sample` draws such images.
            Networks run in float32 unless `training.precision` is set.
        run: a folder to keep what is trained: every fit makes a run of its own in it, `fit-1`, `fit-2`, ..., also where
            a search fits in several processes. Every command of `acn` can go on with such a run, whose test images are
            the held-out ones. None leaves nothing behind.
        device: `cpu`, `cuda`, or `auto`: the GPU when there is one.
        random_state: of the weights, the order of images and all other draws. With an int, two fits on one machine are
            equal to the bit, unless a limit in minutes gives the clock a say.
        verbose: print what is trained, costs now and then, and how long it took.

    Attributes:
        n_features_in_: F.
        feature_names_in_: names of the columns, where `X` was a data frame whose columns have names.
        image_shape_: (H, W, C) of the images in `X`.
        codes_: codes of the training images, float32 `[N, D]`.
        model_: the `acn.TrainedModel`, which works on pixel values; `model_.save_pretrained(folder)` keeps it.
        n_iter_: steps of the training.
        run_: the folder of this fit's run, None where nothing is kept.

    A fitted estimator is pickled as arrays, JSON and safetensors; on a machine without a GPU it is restored on the CPU.
    """

    n_features_in_: int
    _fitting: Fitting | None = None  # of estimators that were pickled before there was any

    def __init__(
        self,
        n_components: int = 16,
        *,
        model: str | None = None,
        recipe: str = "images",
        image_shape: tuple[int, ...] | None = None,
        levels: int | None = None,
        epochs: int | None = None,
        max_minutes: float | None = None,
        settings: Mapping[str, Any] | None = None,
        run: str | Path | None = None,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        self.n_components = n_components
        self.model = model
        self.recipe = recipe
        self.image_shape = image_shape
        self.levels = levels
        self.epochs = epochs
        self.max_minutes = max_minutes
        self.settings = settings
        self.run = run
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train on the images `X`; `y` is not looked at.

        Raises:
            ValueError: `X` or the shape or levels asked for are not usable.
            UsageError: there is no such model, recipe, setting, value of a setting, or device.
            TrainingError: the loss is not finite.
            StorageError: the folder of the run cannot be written.
        """
        rows, item = self._rows(X, reset=True)
        if self.settings is not None and not isinstance(self.settings, Mapping):
            raise UsageError(
                f"settings: expected settings by name, as {{'training.batch': 128}}, found {self.settings!r}"
            )
        shape, scale = image_shape(item or self.image_shape, rows.shape[1]), PixelScale.fit(rows, self.levels)
        seed = int(check_random_state(self.random_state).randint(SEEDS))
        device, config = find_device(self.device), self._config(seed, *shape[:2])
        fitting = fitting_of(config.data)
        pixels = _fitted(scale.pixels(rows).reshape(len(rows), *shape), fitting)
        collection = _collect(pixels, config)
        with self._folder() as folder:
            config = with_fewer_neighbours(config, len(collection.train))
            kept = nullcontext((config, collection)) if self.run is None else images_kept(folder, config, collection)
            with kept as (config, collection):
                trained, steps = learn(folder, config, collection, device, verbose=bool(self.verbose))
                model = trained.in_memory()
        # Together and last, so that an interrupted fit leaves an earlier one whole.
        self._fitting, self._scale = fitting, scale
        self._item_shape = _item_shape(item or rows.shape[1:], pixels.shape[1:], fitting)
        self.image_shape_, self.model_, self.n_iter_ = shape, model, steps
        self.run_ = None if self.run is None else folder
        self.codes_ = self._encode(rows)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Codes `[N, D]` of images.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: the images are of another size, or not finite.
        """
        check_is_fitted(self)
        return self._encode(self._rows(X)[0])

    def score_samples(self, X: ArrayLike) -> Floats:
        """Lower bound of the log-likelihood of quantised images `[N]`, in nats: minus what each costs on its own.

        The noise of image i is the i-th draw of a fixed seed, so that a figure depends a little on the row it stands
        in.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: the images are of another size, or not finite.
        """
        check_is_fitted(self)
        return self.model_.score_samples(self._known(self._rows(X)[0]))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean of `score_samples` in nats per image, which is what a search maximizes; `y` is not looked at."""
        return float(self.score_samples(X).mean())

    def sample(
        self, n_samples: int = 1, *, temperature: float = 1.0, random_state: RandomState = None
    ) -> Bytes | Floats:
        """Draw images, in the form in which the training images came: `[n_samples, ...]`.

        Args:
            n_samples: how many.
            temperature: divides the logits of the pixels; 0 takes the mode of each.
            random_state: None takes that of the estimator.

        Returns:
            Pixel values in uint8; the middles of the levels in float64 where training images were quantised.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: `n_samples` is no whole number of at least 1, or the temperature none of at least 0.
        """
        check_is_fitted(self)
        if not (is_whole(n_samples) and n_samples >= 1):
            raise ValueError(f"n_samples must be a whole number of at least 1, found {n_samples!r}")
        with _as_value_error():
            check_temperature(temperature)
        source = check_random_state(self.random_state if random_state is None else random_state)
        pixels = self.model_.sample(n_samples, seed=int(source.randint(2**31)), temperature=temperature)
        return self._scale.values(pixels.reshape(n_samples, *self._item_shape))

    @overload
    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int = 5, return_distance: Literal[True] = True
    ) -> tuple[Floats, NDArray[np.int64]]: ...

    @overload
    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int = 5, *, return_distance: Literal[False]
    ) -> NDArray[np.int64]: ...

    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int = 5, return_distance: bool = True
    ) -> tuple[Floats, NDArray[np.int64]] | NDArray[np.int64]:
        """Find the training images nearest to images by the Euclidean distance of codes: exact, nearest first.

        Args:
            X: the queries; None for the training images, none of which is then its own neighbour.
            n_neighbors: K.
            return_distance: whether distances are wanted.

        Returns:
            Distances `[Q, K]`, if wanted, and rows `[Q, K]` of the training images; of equal distances the lower row
            first.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: there are fewer than K training images, or the images do not fit.
        """
        check_is_fitted(self)
        codes = torch.tensor(self.codes_)
        queries = codes if X is None else torch.from_numpy(self._encode(self._rows(X)[0]))
        own = torch.arange(len(codes)) if X is None else None
        most = len(codes) - (X is None)
        if not (is_whole(n_neighbors) and 1 <= n_neighbors <= most):
            raise ValueError(
                f"n_neighbors must be a whole number in 1 ... {most}, the training images to choose from, found "
                f"{n_neighbors!r}"
            )
        found = nearest(queries, codes, n_neighbors, exclude=own)
        if not return_distance:
            return found.numpy()
        return squared_distances(queries[:, None], codes[found]).sqrt().numpy(), found.numpy()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "codes_")

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn has no types
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # codes are float32, whatever the pixels are
        return tags

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.device == "cpu" and "model_" in state:
            self.model_.model.to("cpu")

    @property
    def _n_features_out(self) -> int:
        return len(self.codes_[0])

    def _rows(self, X: ArrayLike, *, reset: bool = False) -> tuple[NDArray[Any], tuple[int, ...] | None]:
        """Rows `[N, F]` of numbers, and the shape of an image where images came as such."""
        shape = None
        if isinstance(X, list | tuple) and shape_of(X):
            X = np.asarray(X)  # images, or rows
        if getattr(X, "ndim", 2) in (3, 4):
            X = np.asarray(X)
            known = (self.image_shape if reset else self.image_shape_) or ()
            with _as_value_error():
                refuse_one_image(X.shape, "X", tuple(known[:2]) if np.iterable(known) else ())
            X = X if reset else self._in_colour(X)
            shape = X.shape[1:]
            X = X.reshape(len(X), math.prod(shape))
        return validate_data(self, X, reset=reset, ensure_min_samples=FEWEST_IMAGES if reset else 1), shape

    def _in_colour(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images `[N, H, W]` or `[N, H, W, C]` of the size that was fitted, grey ones in colour where it was colour."""
        found, known = with_channels(images.shape[1:]), self.image_shape_
        if found == known:
            return images
        if found == (*known[:2], 1):
            return np.broadcast_to(images.reshape(len(images), *found), (len(images), *known))
        raise ValueError(f"X holds images of {images.shape[1:]}, but {type(self).__name__} knows {known}")

    def _known(self, rows: NDArray[Any]) -> Bytes:
        """Images `[N, H, W, C]` in those pixel values that the model knows."""
        palette = self.model_.run.palette
        closest = np.abs(ALL_BYTES[:, None].astype(int) - palette).argmin(1)
        fractions = rows.dtype.kind == "f" and bool((rows != np.rint(rows)).any())
        if fractions and self._scale.whole and rows.max() <= 1 < palette[-1]:
            raise ValueError(
                f"X has another scale than the images of fit: those are whole numbers up to {palette[-1]}, and X has "
                f"fractions up to {float(rows.max()):g}; multiply it, or fit again"
            )
        pixels = self._scale.pixels(rows).reshape(len(rows), *self.image_shape_)
        known: Bytes = palette[closest][_fitted(pixels, self._fitting)]
        return known

    def _encode(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        return self.model_.encode(self._known(rows))

    def _config(self, seed: int, height: int, width: int) -> Config:
        own = {"model.code_size": self.n_components, "data.source": "X", "data.seed": seed, "training.seed": seed}
        limits = {"training.epochs": self.epochs, "training.max_minutes": self.max_minutes}
        # The timing that `auto` asks for could make two fits differ.
        chosen = {"training.precision": "float32", **(self.settings or {}), **own}
        chosen |= {name: value for name, value in limits.items() if value is not None}
        changes = [f"{name}={setting_text(value)}" for name, value in chosen.items()]
        config = recipe_settings(self.recipe)
        if self.model is not None:
            if self.model in FAMILIES and not FAMILIES[self.model].has_codes:
                raise UsageError(f"an encoder needs codes, which a {FAMILIES[self.model].label} does not have")
            config = override(config, [f"model.name={self.model}"])
            config = with_used_code(config, *(override(config, changes).data.size or (height, width)))
        return override(config, changes)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        if self.run is not None:
            folder = _free_folder(Path(self.run))
            try:
                yield folder
            finally:
                if not (folder / CONFIG).exists():  # refused before anything was trained
                    shutil.rmtree(folder)
            return
        with passing_folder() as passing:
            yield passing


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Let what is wrong with an argument be the error that scikit-learn expects."""
    try:
        yield
    except (DataError, UsageError) as error:
        raise ValueError(str(error)) from error


def _fitted(pixels: Bytes, fitting: Fitting | None) -> Bytes:
    return pixels if fitting is None or not fitting.changes(pixels[0]) else fitted(pixels, fitting)


def _item_shape(given: tuple[int, ...], made: tuple[int, ...], fitting: Fitting | None) -> tuple[int, ...]:
    """Shape of an image that is drawn: that of the images that came, or with `fitting` the same in its size."""
    if fitting is None:
        return given
    return (math.prod(made),) if len(given) == 1 else (*made[:2], *given[2:])


def _free_folder(parent: Path) -> Path:
    """Make the first of fit-1, fit-2, ... that is not there, which no other process then takes."""
    if parent.exists() and not parent.is_dir():
        raise UsageError(f"run must be a folder, found the file {parent}")
    number = 1
    while True:
        folder = parent / f"fit-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise storage_error(error, folder) from error
        else:
            return folder


def _collect(pixels: Bytes, config: Config) -> Collection:
    """Hold out what `data.valid_share` says; a test split is not needed, so those images stand for it too."""
    images = Images(pixels, ALL_BYTES)
    splits = complete_splits({"train": images, "test": images}, config.data)
    return assemble("X", {**splits, "test": splits["valid"]}, config.data)
