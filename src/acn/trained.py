"""A trained model as plain functions from arrays to arrays: `acn.load(folder)`."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acn.data import ALL_BYTES, Images, as_pixels, to_values
from acn.errors import DataError
from acn.evaluation.costs import encode, reconstruction
from acn.evaluation.unconditional import expected_log_prob_kl
from acn.models import ACN
from acn.runs import Run, load_model, load_prior, open_run, save_model
from acn.sampling.draws import Sampler, draw_codes

SCORE_SAMPLES = 4


def load(folder: str | Path) -> "TrainedModel":
    """Open a run folder, or one that `save_pretrained` wrote.

    Raises:
        RunError: there is no model in `folder`, or it is damaged.
    """
    return TrainedModel.from_pretrained(folder)


@dataclass(frozen=True)
class TrainedModel:
    """Encodes, scores and samples images, which are uint8 arrays `[N, H, W]` or `[N, H, W, C]` of pixel values."""

    run: Run
    model: ACN

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
        save_model(self.run, Path(folder))

    def encode(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Codes `[N, D]` of images.

        Raises:
            DataError: the images are not of the model's size, or have pixel values that it does not know.
        """
        codes: NDArray[np.float32] = encode(self.model, self._images(images), lambda _: None).numpy()
        return codes

    def score_samples(self, images: NDArray[Any], *, seed: int = 0) -> NDArray[np.float64]:
        """Lower bound of the log-likelihood of images `[N]`, in nats: minus what each costs on its own (`list`).

        The unconditional prior is the mixture; z and the samples that estimate its KL are drawn from `seed`.

        Raises:
            DataError: see `encode`.
            RunError: the run was not evaluated yet.
        """
        opened = self._images(images)
        codes = encode(self.model, opened, lambda _: None)
        paid = reconstruction(self.model, opened, codes, seed, lambda _: None)
        kl, _ = expected_log_prob_kl(self._prior[0].log_prob, codes, samples=SCORE_SAMPLES, seed=seed)
        score: NDArray[np.float64] = -(paid + kl).numpy()
        return score

    def sample(self, count: int, *, seed: int = 0, temperature: float = 1.0) -> NDArray[np.uint8]:
        """Draw new images, uint8 `[count, H, W]` or `[count, H, W, 3]`, from the mixture prior and the decoder.

        Raises:
            RunError: the run was not evaluated yet.
        """
        sampler = Sampler(self.model, torch.Generator().manual_seed(seed), temperature)
        codes = draw_codes(self.model, self._prior, "mixture", count, sampler.generator)
        values = to_values(sampler.decode(codes), self.run.palette)
        return values[..., 0] if self.run.shape.channels == 1 else values

    @cached_property
    def _prior(self) -> Any:  # noqa: ANN401 - the pair that load_prior returns
        return load_prior(self.run)

    def _images(self, images: NDArray[Any]) -> Images:
        opened = Images(as_pixels(np.asarray(images), "images"), ALL_BYTES).with_palette(self.run.palette)
        if opened.shape != self.run.shape:
            raise DataError(f"{self.run.path} knows images of {self.run.shape}, found {opened.shape}; resize them")
        return opened
