"""A trained model as plain functions from arrays to arrays: `acn.load(folder)`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn import pretrained
from acn.data import ALL_BYTES, Images, gathered, to_values
from acn.data.arrays import refuse_one_image, shape_of
from acn.data.fitting import Fitting, fitted
from acn.data.scale import is_whole
from acn.devices import find_device
from acn.distributions import Prior
from acn.errors import DataError, UsageError
from acn.evaluation.costs import encode, posteriors, reconstruction
from acn.evaluation.evaluate import UNCONDITIONAL_SAMPLES, costs, refined_posteriors
from acn.evaluation.refining import check_refined
from acn.evaluation.unconditional import expected_kl
from acn.hub import PREFIX, download, hub_name, upload
from acn.memory import nearest
from acn.models import Model, device_of
from acn.run_models import StoredPriors, load_model, save_model
from acn.runs import Run, open_images, open_run
from acn.sampling.draws import Sampler, draw_codes, priors_of
from acn.settings import Fit

if TYPE_CHECKING:
    from acn.codec.frozen import FrozenModel

Pixels = NDArray[np.uint8]
# Images as users have them: an array, or a list of arrays.
Given = NDArray[Any] | Sequence[NDArray[Any]]

# Stands in messages where the folder of a run would.
IN_MEMORY = Path("the model in memory")


def load(folder: str | Path, *, device: str | torch.device = "auto", revision: str | None = None) -> "TrainedModel":
    """Open a run folder, one that `save_pretrained` wrote, a model that comes with the package, or one of the hub.

    Args:
        folder: the folder; or `mnist` or `vlae-mnist`, the bundled models; or OWNER/NAME on the Hugging Face hub, also
            as `hub:OWNER/NAME`, where there is no folder OWNER.
        device: where the networks run: `cpu`, `cuda`, or `auto`: the GPU when there is one.
        revision: of a model of the hub: a branch, a tag or a commit.

    Raises:
        RunError: there is no model in `folder`, or it is damaged; or the hub has none of this name.
        UsageError: there is no such device.
        MissingExtraError: the model is on the hub, and the library for that is not installed.
    """
    return TrainedModel.from_pretrained(folder, device=device, revision=revision)


def from_files(files: Mapping[str, bytes]) -> "TrainedModel":
    """Build a model in memory from the contents of the files that `save_pretrained` wrote, by name.

    Raises:
        RunError: a file is missing or damaged.
    """
    with TemporaryDirectory(prefix="acn-") as folder:
        for name, content in files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        return TrainedModel.from_pretrained(folder).in_memory()


@dataclass(frozen=True, repr=False, eq=False)
class TrainedModel:
    """Encodes, compares, scores and draws images, which are uint8 arrays `[N, H, W]` or `[N, H, W, C]` of pixel values.

    Pickled, copied or sent to another process, it is the three files of `save_pretrained`, without their folder.

    Args:
        run: settings of the model, and the folder in which its prior is found.
        model: its networks.
        priors: the unconditional priors as `acn.sampling.draws.priors_of` returns them, of a model without a folder.
    """

    run: Run
    model: Model
    priors: StoredPriors | None = field(default=None)

    def __repr__(self) -> str:
        path = self.run.path
        name = path.name if path.parent == pretrained.FOLDER else path
        return f"{type(self).__name__}({name}: {self.run.summary}, on {device_of(self.model)})"

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, device: str | torch.device = "auto", revision: str | None = None
    ) -> "TrainedModel":
        """Open a folder, or a model of the hub: see `acn.load`. A folder needs no network."""
        place = find_device(device)
        run = open_run(Path(folder) if hub_name(folder) is None else download(folder, revision))
        return cls(run, load_model(run).to(place))

    def save_pretrained(self, folder: str | Path, *, half: bool = False) -> None:
        """Write what using the model takes: `config.json`, `model.safetensors`, `prior.safetensors`.

        Args:
            folder: where they go.
            half: round their numbers to float16, which takes half the bytes. The model then has other exact integers:
                it does not read archives of this one.

        Raises:
            RunError: the run was not evaluated yet, so that it has no unconditional prior.
            UsageError: the folder holds a training; or a number is too large for float16.
            StorageError: the disk refused.
        """
        save_model(replace(self.run, path=Path(folder)), self.model, self._priors, half=half)

    def push_to_hub(self, name: str, *, private: bool = False, licence: str | None = None, half: bool = False) -> str:
        """Upload the model to the Hugging Face hub: what `acn publish` writes, or the weights of a model in memory.

        Args:
            name: OWNER/NAME, which is made where it is not there.
            private: make it so that others do not see it.
            licence: of the weights, for the card, such as `Apache-2.0`.
            half: round the weights to float16; see `save_pretrained`.

        Returns:
            The address of the model.

        Raises:
            MissingExtraError: the library for the hub is not installed.
            RunError: the run was not evaluated yet; or the hub refused.
        """
        from acn.publishing import complete

        with TemporaryDirectory(prefix="acn-") as folder:
            self.save_pretrained(folder, half=half)
            if self.run.path != IN_MEMORY:
                complete(self.run, Path(folder), name, licence, half=half)
            return upload(Path(folder), name.removeprefix(PREFIX), private=private)

    def in_memory(self) -> "TrainedModel":
        """Return the same model, which needs its folder no more.

        Raises:
            RunError: the run was not evaluated yet, so that it has no unconditional prior.
        """
        return TrainedModel(replace(self.run, path=IN_MEMORY), self.model, self._priors)

    def __reduce__(self) -> tuple[Callable[[Mapping[str, bytes]], "TrainedModel"], tuple[dict[str, bytes]]]:
        with TemporaryDirectory(prefix="acn-") as folder:
            self.save_pretrained(folder)
            return from_files, ({path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())},)

    def encode(self, images: Given, *, fit: Fit | None = None) -> NDArray[np.float32]:
        """Codes `[N, D]` of images.

        Args:
            images: uint8 `[N, H, W]` or `[N, H, W, C]`; or a list of images `[H, W]` or `[H, W, C]` of any sizes.
            fit: how images of another size are fitted: `crop` the middle, `pad` with black, or `stretch`. None fits
                them as those were that the model was trained on, if they were.

        Raises:
            DataError: the images are not of the model's size and are not fitted, or have pixel values that it does not
                know.
            UsageError: the model has no codes, or there is no such way to fit.
        """
        codes: NDArray[np.float32] = encode(
            self.model.with_codes("encoding"), self._images(images, fit), lambda _: None
        ).numpy()
        return codes

    def reconstruct(self, images: Given, *, seed: int = 0, temperature: float = 1.0, fit: Fit | None = None) -> Pixels:
        """Draw one image from the code of each image: uint8 `[N, H, W]` or `[N, H, W, 3]`.

        What all draws of an image, by different seeds, have in common is what its code keeps.

        Args:
            images: as for `encode`.
            seed: another one draws other images.
            temperature: divides the logits of the pixels, 0 for their modes.
            fit: as for `encode`.

        Raises:
            DataError: see `encode`.
            UsageError: see `encode`; or `seed` is no whole number of 64 bits, or `temperature` below 0.
        """
        sampler = Sampler(self.model.with_codes("reconstruction"), _generator(seed), temperature)
        codes = torch.from_numpy(self.encode(images, fit=fit))
        return self._pixels(sampler.decode(codes))

    def daydream(
        self, images: Given, steps: int = 20, *, seed: int = 0, temperature: float = 1.0, fit: Fit | None = None
    ) -> Pixels:
        """Chains of associations: uint8 `[N, steps + 1, H, W]` or `[N, steps + 1, H, W, 3]`, each from one of `images`.

        Each next image is drawn from a code that is drawn from the prior given the code of the last (Figure 1 of Graves
        et al. 2018).

        Args:
            images: as for `encode`.
            steps: images after the first.
            seed: see `reconstruct`.
            temperature: see `reconstruct`.
            fit: as for `encode`.

        Raises:
            DataError: see `encode`.
            UsageError: see `reconstruct`; or the model has no prior given a neighbour.
        """
        steps = _whole("steps", steps, 1)
        sampler = Sampler(self.model.with_neighbours("daydreaming"), _generator(seed), temperature)
        return self._pixels(sampler.daydream(_all(self._images(images, fit)), steps))

    def interpolate(
        self,
        first: Given,
        second: Given,
        steps: int = 10,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        fit: Fit | None = None,
    ) -> Pixels:
        """Draw images at evenly spaced codes, uint8 `[N, steps, H, W]` or `[N, steps, H, W, 3]`.

        Args:
            first: from whose codes, as for `encode`.
            second: to whose codes, as many images.
            steps: images of each pair, of which the outer ones are drawn from the codes of the two.
            seed: see `reconstruct`.
            temperature: see `reconstruct`.
            fit: as for `encode`.

        Raises:
            DataError: see `encode`; or there are more images on one side.
            UsageError: see `reconstruct`.
        """
        steps = _whole("steps", steps, 2)
        sampler = Sampler(self.model.with_codes("interpolation"), _generator(seed), temperature)
        ends = [_all(self._images(images, fit)) for images in (first, second)]
        if len(ends[0]) != len(ends[1]):
            raise DataError(f"expected as many images in second as in first, found {len(ends[1])} and {len(ends[0])}")
        return self._pixels(sampler.interpolate(ends[0], ends[1], steps))

    def duplicates(self, images: Given, *, threshold: float | None = None, fit: Fit | None = None) -> list[list[int]]:
        """Groups of equal and of nearly equal images, as the model sees them: the rows of each, earliest first.

        Args:
            images: as for `encode`.
            threshold: two images are nearly equal if the distance of their codes is at most this share of the distance
                from each of them to its tenth neighbour; 0 for equal pixels alone, None for what the codes suggest.
            fit: as for `encode`.

        Raises:
            DataError: see `encode`.
            UsageError: see `encode`; or the threshold is no number in [0, 1].
        """
        from acn.data.looks import digests
        from acn.evaluation.near import alike, firsts_of

        _check_threshold(threshold)
        opened = self._images(images, fit)
        codes = None if threshold == 0 else encode(self.model.with_codes("the search by code"), opened, lambda _: None)
        return alike(firsts_of(digests(opened)), codes, threshold).groups

    def neighbours(
        self, images: Given, count: int = 5, *, among: Given | None = None, fit: Fit | None = None
    ) -> NDArray[np.int64]:
        """Rows `[N, count]` of the images nearest to each image by the Euclidean distance of codes, nearest first.

        Args:
            images: the queries, as for `encode`.
            count: how many neighbours of each.
            among: where they are sought; None for among the `images` themselves, none of which is then its own
                neighbour.
            fit: as for `encode`.

        Raises:
            DataError: see `encode`.
            UsageError: see `encode`; or `count` is no whole number of at least 1, or there are fewer images than that.
        """
        count = _whole("count", count, 1)
        codes = torch.from_numpy(self.encode(images, fit=fit))
        if among is None:
            return nearest(codes, codes, count, exclude=torch.arange(len(codes))).numpy()
        return nearest(codes, torch.from_numpy(self.encode(among, fit=fit)), count).numpy()

    def evaluate(self, images: Given | None = None, *, refine: int = 0, fit: Fit | None = None) -> dict[str, float]:
        """Costs of images in nats per image, by the names that `evaluation.json` has: `reconstruction`, `list`, ...

        Those of the test split are the figures of `acn evaluate`, which also fits the priors, writes its record and
        trains linear classifiers. Nothing is written here.

        Args:
            images: as for `encode`; None for the test split of the run, where its images still are.
            refine: steps by which each image's posterior is refined first (see `acn.evaluation.refining`): tighter
                bounds, of which each step takes as long as training on the image does.
            fit: as for `encode`.

        Raises:
            DataError: see `encode`; or the images of the run are not there.
            RunError: the run was not evaluated yet.
            UsageError: there are no `images`, and the model is in memory; or `refine` is no whole number of at least 0,
                or the posteriors cannot be refined; or there is no such way to fit.
        """
        if images is None and self.run.path == IN_MEMORY:
            raise UsageError(f"{IN_MEMORY} has no images of its own: give some, as in evaluate(images)")
        refine = _whole("refine", refine, 0)
        opened = self._test() if images is None else self._images(images, fit)
        posterior = posteriors(self.model, opened, lambda _: None)
        priors = self._priors if self.model.code_size else None
        if refine:
            check_refined(self.model)
            posterior = refined_posteriors(
                self.run, self.model, self._priors, opened, posterior, refine, lambda _: None
            )
        seed = self.run.config.training.seed
        return costs(self.model, priors, opened, posterior, seed, lambda *_: lambda _: None)

    def score_samples(self, images: Given, *, seed: int | None = None, fit: Fit | None = None) -> NDArray[np.float64]:
        """Lower bound of the log-likelihood of images `[N]`, in nats: minus what each costs on its own.

        The mean over the test split is minus the `list` cost of its evaluation.

        Args:
            images: as for `encode`.
            seed: of z and of the samples that estimate its KL; None for that of the evaluation.
            fit: as for `encode`.

        Raises:
            DataError: see `encode`.
            UsageError: `seed` is no whole number of 64 bits, or there is no such way to fit.
            RunError: the run was not evaluated yet.
        """
        opened, seed = self._images(images, fit), self.run.config.training.seed if seed is None else _seed(seed)
        posterior = posteriors(self.model, opened, lambda _: None)
        cost = reconstruction(self.model, opened, posterior, seed, lambda _: None)
        if self.model.code_size:
            cost = cost + expected_kl(self._prior, posterior, samples=UNCONDITIONAL_SAMPLES, seed=seed)[0]
        score: NDArray[np.float64] = -cost.numpy()
        return score

    def freeze(self) -> "FrozenModel":
        """The model in exact integers, for `acn.codec.compress`.

        Raises:
            RunError: the run was not evaluated yet, or its weights do not fit exact arithmetic.
            ArchiveError: the integers that lie beside the weights are damaged.
        """
        from acn.codec.store import in_integers, kept_model

        kept = kept_model(self.run)
        if kept is not None:
            return kept
        return in_integers(self.model, self.run.palette, self._priors if self.model.code_size else None)

    def sample(self, count: int, *, seed: int = 0, temperature: float = 1.0) -> Pixels:
        """Draw new images, uint8 `[count, H, W]` or `[count, H, W, 3]`, from the unconditional prior and the decoder.

        Raises:
            RunError: the run was not evaluated yet.
            UsageError: `count` is no whole number of at least 1, `seed` none of 64 bits, or `temperature` below 0.
        """
        count, sampler = _whole("count", count, 1), Sampler(self.model, _generator(seed), temperature)
        return self._pixels(sampler.decode(draw_codes(self.model, self._priors, count, sampler.generator)))

    def _test(self) -> Images:
        try:
            return open_images(self.run).test
        except DataError as error:
            raise DataError(f"{error}; or give images, as in evaluate(images)") from error

    @cached_property
    def _priors(self) -> StoredPriors:
        return priors_of(self.run, self.model) if self.priors is None else self.priors

    @cached_property
    def _prior(self) -> Prior:
        """The unconditional prior of the run."""
        return self._priors.of(self.model)[self._priors.chosen]

    def _pixels(self, levels: Tensor) -> Pixels:
        """Pixel values of levels `[..., C, H, W]`, as images come: without the axis of a single channel."""
        values = to_values(levels.flatten(0, -4), self.run.palette)
        values = values.reshape(*levels.shape[:-3], *values.shape[1:])
        return values[..., 0] if self.run.shape.channels == 1 else values

    def _images(self, images: Given, fit: Fit | None = None) -> Images:
        known = self.run.shape
        refuse_one_image(shape_of(images), "images", (known.height, known.width))
        how = fit or (self.run.config.data.fit if self.run.config.data.fitted else None)
        if how is not None:
            if how not in get_args(Fit):
                raise UsageError(f"fit must be one of {', '.join(get_args(Fit))}, or None, found {how!r}")
            images = fitted(images, Fitting(known.height, known.width, how))
        else:
            images = gathered(images, 'fit them, as in fit="crop"')
        return Images(images, ALL_BYTES).as_known(known, self.run.palette, "the array", resampled=how is not None)


def _all(images: Images) -> Tensor:
    return images.batch(range(len(images)))


def _whole(name: str, value: int, least: int) -> int:
    """Return `value` as a number of Python's; one of NumPy's, which a loop may bring, is as good."""
    if is_whole(value) and value >= least:
        return int(value)
    raise UsageError(f"{name}: expected a whole number of at least {least}, found {value!r}")


def _check_threshold(threshold: object) -> None:
    known = isinstance(threshold, Real) and 0 <= float(threshold) <= 1  # nor NaN
    if threshold is not None and (isinstance(threshold, bool) or not known):
        raise UsageError(f"threshold: expected a number in 0 ... 1, or None, found {threshold!r}")


def _seed(seed: int) -> int:
    if is_whole(seed) and -(2**63) <= seed < 2**64:
        return int(seed)
    raise UsageError(f"seed: expected a whole number of 64 bits, found {seed!r}")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(seed))
