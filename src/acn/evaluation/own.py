"""What a model costs under the prior that it was trained with, as Chen et al. 2017 report it: nothing is fitted.

The test split alone is read, and no classifier is trained, so that this takes a small part of a whole evaluation.
"""

import time
from dataclasses import replace
from typing import Any

import torch

from acn.data import Collection
from acn.evaluation.costs import posteriors, reconstruction
from acn.evaluation.evaluate import UNCONDITIONAL_SAMPLES, totals
from acn.evaluation.figures import UNCONDITIONAL
from acn.evaluation.importance import Sampling
from acn.evaluation.recording import likelihood, mean, mean_and_error, recorded
from acn.evaluation.unconditional import expected_kl
from acn.progress import Stage
from acn.record import Evaluation
from acn.run_models import load_model
from acn.runs import LIKELIHOOD, Run, check_images, position_reached, write_figures


def evaluate_own(
    run: Run, collection: Collection, device: torch.device, stage: Stage, sampling: Sampling
) -> Evaluation:
    """Compute the costs of a run's test split under the model's own prior, and write them to its `likelihood.json`.

    Args:
        run: a trained run of a model without neighbours.
        collection: its images.
        device: where the networks run.
        stage: called with a name and a length when a stage begins; what it returns is called with the progress.
        sampling: how the negative log-likelihood is sampled. That of a model without codes is exact, by one sample.

    Returns:
        Reconstruction, KL, their sum as `list`, and the negative log-likelihood.

    Raises:
        RunError: the images are not those that the run was trained on.
        UsageError: the prior is conditioned on a neighbour.
        TrainingError: a figure is not finite.
        StorageError: the disk refused.
    """
    begin, test, seed = time.monotonic(), collection.test, run.config.training.seed
    check_images(run, collection)
    reached = position_reached(run)
    model = load_model(run).to(device)
    prior, own = model.prior().cpu(), "own" if model.code_size else None
    posterior = posteriors(model, test, stage("codes of test", len(test)))
    costs = reconstruction(model, test, posterior, seed, stage("reconstruction", len(test)))
    values = mean_and_error("reconstruction", costs)
    if own is not None:
        kl, error = expected_kl(prior, posterior, samples=UNCONDITIONAL_SAMPLES, seed=seed)
        values |= {f"{UNCONDITIONAL}{own}": mean(kl), f"{UNCONDITIONAL}{own}_standard_error": error}
    values |= totals(values, len(test), own)
    sampled, facts = likelihood(model, prior, test, posterior, _sampled(run, sampling), seed, stage)
    evaluation = recorded(
        run,
        collection,
        model,
        values | sampled,
        reached,
        device=device,
        seconds=time.monotonic() - begin,
        prior=own,
        importance=facts,
    )
    write_figures(run, evaluation, LIKELIHOOD)
    return evaluation


def is_of(evaluation: Evaluation, run: Run, sampling: Sampling) -> bool:
    """Whether the negative log-likelihood of a run was sampled as `sampling` says."""
    asked, found = _sampled(run, sampling), evaluation.importance or {}
    wanted: dict[str, Any] = {"samples": asked.samples, "images": min(asked.images, evaluation.n_test)}
    return all(found.get(key) == value for key, value in wanted.items())


def _sampled(run: Run, sampling: Sampling) -> Sampling:
    return sampling if run.config.model.has_codes else replace(sampling, samples=1)
