"""The evaluation of a run: every figure of the test split, once, with averaged weights."""

import math
import time
from typing import Any

import torch
from torch import Tensor

from acn.data import Collection, Images
from acn.distributions import GaussianPrior, Posterior
from acn.errors import TrainingError
from acn.evaluation.costs import neighbour_kl, posteriors, reconstruction
from acn.evaluation.figures import plot_codes
from acn.evaluation.mixture import fit_mixture
from acn.evaluation.probes import linear_probes
from acn.evaluation.unconditional import LogProb, associative_log_prob, expected_log_prob_kl
from acn.memory import greedy_tour, improve_tour, nearest
from acn.models import ACN, Model, UnconditionalModel
from acn.models.neighbours import SEARCH_NODES, NeighbourPrior, neighbour_prior, priors_given
from acn.progress import Stage
from acn.provenance import provenance
from acn.runs import CODES, Run, check_images, check_trained_here, load_model, read_position, save_prior
from acn.units import bits_per_dimension, order_nats

Figures = dict[str, Any]

NEIGHBOURS = (1, 5, 10)
TOUR_CANDIDATES = 16
UNCONDITIONAL_SAMPLES = 2
NEIGHBOUR_COSTS = ("kl_k1", "kl_k5", "kl_k10", "kl_tour_greedy", "kl_tour_improved")
UNCONDITIONAL = ("kl_unconditional_mixture", "kl_unconditional_associative", "kl_unconditional_own")
COSTS = (
    "reconstruction",
    *NEIGHBOUR_COSTS,
    *UNCONDITIONAL,
    "list",
    "set",
    "tour",
    "tour_restored",
    "order_nats",
)


def evaluate(run: Run, collection: Collection, device: torch.device, stage: Stage) -> Figures:
    """Compute all figures of a run and write the picture of its codes.

    Args:
        run: a trained run.
        collection: its images.
        device: where the networks run.
        stage: called with a name and a length when a stage begins; what it returns hears of the progress.

    Returns:
        Plain values that JSON can hold; costs are in nats per image, and again in bits per dimension.

    Raises:
        RunError: the images are not those that the run was trained on, or it is a published model.
        TrainingError: a figure is not finite.
    """
    begin = time.monotonic()
    check_images(run, collection)
    check_trained_here(run)
    reached = read_position(run)
    model = load_model(run).to(device)
    seed = run.config.training.seed
    found = {
        name: posteriors(model, split, stage(f"codes of {name}", len(split)))
        for name, split in collection.splits.items()
    }
    test = collection.test
    costs = _costs(run, model, test, found, stage)
    codes = {name: posterior.mean for name, posterior in found.items()}
    probes = linear_probes(run.config.model, collection, codes, seed, stage)
    if model.code_size:
        plot_codes(
            codes["test"],
            test.labels,
            test.label_names,
            run.path / CODES,
            title=f"{collection.name}: codes of the test split",
        )
    return {
        "data": collection.provenance,
        "n_train": len(collection.train),
        "n_test": len(test),
        **costs,
        "bits_per_dimension": {
            name: bits_per_dimension(costs[name], run.shape.dimensions) for name in COSTS if costs[name] is not None
        },
        "code_std": float(codes["test"].std(0).mean()) if len(test) > 1 and model.code_size else None,
        "linear_probe": probes,
        "training": {
            "steps": reached.step,
            "images_seen": reached.epoch * len(collection.train) + reached.position,
            "seconds": round(reached.seconds, 1),
            "commit": run.made.get("commit"),
        },
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "config": run.config.model_dump(mode="json"),
        "seconds": round(time.monotonic() - begin, 1),
        "seed": seed,
        **provenance(str(device)),
    }


def fit_prior(run: Run, model: Model, collection: Collection) -> None:
    """Fit the unconditional prior of a trained run and keep it, for sampling and coding without a full evaluation."""
    known, held_out = (posteriors(model, images, lambda _: None) for images in (collection.train, collection.valid))
    save_prior(run, fit_mixture(known, held_out, seed=run.config.training.seed), known.mean)


def _costs(run: Run, model: Model, test: Images, found: dict[str, Posterior], stage: Stage) -> Figures:
    """Every cost of the test split, those that the model has not as None."""
    paid = reconstruction(model, test, found["test"], run.config.training.seed, stage("reconstruction", len(test)))
    costs: Figures = {"reconstruction": _mean(paid), "reconstruction_standard_error": _standard_error(paid)}
    none = dict.fromkeys((*NEIGHBOUR_COSTS, *UNCONDITIONAL))
    costs |= _code_costs(run, model, found, stage) if model.code_size else none
    costs |= totals(costs, len(test))
    for name in COSTS:
        if costs[name] is not None and not math.isfinite(costs[name]):
            raise TrainingError(f"{name} of the test split is {costs[name]}: the weights are unusable; train again")
    return costs


def totals(costs: Figures, images: int) -> Figures:
    """What a receiver pays in all, and how much of it is the order, in nats per image (docs/method.md).

    `list` keeps the order; `set` forgets it, which any model may do; `tour` uses the order for its neighbours and
    forgets it too; `tour_restored` sends it again beside the tour. Models without neighbours have no tour, those
    without codes no KL.
    """
    kl = min((costs[name] for name in UNCONDITIONAL if costs[name] is not None), default=0.0)
    listed = costs["reconstruction"] + kl
    order = order_nats(images)
    tour = None if costs["kl_tour_improved"] is None else costs["reconstruction"] + costs["kl_tour_improved"]
    restored = None if tour is None else tour + order
    return {"list": listed, "set": listed - order, "tour": tour, "tour_restored": restored, "order_nats": order}


def _code_costs(run: Run, model: Model, found: dict[str, Posterior], stage: Stage) -> Figures:
    """All KLs of the test split, and the unconditional prior, which is kept in the run's folder."""
    seed = run.config.training.seed
    done = stage("mixture prior", 1)
    mixture = fit_mixture(found["train"], found["valid"], seed=seed)
    save_prior(run, mixture, found["train"].mean)
    done(1)
    unconditional, figures = _unconditional(model, mixture, found, seed, stage)
    if not isinstance(model, ACN):
        return figures | dict.fromkeys(NEIGHBOUR_COSTS)
    return figures | _neighbour_costs(model, found["test"], unconditional, stage)


def _unconditional(
    model: Model, mixture: GaussianPrior, found: dict[str, Posterior], seed: int, stage: Stage
) -> tuple[Tensor, Figures]:
    """KL of every test image to the best of the unconditional priors `[N]`, and the means of all."""
    # The networks may be on a GPU; codes and the sum over anchors are on the CPU.
    densities: dict[str, LogProb] = {"mixture": mixture.log_prob}
    if isinstance(model, ACN):
        associative = associative_log_prob(lambda context: priors_given(model, context), found["train"].mean)
        densities["associative"] = associative
    if isinstance(model, UnconditionalModel):
        densities["own"] = model.prior().cpu().log_prob
    done = stage("unconditional priors", len(densities))
    figures: Figures = {**dict.fromkeys(UNCONDITIONAL)}
    paid: list[Tensor] = []
    for name, density in densities.items():
        kl, error = expected_log_prob_kl(density, found["test"], samples=UNCONDITIONAL_SAMPLES, seed=seed)
        figures[f"kl_unconditional_{name}"] = _mean(kl)
        figures[f"kl_unconditional_{name}_standard_error"] = error
        paid.append(kl)
        done(1)
    figures["mixture"] = {"components": mixture.components, "covariance": mixture.covariance}
    return min(paid, key=_mean), figures


def _neighbour_costs(model: ACN, posterior: Posterior, unconditional: Tensor, stage: Stage) -> Figures:
    """KL given the nearest codes, and along tours. In a split of K images or fewer, all others are neighbours."""
    prior = neighbour_prior(model, posterior)
    codes = posterior.mean
    count = len(codes)
    if count == 1:  # one image has no neighbour: the tour is the list
        alone = _mean(unconditional)
        return {**{f"kl_k{k}": None for k in NEIGHBOURS}, "kl_tour_greedy": alone, "kl_tour_improved": alone}
    near = nearest(codes, codes, min(max(*NEIGHBOURS, TOUR_CANDIDATES), count - 1), exclude=torch.arange(count))
    reported = near[:, : max(NEIGHBOURS)]
    table = neighbour_kl(prior, reported, stage("nearest neighbours", reported.shape[1]))
    figures: Figures = {f"kl_k{k}": _mean(table[:, :k]) for k in NEIGHBOURS}
    done = stage("tours", 2)
    greedy = greedy_tour(codes)
    done(1)

    def search_costs(contexts: Tensor, targets: Tensor) -> Tensor:
        return prior.kl(contexts, targets, nodes=SEARCH_NODES)

    improved = improve_tour(greedy, search_costs, unconditional, near)
    done(1)
    paid = {name: _tour_kl(prior, tour, unconditional) for name, tour in (("greedy", greedy), ("improved", improved))}
    return figures | {"kl_tour_greedy": paid["greedy"], "kl_tour_improved": min(paid.values())}


def _tour_kl(prior: NeighbourPrior, tour: Tensor, unconditional: Tensor) -> float:
    """Mean KL along a tour; its first image has no neighbour and pays the unconditional KL."""
    edges = prior.kl(tour[:-1], tour[1:])
    return (float(edges.sum()) + float(unconditional[tour[0]])) / len(tour)


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _standard_error(values: Tensor) -> float | None:
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
