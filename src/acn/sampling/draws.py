"""The ways to sample from a trained model (Graves et al. 2018, section 3.2).

Images are level indices, `[..., C, H, W]`; from one generator state the same images are drawn.

Letters: B images, S samples or steps, D code size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from acn.distributions import GaussianPrior
from acn.emissions import uniforms
from acn.errors import UsageError
from acn.families import PriorName
from acn.models import Model, device_of
from acn.ranks import ONE, Ranks
from acn.run_models import StoredPriors, load_priors
from acn.runs import Run

# Images that are generated side by side: enough to fill the machine, few enough for its memory.
TOGETHER = 256


@dataclass(frozen=True)
class Sampler:
    """Draws images from a model.

    `progress` is called with how many more images are done; `temperature` divides the logits of the pixels, 0 for
    their modes.

    Raises:
        UsageError: the temperature is no number of at least 0.
    """

    model: Model
    generator: torch.Generator
    temperature: float = 1.0
    progress: Callable[[float], None] = lambda _: None
    ranks: Ranks = ONE

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Draw one image `[B, C, H, W]` from the likelihood of each code `[B, D]`.

        Several processes take turns, `TOGETHER` images each; the generator of each draws the numbers of all.
        """
        shape = self.model.shape
        pixels = shape.height * shape.width
        device = device_of(self.model)

        def draw(part: Tensor) -> Tensor:
            share = len(part) / pixels * self.ranks.count

            def advance(count: float) -> None:
                self.progress(count * share)

            likelihood = self.model.likelihood(part.to(device))
            return likelihood.sample(self.generator, temperature=self.temperature, progress=advance).cpu()

        parts = torch.split(codes, TOGETHER)
        own = self.ranks.part(len(parts))

        def turns(_: Sequence[Tensor]) -> Iterator[Tensor]:
            for number, part in enumerate(parts):
                if number in own:
                    yield draw(part)
                else:
                    for _subpixel in range(shape.dimensions):
                        uniforms(len(part), self.generator)

        return torch.cat(self.ranks.gathered(parts, turns))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Mean codes `[B, D]` of images.

        Raises:
            UsageError: the model has no codes.
        """
        model = self.model.with_codes("encoding")
        place = device_of(model)
        return torch.cat([model.posterior(part.to(place)).mean.cpu() for part in images.split(TOGETHER)])

    def reconstruct(self, images: Tensor, copies: int) -> Tensor:
        """Stochastic reconstructions `[B, S, C, H, W]` from the mean codes, `copies` of each image."""
        codes = self.encode(images).repeat_interleave(copies, 0)
        drawn = self.decode(codes)
        return drawn.view(len(images), copies, *drawn.shape[1:])

    @torch.no_grad()
    def daydream(self, images: Tensor, steps: int) -> Tensor:
        """Chains `[B, S + 1, C, H, W]` that start at `images` (Figure 1 of the paper).

        Each next image is drawn from the likelihood of a code that is drawn from the prior given the code of the last.

        Raises:
            UsageError: the model is a baseline without such a prior.
        """
        model = self.model.with_neighbours("daydreaming")
        chain = [images]
        for _ in range(steps):
            prior = model.prior(self.encode(chain[-1]).to(device_of(model)))
            chain.append(self.decode(prior.cpu().sample(self.generator)))
        return torch.stack(chain, dim=1)

    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """Images `[B, S, C, H, W]` drawn at evenly spaced codes from those of `first` to those of `second`."""
        shares = torch.linspace(0, 1, steps).view(1, -1, 1)
        ends = self.encode(first)[:, None], self.encode(second)[:, None]
        codes = torch.lerp(*ends, shares.expand(len(first), -1, ends[0].shape[-1]))
        drawn = self.decode(codes.flatten(0, 1))
        return drawn.view(len(first), steps, *drawn.shape[1:])


def check_temperature(temperature: object) -> None:
    """See that a temperature is a number of at least 0.

    Raises:
        UsageError: it is not.
    """
    if not (isinstance(temperature, Real) and float(temperature) >= 0):  # nor NaN
        raise UsageError(f"temperature: expected a number of at least 0, found {temperature!r}")


def priors_of(run: Run, model: Model) -> StoredPriors:
    """Return what `acn.run_models.load_priors` returns, or for a model without codes priors of no dimensions.

    Raises:
        RunError: the run was not evaluated yet, or the file is damaged.
    """
    if model.code_size:
        return load_priors(run)
    nothing = torch.zeros(1, 0)
    return StoredPriors(GaussianPrior(torch.ones(1), nothing, nothing), nothing, "own")


@torch.no_grad()
def draw_codes(
    model: Model, priors: StoredPriors, count: int, generator: torch.Generator, name: PriorName | None = None
) -> Tensor:
    """Draw `count` codes `[B, D]` from an unconditional prior.

    Args:
        model: whose priors they are.
        priors: as `priors_of` returns them.
        count: B.
        generator: source of all random numbers.
        name: of the prior; None for the one that the run chose.

    Raises:
        UsageError: the model has no such prior, or the run was evaluated before there was one.
    """
    known = priors.of(model)
    chosen = name or priors.chosen
    if chosen not in known:
        label, names = model.settings.label, ", ".join(known)
        if chosen == "autoregressive" and model.code_size:
            raise UsageError(f"the run has no autoregressive prior yet: acn evaluate fits it; or choose from: {names}")
        raise UsageError(f"the {label} has no {chosen} prior; choose from: {names}")
    return known[chosen].sample(generator, (count,))
