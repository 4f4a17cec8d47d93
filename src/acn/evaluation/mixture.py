"""A Gaussian mixture fitted by EM to samples of the training codes' posteriors: the paper's unconditional prior.

    [1] Graves, Menick, van den Oord (2018). Associative Compression Networks for Representation Learning.
        arXiv:1804.02476, sections 3.1 and 4: fitted by EM, number of components chosen on the validation set.
    [2] Dempster, Laird, Rubin (1977). Maximum Likelihood from Incomplete Data via the EM Algorithm. JRSS B 39.

Letters: N codes, D code size, K components, B points. Densities are in nats.
"""

import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from acn.distributions import GaussianPrior, Posterior
from acn.threads import one_blas_thread

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

Rows = NDArray[np.float64]  # samples x D
SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
LEAST_DRAWS, MOST_DRAWS = 20_000, 60_000
# Samples of each code for the final fit: a mixture of 100 components learns the noise of single ones by heart.
FINAL_DRAWS = 4
# A full mixture beyond this many multiplications per EM step (10 components of 128 dimensions, or 600 of 16, on 60,000
# rows) takes minutes on a small machine.
MOST_WORK = 10**10
# Standard errors beyond which a difference is no chance.
SURE = 3
# Codes of more numbers than this are fitted to fewer samples, down to the fewest, and EM stops at gains larger in
# proportion: a hundredth of a nat in the 700 of a code of 512 numbers tells nothing, and takes minutes.
USUAL_SIZE = 64


def fit_mixture(train: Posterior, valid: Posterior, *, seed: int) -> GaussianPrior:
    """Fit a mixture to samples of the posteriors of the training images.

    The kind of covariance and the number of components are those with the highest mean log density of samples of the
    validation images. The sizes are tried upwards until that score has fallen twice in a row, or once by more than
    chance explains. For this comparison EM stops at gains below 0.01 nats per step, which ranks the sizes as
    convergence does in a fifth of the time; the winner is then run, on several samples of each code, until a step gains
    less than 0.001. Codes of more than 64 numbers are fitted less closely, in proportion.

    Args:
        train: q(z given x) of N images.
        valid: of V others.
        seed: of the noise and of EM's first assignment.
    """
    size = train.mean.shape[1]
    rows, held_out = _draws(train, seed, most_draws(size)), _draws(valid, seed + 1, LEAST_DRAWS)
    with one_blas_thread():
        trials = [trial for kind in ("full", "diag") for trial in _trials(rows, held_out, len(valid.mean), kind, seed)]
        _, best = max(trials, key=lambda trial: trial[0])
        final = _most_rows(best.n_components, size, best.covariance_type)
        return _prior(_converged(best, _draws(train, seed + 2, final, FINAL_DRAWS)))


def most_draws(size: int) -> int:
    """At most so many samples of codes of `size` numbers."""
    return max(LEAST_DRAWS, MOST_DRAWS * USUAL_SIZE // max(size, USUAL_SIZE))


def _most_rows(components: int, size: int, kind: str) -> int:
    """At most so many samples of codes of `size` numbers for the final fit, in bearable time."""
    parameters = size * size if kind == "full" else size
    usual = most_draws(size)
    return max(usual, min(FINAL_DRAWS * usual, MOST_WORK // (components * parameters)))


@torch.no_grad()
def _draws(posterior: Posterior, seed: int, most: int, each: int = 1) -> Rows:
    """Samples: `each` per image, more where images are few, at most `most`, in an order that mixes the images."""
    generator = torch.Generator().manual_seed(seed)
    images = len(posterior.mean)
    repeated = torch.arange(images).repeat(math.ceil(max(LEAST_DRAWS, min(each * images, most)) / images))
    rows = repeated[torch.randperm(len(repeated), generator=generator)[:most]]
    chosen = posterior.map(lambda tensor: tensor.detach().cpu()[rows].double())
    return chosen.sample(generator).numpy()


def _trials(rows: Rows, held_out: Rows, images: int, kind: str, seed: int) -> Iterator[tuple[float, "GaussianMixture"]]:
    """Yield (mean log density of `held_out`, mixture) for growing sizes, until it is plain that the best was there.

    `held_out` are samples of so many `images`: of few images there are several, which fall together.
    """
    last, falls = None, 0
    for size in SIZES:
        if falls >= 2 or not _fits(rows.shape, size, kind):
            return
        mixture = _em(rows, size, kind, seed, tolerance=1e-2)
        scores = mixture.score_samples(held_out)
        yield float(scores.mean()), mixture
        falls = 0 if last is None else _fallen(falls, last - scores, images)
        last = scores


def _fallen(falls: int, losses: Rows, images: int) -> int:
    """How often in a row the score has fallen, after these `losses` of each sample; a sure fall counts twice."""
    if losses.mean() <= 0:
        return 0
    chance = losses.std() / math.sqrt(min(images, len(losses)))
    return falls + (2 if losses.mean() > SURE * chance else 1)


def _fits(shape: tuple[int, ...], size: int, kind: str) -> bool:
    """Whether `size` components can be told from [rows, dimensions] samples, in bearable time."""
    rows, dimensions = shape
    parameters = dimensions * dimensions if kind == "full" else dimensions
    return size == 1 or (rows >= 4 * size * dimensions and rows * size * parameters <= MOST_WORK)


def _em(rows: Rows, size: int, kind: str, seed: int, *, tolerance: float, **start: Rows) -> "GaussianMixture":
    """EM from k-means, or from the given start, until a step gains less than `tolerance`, or more for large codes.

    The samples carry the posteriors' noise, so no covariance collapses.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    tolerance *= max(1.0, rows.shape[1] / USUAL_SIZE)
    mixture = GaussianMixture(
        size, covariance_type=kind, tol=tolerance, max_iter=200, reg_covar=1e-6, random_state=seed, **start
    )
    with warnings.catch_warnings():
        # Stopped at max_iter or not, what counts is the density of the validation samples.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(rows)


def _converged(mixture: "GaussianMixture", rows: Rows) -> "GaussianMixture":
    """Continue the EM of `mixture` until a step gains less than 0.001 nats per sample."""
    start = {"weights_init": mixture.weights_, "means_init": mixture.means_, "precisions_init": mixture.precisions_}
    return _em(rows, mixture.n_components, mixture.covariance_type, 0, tolerance=1e-3, **start)


def _prior(mixture: "GaussianMixture") -> GaussianPrior:
    fields = (mixture.weights_, mixture.means_, mixture.precisions_cholesky_)
    return GaussianPrior(*(torch.from_numpy(field.copy()).double() for field in fields))
