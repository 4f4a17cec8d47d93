"""The evaluation of a run: every figure of the test split, once, with averaged weights."""

import time
from dataclasses import replace

import torch
from torch import Tensor

from acn.data import Collection, Images, spread
from acn.distributions import GaussianPosterior, Posterior
from acn.errors import RunError
from acn.evaluation.autoregressive import CHECKS, fit_autoregressive, is_worth_fitting
from acn.evaluation.costs import neighbour_kl, posteriors, reconstruction
from acn.evaluation.figures import UNCONDITIONAL
from acn.evaluation.importance import Sampling, check_sampled
from acn.evaluation.mixture import fit_mixture
from acn.evaluation.plots import plot_codes
from acn.evaluation.probe import linear_probes
from acn.evaluation.recording import Values, check_finite, likelihood, mean, mean_and_error, recorded
from acn.evaluation.refining import Refinement, check_refined
from acn.evaluation.unconditional import expected_kl
from acn.families import PriorName
from acn.memory import greedy_tour, improve_tour, nearest
from acn.models import Model, device_of
from acn.models.neighbours import SEARCH_NODES, NeighbourPrior, neighbour_prior
from acn.networks.autoregressive import Autoregressive
from acn.progress import Advance, Stage, unwatched
from acn.ranks import ONE, Ranks
from acn.record import Evaluation, Refined
from acn.run_models import StoredPriors, load_model, load_priors, save_priors
from acn.runs import CODES, Run, check_images, position_reached, write_figures
from acn.units import order_nats

NEIGHBOURS = (1, 5, 10)
TOUR_CANDIDATES = 32
UNCONDITIONAL_SAMPLES = 2
# Validation images by which the unconditional prior of a run is chosen.
CHOOSING = 2000


def evaluate(
    run: Run,
    collection: Collection,
    device: torch.device,
    stage: Stage,
    sampling: Sampling | None = None,
    ranks: Ranks = ONE,
    steps: int = 0,
) -> Evaluation:
    """Compute all figures of a run, and write them and the picture of its codes to its folder.

    Args:
        run: a trained run.
        collection: its images.
        device: where the networks run.
        stage: called with a name and a length when a stage begins; what it returns is called with the progress.
        sampling: how the negative log-likelihood is sampled; None leaves it out.
        ranks: of which the others `assist`.
        steps: by which posteriors are refined, whose costs are then computed too; 0 leaves that out.

    Returns:
        Every figure that the model has (see `acn.evaluation.figures`).

    Raises:
        RunError: the images are not those that the run was trained on.
        UsageError: there is a `sampling`, and the model has no codes; or posteriors cannot be refined.
        TrainingError: a figure is not finite.
        StorageError: the disk refused.
    """
    begin = time.monotonic()
    check_images(run, collection)
    reached = position_reached(run)
    model = load_model(run).to(device)
    if sampling is not None:
        check_sampled(model)
    if steps:
        check_refined(model)
    seed = run.config.training.seed
    found = _codes(model, collection, stage, ranks)
    test = collection.test
    priors = _priors(run, model, found, stage) if model.code_size else None
    values = costs(model, priors, test, found["test"], seed, stage, ranks)
    importance = refined = None
    if sampling is not None and priors is not None:
        prior = priors.of(model)[priors.chosen]
        sampled, importance = likelihood(model, prior, test, found["test"], sampling, seed, stage)
        values |= sampled
    if steps and priors is not None:
        refined = _refined(run, model, priors, test, found["test"], steps, sampling, stage)
    check_finite(values)
    codes = {name: posterior.mean for name, posterior in found.items()}
    probes = linear_probes(run.config.model, collection, codes, seed, stage)
    if model.code_size:
        if len(test) > 1:
            values["code_std"] = float(codes["test"].std(0).mean())
        plot_codes(
            codes["test"],
            test.labels,
            test.label_names,
            run.path / CODES,
            title=f"{collection.name}: codes of the test split",
        )
    evaluation = recorded(
        run,
        collection,
        model,
        values,
        reached,
        device=device,
        seconds=time.monotonic() - begin,
        prior=priors.chosen if priors else None,
        priors=priors,
        probes=probes,
        importance=importance,
        refined=refined,
    )
    write_figures(run, evaluation)
    return evaluation


def assist(run: Run, collection: Collection, device: torch.device, ranks: Ranks) -> None:
    """Take this rank's share of the passes of `evaluate`, which rank 0 calls meanwhile with the same arguments."""
    model = load_model(run).to(device)
    found = _codes(model, collection, unwatched, ranks)
    seed = run.config.training.seed
    reconstruction(model, collection.test, found["test"], seed, unwatched("reconstruction", 0), ranks)


def _codes(model: Model, collection: Collection, stage: Stage, ranks: Ranks) -> dict[str, Posterior]:
    return {
        name: posteriors(model, split, stage(f"codes of {name}", len(split)), ranks)
        for name, split in collection.splits.items()
    }


def fit_priors(run: Run, model: Model, collection: Collection) -> None:
    """Fit the mixture prior of a trained run and keep it, for sampling and coding without a full evaluation.

    An autoregressive prior takes longer: it is left to `evaluate`, and kept if there is one of these codes.
    """
    known, held_out = (posteriors(model, images, lambda _: None) for images in (collection.train, collection.valid))
    save_priors(run, _fitted(run, model, known, held_out, _kept(run, known)))


def _fitted(
    run: Run, model: Model, train: Posterior, valid: Posterior, autoregressive: Autoregressive | None
) -> StoredPriors:
    """The mixture, beside what else is there, and the choice of the prior that costs the validation images least."""
    seed = run.config.training.seed
    mixture = fit_mixture(train, valid, seed=seed)
    priors = StoredPriors(mixture, train.mean, "mixture", autoregressive, _narrowest(train))
    rows = torch.from_numpy(spread(len(valid.mean), CHOOSING))
    some = valid.map(lambda tensor: tensor[rows])
    costs: dict[PriorName, float] = {}
    for name, prior in priors.of(model).items():
        costs[name] = mean(expected_kl(prior, some, samples=UNCONDITIONAL_SAMPLES, seed=seed)[0])
    return replace(priors, chosen=min(costs, key=lambda name: costs[name]))


def _narrowest(posterior: Posterior) -> float | None:
    """Mean width of Gaussian posteriors in the number where it is least."""
    return float(posterior.variance.sqrt().mean(0).min()) if isinstance(posterior, GaussianPosterior) else None


def _kept(run: Run, train: Posterior) -> Autoregressive | None:
    """The autoregressive prior that an earlier evaluation fitted to the same codes, None where there is none."""
    try:
        kept = load_priors(run)
    except RunError:  # not evaluated yet, or a damaged file, which is written again
        return None
    return kept.autoregressive if torch.equal(kept.codes, train.mean) else None


def costs(
    model: Model,
    priors: StoredPriors | None,
    images: Images,
    posterior: Posterior,
    seed: int,
    stage: Stage,
    ranks: Ranks = ONE,
) -> Values:
    """Every cost of images that the model has, in nats per image: the figures by key (see `acn.evaluation.figures`).

    Args:
        model: its networks.
        priors: the unconditional ones of its run; None for a model without codes.
        images: N images as the model knows them.
        posterior: of each, `[N, D]`.
        seed: of all draws.
        stage: see `evaluate`.
        ranks: see `evaluate`.
    """
    values = mean_and_error(
        "reconstruction", reconstruction(model, images, posterior, seed, stage("reconstruction", len(images)), ranks)
    )
    if priors is not None:
        unconditional, kls = _unconditional(model, priors, posterior, seed, stage)
        values |= kls
        if model.conditional:
            values |= _neighbour_costs(model, posterior, unconditional, stage)
    return values | totals(values, len(images), priors.chosen if priors else None)


def totals(values: Values, images: int, prior: str | None) -> Values:
    """The total code length, and how much of it is the order, in nats per image (docs/method.md).

    `list` keeps the order; `set` forgets it, which any model may do; `tour` uses the order for its neighbours and
    forgets it too; `tour_restored` sends it again beside the tour. Models without neighbours have no tour, those
    without codes no KL.

    Args:
        values: the reconstruction, and the KLs that there are.
        images: of the test split.
        prior: the unconditional prior that the run chose, None for a model without codes.
    """
    kl = values[f"{UNCONDITIONAL}{prior}"] if prior else 0.0
    listed = values["reconstruction"] + kl
    order = order_nats(images)
    found = {"list": listed, "set": listed - order, "order_nats": order}
    if "kl_tour_improved" in values:
        tour = values["reconstruction"] + values["kl_tour_improved"]
        found |= {"tour": tour, "tour_restored": tour + order}
    return found


def _priors(run: Run, model: Model, found: dict[str, Posterior], stage: Stage) -> StoredPriors:
    """The unconditional priors, fitted to the codes of the training images and kept in the run's folder."""
    train, valid = found["train"], found["valid"]
    autoregressive = _kept(run, train)
    if autoregressive is None and is_worth_fitting(train):
        progress = stage("autoregressive prior", CHECKS)
        autoregressive = fit_autoregressive(
            train, valid, seed=run.config.training.seed, device=device_of(model), progress=progress
        )
    done = stage("mixture prior", 1)
    priors = _fitted(run, model, train, valid, autoregressive)
    save_priors(run, priors)
    done(1)
    return priors


def _refined(
    run: Run,
    model: Model,
    priors: StoredPriors,
    test: Images,
    posterior: Posterior,
    steps: int,
    sampling: Sampling | None,
    stage: Stage,
) -> Refined:
    """What the test split costs by refined posteriors."""
    seed, name = run.config.training.seed, refined_under(priors)
    progress = stage("refined posteriors", steps * len(test))
    better = refined_posteriors(run, model, priors, test, posterior, steps, progress)
    moved = mean((better.mean - posterior.mean).norm(dim=-1))
    values = costs(model, priors, test, better, seed, stage)
    if sampling is not None:
        sampled, how = likelihood(model, priors.of(model)[priors.chosen], test, better, sampling, seed, stage)
        values |= sampled | {"negative_elbo": how["negative_elbo"]}
    return Refined(steps, name, moved, values)


def refined_under(priors: StoredPriors) -> PriorName:
    """The unconditional prior under which posteriors are refined: that of `list`, where its density has a gradient.

    The associative prior, a sum over thousands of codes, makes way for the autoregressive one, or for the mixture where
    there is none: any q bounds the likelihood.
    """
    if priors.chosen != "associative":
        return priors.chosen
    return "mixture" if priors.autoregressive is None else "autoregressive"


def refined_posteriors(
    run: Run,
    model: Model,
    priors: StoredPriors,
    images: Images,
    posterior: Posterior,
    steps: int,
    progress: Advance,
) -> Posterior:
    """Return the posteriors `[N, D]` of `images` refined in so many `steps`; see `acn.evaluation.refining`."""
    training = run.config.training
    prior = priors.of(model)[refined_under(priors)]
    return Refinement(model, prior, steps, training.seed, training.precision).of(images, posterior, progress)


def _unconditional(
    model: Model, priors: StoredPriors, test: Posterior, seed: int, stage: Stage
) -> tuple[Tensor, Values]:
    """KL of every test image to the unconditional prior of the run `[N]`, and the means of all."""
    densities = priors.of(model)
    done = stage("unconditional priors", len(densities))
    values: Values = {}
    costs: dict[PriorName, Tensor] = {}
    for name, density in densities.items():
        costs[name], error = expected_kl(density, test, samples=UNCONDITIONAL_SAMPLES, seed=seed)
        values[f"{UNCONDITIONAL}{name}"] = mean(costs[name])
        values[f"{UNCONDITIONAL}{name}_standard_error"] = error
        done(1)
    return costs[priors.chosen], values


def _neighbour_costs(model: Model, posterior: Posterior, unconditional: Tensor, stage: Stage) -> Values:
    """KL given the nearest codes, and along tours. In a split of K images or fewer, all others are neighbours."""
    prior = neighbour_prior(model, posterior)
    codes = prior.posterior.mean  # on the device of the model, where they are searched
    count = len(codes)
    if count == 1:  # one image has no neighbour: the tour is the list
        alone = mean(unconditional)
        return {"kl_tour_greedy": alone, "kl_tour_improved": alone}
    near = nearest(
        codes,
        codes,
        min(max(*NEIGHBOURS, TOUR_CANDIDATES), count - 1),
        exclude=torch.arange(count, device=codes.device),
    )
    reported = near[:, : max(NEIGHBOURS)]
    table = neighbour_kl(prior, reported, stage("nearest neighbours", reported.shape[1]))
    values = {f"kl_k{k}": mean(table[:, :k]) for k in NEIGHBOURS}
    done = stage("tours", 2)
    greedy = greedy_tour(codes)
    done(1)

    def search_costs(contexts: Tensor, targets: Tensor) -> Tensor:
        return prior.kl(contexts, targets, nodes=SEARCH_NODES)

    improved = improve_tour(greedy, search_costs, unconditional, near)
    done(1)
    kls = {name: _tour_kl(prior, tour, unconditional) for name, tour in (("greedy", greedy), ("improved", improved))}
    return values | {"kl_tour_greedy": kls["greedy"], "kl_tour_improved": min(kls.values())}


def _tour_kl(prior: NeighbourPrior, tour: Tensor, unconditional: Tensor) -> float:
    """Mean KL along a tour; its first image has no neighbour and costs the unconditional KL."""
    edges = prior.kl(tour[:-1], tour[1:])
    return (float(edges.sum()) + float(unconditional[int(tour[0])])) / len(tour)
