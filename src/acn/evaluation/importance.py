"""The negative log-likelihood of images by importance sampling (Burda, Grosse and Salakhutdinov 2016).

With codes z_1 ... z_K drawn from q(z given x), the mean of the weights

    w_k = r(x given z_k) p(z_k) / q(z_k given x)

has the expectation p(x), so that -log of it is an upper bound of -log p(x) in expectation, which falls as K grows.
With K = 1 it is the negative ELBO.

Letters: N images of a split, D code size, n images that are measured, K codes of each, P pairs of both that pass
through the decoder at once. Figures are in nats.
"""

import math
import operator
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.data import Images, slices, spread
from acn.data.keyed import normals
from acn.distributions import Posterior, Prior
from acn.errors import UsageError
from acn.models import Model, device_of
from acn.progress import Advance

IMAGES = 1000
# Streams of draws that are set aside for each image: more than there will ever be codes of one.
STREAMS = 2**32


@dataclass(frozen=True)
class Sampling:
    """How much is sampled: `samples` codes (K) for each of `images` images, or of all, if there are fewer."""

    samples: int
    images: int = IMAGES


@dataclass(frozen=True)
class Likelihood:
    """What each image costs by the same draws, float64 `[n]`.

    `nll`: minus the log of the mean weight. `negative_elbo`: minus the mean of their logs, never less.
    """

    nll: Tensor
    negative_elbo: Tensor


def sampled_likelihood(
    model: Model,
    prior: Prior,
    images: Images,
    posterior: Posterior,
    sampling: Sampling,
    *,
    seed: int,
    progress: Advance,
) -> Likelihood:
    """Estimate -log p(x) of images that are spread over a split.

    A draw is a function of the seed, of the image's row in the split, and of its number among the K: it depends neither
    on what passes through the decoder with it nor on which other images are measured, and more of them keep the first.

    Args:
        model: r(x given z).
        prior: p(z), on the CPU.
        images: the split, of N.
        posterior: q(z given x) of all of it, `[N, D]` on the CPU.
        sampling: how many codes of how many images; both at least 1.
        seed: of the draws.
        progress: is called with how many more pairs of an image and a code are done.
    """
    rows = torch.from_numpy(spread(len(images), sampling.images))
    logs = _log_weights(model, prior, images, posterior, rows, sampling.samples, seed, progress)
    return Likelihood(math.log(sampling.samples) - logs.logsumexp(1), -logs.mean(1))


def check_sampled(model: Model) -> None:
    """See that the likelihood of a model has to be sampled at all.

    Raises:
        UsageError: the model has no codes.
    """
    if not model.code_size:
        raise UsageError(
            f"importance sampling needs codes, which a {model.settings.label} does not have: its list is its negative "
            "log-likelihood already, and exact; evaluate it without --importance"
        )


@torch.inference_mode()
def _log_weights(
    model: Model,
    prior: Prior,
    images: Images,
    posterior: Posterior,
    rows: Tensor,
    samples: int,
    seed: int,
    progress: Advance,
) -> Tensor:
    """Logs of the weights, float64 `[n, K]`, of the images at `rows` `[n]`.

    Densities of codes are float64 too, but for the associative prior, which computes in float32 and is a lower bound.
    """
    parts, device = [], device_of(model)
    measured = posterior.map(lambda tensor: tensor[rows].double())
    for pairs in slices(len(rows) * samples, images.shape, device):
        numbers = torch.arange(pairs.start, pairs.stop)
        places = numbers // samples
        picked, q = rows[places], measured.map(operator.itemgetter(places))
        z, log_q = q.draw(normals(picked * STREAMS + numbers % samples, q.mean.shape[1], "importance", seed))
        likelihood = model.likelihood(z.to(device, posterior.mean.dtype))
        log_r = likelihood.log_prob(images.batch(picked).to(device)).double().cpu()
        parts.append(log_r + prior.log_prob(z).double() - log_q)
        progress(len(pairs))
    return torch.cat(parts).view(len(rows), samples)
