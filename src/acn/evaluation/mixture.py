"""A Gaussian mixture fitted by EM to the posteriors of the training images: the paper's unconditional prior.

    [1] Graves, Menick, van den Oord (2018). Associative Compression Networks for Representation Learning.
        arXiv:1804.02476, sections 3.1 and 4: fitted by EM, number of components chosen on the validation set.
    [2] Dempster, Laird, Rubin (1977). Maximum Likelihood from Incomplete Data via the EM Algorithm. JRSS B 39.
    [3] Cappé, Moulines (2009). On-line Expectation-Maximization Algorithm for Latent Data Models. JRSS B 71.
        arXiv:0712.4273: the moments of every new step are averaged into those of the steps before.

A mixture fitted to one sample of each posterior learns the samples' noise by heart, and the more components it has the
more. Here every step of EM has new samples, and the moments from which the mixture is made are a running mean, so that
what is fitted are the posteriors. (A library's EM has the same samples at every step.)

Letters: N codes, D code size, K components, B points. Densities are in nats.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from acn.distributions import Covariance, GaussianPrior, Posterior
from acn.threads import one_blas_thread

COVARIANCES: tuple[Covariance, ...] = ("full", "diag")
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 400)
# Samples of the validation images, and samples of the training images for every step.
HELD_OUT = 20_000
LEAST_DRAWS, MOST_DRAWS = 4_000, 60_000
# A component of D numbers takes so many times D samples to be told, in every step.
SAMPLES_EACH = 4
# Steps of EM after which mixtures of different sizes are compared, and those of the best.
TRIAL_STEPS, STEPS = 25, 40
# The first steps are EM as it is, and those after them count for (steps since)^-FORGETTING in the mean; with 1/2 or
# less it would not settle [3]. With 100 components for 50,000 codes of 16 numbers, 40 steps of which 20 settle came to
# a KL of 10.462 nats of validation codes; 10.469 if 10 settle, 10.514 if none do (a trial outside the repository).
SETTLING, FORGETTING = 20, 0.6
# Steps of k-means at most, whose clusters are a start and no more.
CLUSTERING = 20
# A full mixture beyond this many multiplications per EM step (10 components of 128 dimensions, or 600 of 16, on 60,000
# samples) takes minutes on a small machine.
MOST_WORK = 10**10
# Standard errors beyond which a difference is no chance.
SURE = 3
# Codes of more numbers than this are fitted to fewer samples.
USUAL_SIZE = 64
# Added to every variance. The samples carry the posteriors' noise, so that no component collapses without it either.
LEAST_VARIANCE = 1e-6


def fit_mixture(train: Posterior, valid: Posterior, *, seed: int) -> GaussianPrior:
    """Fit a mixture to the posteriors of the training images.

    The kind of covariance and the number of components are those with the highest mean log density of samples of the
    validation images. The sizes are tried upwards, for a few steps of EM each, until that score has fallen twice in a
    row, or once by more than chance explains. The winner goes on from there.

    Args:
        train: q(z given x) of N images.
        valid: of V others.
        seed: of the noise and of EM's first assignment.
    """
    held_out = _draws(valid, seed + 1, HELD_OUT)
    trials = [trial for kind in COVARIANCES for trial in _trials(train, held_out, len(valid.mean), kind, seed)]
    _, steps = max(trials, key=lambda trial: trial[0])
    return _without_empty(_after(steps, STEPS - TRIAL_STEPS))


def _without_empty(mixture: GaussianPrior) -> GaussianPrior:
    """The mixture without components to which fewer than one sample in `MOST_DRAWS` belongs: nothing is known of them.

    One that lost all of its samples would be a spike, too narrow for exact integers.
    """
    kept = mixture.weights * MOST_DRAWS >= 1
    weights = mixture.weights[kept]
    return GaussianPrior(weights / weights.sum(), mixture.means[kept], mixture.factors[kept])


def most_draws(size: int) -> int:
    """At most so many samples of codes of `size` numbers, in every step."""
    return max(LEAST_DRAWS, MOST_DRAWS * USUAL_SIZE // max(size, USUAL_SIZE))


@torch.no_grad()
def _draws(posterior: Posterior, seed: int, count: int) -> Tensor:
    """So many samples `[count, D]`, of all images as nearly equally often as can be, in an order that mixes them."""
    generator = torch.Generator().manual_seed(seed)
    images = len(posterior.mean)
    rounds = [torch.randperm(images, generator=generator) for _ in range(math.ceil(count / images))]
    rows = torch.cat(rounds)[:count]
    return posterior.map(lambda tensor: tensor.detach().cpu()[rows].double()).sample(generator)


Trial = tuple[float, Iterator[GaussianPrior]]
"""A score, and the further steps of the mixture that has it."""


def _trials(train: Posterior, held_out: Tensor, images: int, kind: Covariance, seed: int) -> Iterator[Trial]:
    """Yield the mean log density of `held_out` under growing mixtures, until it is plain that the best was there.

    `held_out` are samples of so many `images`: of few images there are several, which fall together.
    """
    last, falls = None, 0
    for components in SIZES:
        if falls >= 2 or not _fits(train.mean.shape, components, kind):
            return
        steps = em(train, components, kind, seed)
        scores = _after(steps, TRIAL_STEPS).log_prob(held_out)
        yield float(scores.mean()), steps
        falls = 0 if last is None else _fallen(falls, last - scores, images)
        last = scores


def _after(steps: Iterator[GaussianPrior], count: int) -> GaussianPrior:
    """The mixture after so many steps, at least one."""
    return next(islice(steps, count - 1, None))


def _fallen(falls: int, losses: Tensor, images: int) -> int:
    """How often in a row the score has fallen, after these `losses` of each sample; a sure fall counts twice."""
    if losses.mean() <= 0:
        return 0
    chance = losses.std() / math.sqrt(min(images, len(losses)))
    return falls + (2 if losses.mean() > SURE * chance else 1)


def _fits(shape: tuple[int, ...], components: int, kind: Covariance) -> bool:
    """Whether so many components can be told from the samples of codes `[N, D]`, in bearable time."""
    images, size = shape
    parameters = size * size if kind == "full" else size
    told = min(max(images, HELD_OUT), most_draws(size)) >= SAMPLES_EACH * components * size
    return components == 1 or (told and _count(shape, components) * components * parameters <= MOST_WORK)


def _count(shape: tuple[int, ...], components: int) -> int:
    """How many samples of codes `[N, D]` a step has."""
    images, size = shape
    return min(max(images, LEAST_DRAWS, SAMPLES_EACH * components * size), most_draws(size))


def em(train: Posterior, components: int, kind: Covariance, seed: int) -> Iterator[GaussianPrior]:
    """Yield the mixture after every step of EM, without an end, from k-means on."""
    count = _count(train.mean.shape, components)
    draws = _draws(train, seed, count)
    moments = _expected(_begun(draws, components, seed), draws, kind)
    step = 1
    while True:
        mixture = moments.mixture()
        yield mixture
        step += 1
        new = _expected(mixture, _draws(train, seed + step, count), kind)
        moments = moments.mixed(new, max(1, step - SETTLING) ** -FORGETTING)


def _begun(draws: Tensor, components: int, seed: int) -> GaussianPrior:
    """Gaussians of one width around the centres that k-means finds among samples `[B, D]`."""
    from sklearn.cluster import KMeans

    with one_blas_thread():
        found = KMeans(components, n_init=1, max_iter=CLUSTERING, random_state=seed).fit(draws.numpy())
    centres = torch.from_numpy(found.cluster_centers_).to(draws)
    variance = found.inertia_ / draws.numel() + LEAST_VARIANCE
    return GaussianPrior(
        torch.full_like(centres[:, 0], 1 / components), centres, torch.full_like(centres, variance**-0.5)
    )


def _expected(mixture: GaussianPrior, draws: Tensor, kind: Covariance) -> "Moments":
    """The moments of samples `[B, D]` that belong to the components of a mixture by their probability: the E step."""
    found = []
    for part in mixture.parts(draws):
        belong = mixture.joint(part).softmax(-1).T  # [K, B]
        second = belong @ part.square() if kind == "diag" else (belong[:, None] * part.T) @ part
        found.append((belong.sum(1), belong @ part, second))
    return Moments(*(torch.stack(pieces).sum(0) / len(draws) for pieces in zip(*found, strict=True)))


@dataclass(frozen=True, eq=False)
class Moments:
    """What the samples say of K components, per sample.

    `shares`: of the samples that belong to each, `[K]`. `first`: sums of these samples `[K, D]`. `second`: of their
    products, `[K, D, D]`, or of their squares, `[K, D]`, where the covariances are diagonal.
    """

    shares: Tensor
    first: Tensor
    second: Tensor

    def mixed(self, new: "Moments", share: float) -> "Moments":
        """The mean of these and of `new`, which have a `share` of it."""
        return Moments(
            torch.lerp(self.shares, new.shares, share),
            torch.lerp(self.first, new.first, share),
            torch.lerp(self.second, new.second, share),
        )

    def mixture(self) -> GaussianPrior:
        """The mixture that has these moments: the M step."""
        shares = self.shares.clamp_min(torch.finfo(self.shares.dtype).tiny)
        means = self.first / shares[:, None]
        if self.second.ndim == 2:
            variances = self.second / shares[:, None] - means.square()
            return GaussianPrior(shares / shares.sum(), means, (variances.clamp_min(0) + LEAST_VARIANCE).rsqrt())
        covariances = self.second / shares[:, None, None] - means[:, :, None] * means[:, None]
        covariances.diagonal(dim1=-2, dim2=-1).add_(LEAST_VARIANCE)
        # P P^T is the inverse of L L^T where P is that of L^T.
        lower, one = torch.linalg.cholesky(covariances), torch.eye(means.shape[1], dtype=means.dtype)
        factors = torch.linalg.solve_triangular(lower.mT, one, upper=True)
        return GaussianPrior(shares / shares.sum(), means, factors)
