"""A trained model as plain functions from arrays to arrays: `acn.load(folder)`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from acn.codec.freezing import freeze
from acn.codec.frozen import FrozenModel
from acn.codec.store import kept_model
from acn.data import ALL_BYTES, Images, as_pixels, to_values
from acn.data.fitting import Fitting, fitted
from acn.distributions import Prior
from acn.errors import UsageError
from acn.evaluation.costs import encode, posteriors, reconstruction
from acn.evaluation.evaluate import UNCONDITIONAL_SAMPLES
from acn.evaluation.unconditional import expected_kl
from acn.models import Model
from acn.runs import Run, StoredPriors, load_model, open_run, save_model
from acn.sampling.draws import Sampler, draw_codes, priors_of
from acn.settings import Fit

# Stands in messages where the folder of a run would.
IN_MEMORY = Path("the model in memory")


def load(folder: str | Path) -> "TrainedModel":
    """Open a run folder, one that `save_pretrained` wrote, or a model that comes with the package: `mnist`.

    Raises:
        RunError: there is no model in `folder`, or it is damaged.
    """
    return TrainedModel.from_pretrained(folder)


def from_files(files: Mapping[str, bytes]) -> "TrainedModel":
    """Build a model in memory from the contents of the files that `save_pretrained` wrote, by name.

    Raises:
        RunError: a file is missing or damaged.
    """
    with TemporaryDirectory(prefix="acn-") as folder:
        for name, content in files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        return TrainedModel.from_pretrained(folder).in_memory()


@dataclass(frozen=True)
class TrainedModel:
    """Encodes, scores and samples images, which are uint8 arrays `[N, H, W]` or `[N, H, W, C]` of pixel values.

    Pickled, copied or sent to another process, it is the three files of `save_pretrained`, without their folder.

    Args:
        run: settings of the model, and the folder in which its prior is found.
        model: its networks.
        priors: the unconditional priors as `acn.sampling.draws.priors_of` returns them, of a model without a folder.
    """

    run: Run
    model: Model
    priors: StoredPriors | None = field(default=None, repr=False)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "TrainedModel":
        """Open a local folder; no network is used.

        Raises:
            RunError: there is no model in `folder`, or it is damaged.
        """
        run = open_run(Path(folder))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(run, load_model(run).to(device))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write what using the model takes: `config.json`, `model.safetensors`, `prior.safetensors`.

        Raises:
            RunError: the run was not evaluated yet, so that it has no unconditional prior.
            StorageError: the disk refused.
        """
        save_model(replace(self.run, path=Path(folder)), self.model, self._priors)

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

    def encode(self, images: NDArray[Any] | Sequence[NDArray[Any]], *, fit: Fit | None = None) -> NDArray[np.float32]:
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

    def score_samples(
        self, images: NDArray[Any] | Sequence[NDArray[Any]], *, seed: int | None = None
    ) -> NDArray[np.float64]:
        """Lower bound of the log-likelihood of images `[N]`, in nats: minus what each costs on its own.

        The mean over the test split is minus the `list` cost of its evaluation.

        Args:
            images: as for `encode`.
            seed: of z and of the samples that estimate its KL; None for that of the evaluation.

        Raises:
            DataError: see `encode`.
            RunError: the run was not evaluated yet.
        """
        opened, seed = self._images(images), self.run.config.training.seed if seed is None else seed
        posterior = posteriors(self.model, opened, lambda _: None)
        cost = reconstruction(self.model, opened, posterior, seed, lambda _: None)
        if self.model.code_size:
            cost = cost + expected_kl(self._prior, posterior, samples=UNCONDITIONAL_SAMPLES, seed=seed)[0]
        score: NDArray[np.float64] = -cost.numpy()
        return score

    def freeze(self) -> FrozenModel:
        """The model in exact integers, for `acn.codec.compress`.

        Raises:
            RunError: the run was not evaluated yet, or its weights do not fit exact arithmetic.
            ArchiveError: the integers that lie beside the weights are damaged.
        """
        kept = kept_model(self.run)
        if kept is not None:
            return kept
        prior = (self._priors.mixture, self._priors.codes) if self.model.code_size else None
        return freeze(self.model, self.run.palette, prior)

    def sample(self, count: int, *, seed: int = 0, temperature: float = 1.0) -> NDArray[np.uint8]:
        """Draw new images, uint8 `[count, H, W]` or `[count, H, W, 3]`, from the unconditional prior and the decoder.

        Raises:
            RunError: the run was not evaluated yet.
        """
        sampler = Sampler(self.model, torch.Generator().manual_seed(seed), temperature)
        codes = draw_codes(self.model, self._priors, count, sampler.generator)
        values = to_values(sampler.decode(codes), self.run.palette)
        return values[..., 0] if self.run.shape.channels == 1 else values

    @cached_property
    def _priors(self) -> StoredPriors:
        return priors_of(self.run, self.model) if self.priors is None else self.priors

    @cached_property
    def _prior(self) -> Prior:
        """The unconditional prior of the run."""
        return self._priors.of(self.model)[self._priors.chosen]

    def _images(self, images: NDArray[Any] | Sequence[NDArray[Any]], fit: Fit | None = None) -> Images:
        shape, how = self.run.shape, fit or (self.run.config.data.fit if self.run.config.data.fitted else None)
        if how is not None:
            if how not in get_args(Fit):
                raise UsageError(f"fit must be one of {', '.join(get_args(Fit))}, or None, found {how!r}")
            images = fitted(images, Fitting(shape.height, shape.width, how))
        opened = Images(as_pixels(np.asarray(images), "images"), ALL_BYTES)
        return opened.as_known(shape, self.run.palette, "the array", resampled=how is not None)
