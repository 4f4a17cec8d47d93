"""The record of an evaluation from the figures that were found, for every kind of evaluation."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from acn.checks import Position
from acn.data import Collection, Images
from acn.distributions import Posterior, Prior
from acn.errors import TrainingError
from acn.evaluation.figures import figures
from acn.evaluation.importance import Sampling, sampled_likelihood
from acn.models import Model
from acn.progress import Stage
from acn.provenance import provenance
from acn.record import Evaluation, Refined
from acn.run_models import StoredPriors
from acn.runs import Run
from acn.units import bits_per_dimension

Values = dict[str, float]


def recorded(
    run: Run,
    collection: Collection,
    model: Model,
    values: Values,
    reached: Position | None,
    *,
    device: torch.device,
    seconds: float,
    prior: str | None,
    priors: StoredPriors | None = None,
    probes: Mapping[str, float] | None = None,
    importance: dict[str, Any] | None = None,
    refined: Refined | None = None,
) -> Evaluation:
    """Return the record of `values`, which were found in `seconds`.

    Args:
        run: which it is.
        collection: its images.
        model: its networks.
        values: figures by key.
        reached: where the run's training was when the networks were read, None where nobody knows.
        device: where the networks ran.
        seconds: how long it took.
        prior: the unconditional one of `list`; None for a model without codes.
        priors: those that were fitted.
        probes: accuracies of linear classifiers.
        importance: how the negative log-likelihood was sampled.
        refined: what refined posteriors cost.

    Raises:
        TrainingError: a figure is not finite.
    """
    check_finite(values)
    if refined is not None:
        check_finite(refined.values)
    return Evaluation(
        data=collection.provenance,
        n_train=len(collection.train),
        n_test=len(collection.test),
        values=values,
        bits=_bits(values, run.shape.dimensions),
        probes=probes or {},
        prior=prior,
        mixture=_described(priors) if priors else None,
        importance=importance,
        refined=refined,
        training=_progress(reached, len(collection.train)) | {key: run.made.get(key) for key in ("commit", "start")},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        config=run.config.stated.model_dump(mode="json"),
        seconds=round(seconds, 1),
        seed=run.config.training.seed,
        made=provenance(str(device)),
    )


def check_finite(values: Mapping[str, float]) -> None:
    """See that figures can be reported.

    Raises:
        TrainingError: one is not finite.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(f"{name} of the test split is {value}: the weights are unusable; train again")


def likelihood(
    model: Model, prior: Prior, test: Images, posterior: Posterior, sampling: Sampling, seed: int, stage: Stage
) -> tuple[Values, dict[str, float]]:
    """The negative log-likelihood under a prior; and how it was sampled, beside its bound."""
    done = stage("importance samples", sampling.samples * min(sampling.images, len(test)))
    found = sampled_likelihood(model, prior, test, posterior, sampling, seed=seed, progress=done)
    facts = {"samples": sampling.samples, "images": len(found.nll), "negative_elbo": mean(found.negative_elbo)}
    return mean_and_error("nll", found.nll), facts


def mean_and_error(key: str, costs: Tensor) -> Values:
    """The mean of what images cost, and its standard error where there are several."""
    error = {f"{key}_standard_error": float(costs.std() / math.sqrt(len(costs)))} if len(costs) > 1 else {}
    return {key: mean(costs), **error}


def mean(values: Tensor) -> float:
    """In float64."""
    return float(values.double().mean())


def _progress(reached: Position | None, images: int) -> dict[str, Any]:
    if reached is None:
        return {"steps": None, "images_seen": None, "seconds": None}
    seen = reached.epoch * images + reached.position
    return {"steps": reached.step, "images_seen": seen, "seconds": round(reached.seconds, 1)}


def _described(priors: StoredPriors) -> dict[str, object]:
    return {"components": priors.mixture.components, "covariance": priors.mixture.covariance}


def _bits(values: Values, dimensions: int) -> Values:
    """Costs in bits per dimension."""
    found = [figure.key for figure in figures("nats") if figure.key in values]
    return {key: bits_per_dimension(values[key], dimensions) for key in found}
