import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from acn.config import Config, DataSettings, PixelVAESettings, VAESettings, VLAESettings
from acn.data import open_collection
from acn.data.published.static_mnist import STATIC_MNIST
from acn.evaluation.figures import PUBLISHED, UNCONDITIONAL, figures, published
from acn.evaluation.table import (
    code_note,
    cost_cells,
    cost_table,
    definitions_note,
    importance_note,
    notes,
    prior_note,
    probe_table,
    refined_note,
)
from acn.parsing import override
from acn.provenance import FACTS
from acn.record import Evaluation, Refined

COSTS = {figure.key for figure in figures("nats")}


def evaluation(**changes: Any) -> Evaluation:  # noqa: ANN401
    """A record that has every figure; `changes` are of the JSON, where None stands for an absent figure."""
    tree = {
        "data": {"source": "<my images>", "fingerprint": "other"},
        "n_train": 5,
        "n_test": 10_000,
        "bits_per_dimension": dict.fromkeys(COSTS, 0.125),
        "linear_probe": {"codes": 98.76, "pixels": 90.0, "pca": 80.0, "random_encoder": 70.0},
        **dict.fromkeys(COSTS, 12.345),
        "training": {"steps": 10, "images_seen": 100, "seconds": 60.0, "commit": None},
        "parameters": 10,
        "config": Config().model_dump(mode="json"),
        "seconds": 1.0,
        "seed": 0,
        **dict.fromkeys(FACTS, "x"),
    }
    return Evaluation.from_json(tree | changes)


def on_mnist(**changes: Any) -> Evaluation:  # noqa: ANN401
    return evaluation(data={"source": "mnist_static.npz", "fingerprint": STATIC_MNIST}, **changes)


def printed(table: object) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_a_table_of_few_images_says_how_many_neighbours_they_have() -> None:
    for images, said in ((11, None), (10, "has 9 neighbours: a larger K is of as"), (2, "has 1 neighbour: a larg")):
        text = " ".join(printed(cost_table(evaluation(n_test=images))).split())
        assert ("a larger K" in text) == (said is not None)
        assert said is None or said in text
    assert "a larger K" not in printed(cost_table(evaluation(n_test=5, kl_k10=None)))


def test_every_cost_has_a_row() -> None:
    text = printed(cost_table(evaluation()))
    assert all(figure.text in text for figure in figures("nats"))
    assert text.count("12.3") == len(COSTS) == 16
    assert "paper" not in text


def test_the_papers_figures_stand_only_beside_the_papers_data() -> None:
    text = printed(cost_table(on_mnist())) + printed(probe_table(on_mnist()))
    papers = [figure.value for figure in PUBLISHED["acn"].values()]
    assert papers == [70.3, 2.6, 3.5, 4.1, 3.6, 10.6, 80.9, 73.9, 98.5, 89.4, 82.8]
    for value in papers:
        assert f"{value:.1f}" in text
    assert "≤ 73.9" in text


def test_a_familys_figures_stand_beside_those_of_its_own_paper() -> None:
    """A VLAE has no neighbours: its table has no rows of them, and no figure of an ACN."""
    config = Config(model=VLAESettings()).model_dump(mode="json")
    absent = dict.fromkeys((key for key in COSTS if "tour" in key or key.startswith("kl_k")), None)
    text = printed(cost_table(on_mnist(config=config, **absent)))
    assert {"13.3", "79.03"} <= set(text.split())
    assert not {"70.3", "80.9", "10.6"} & set(text.split())
    assert "tour" not in text
    assert "K = 1" not in text
    assert "paper" not in printed(probe_table(on_mnist(config=config)))
    other = Config(model=VAESettings()).model_dump(mode="json")
    assert "paper" not in printed(cost_table(on_mnist(config=other)))


IAF = ("model.prior=normal", "model.posterior=iaf")


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (["model.decoder.window=13x5", "model.flow.hidden=8"], {"13.3", "79.03"}),
        (["model.decoder.window=0x0"], {"25.9", "79.30"}),
        ([*IAF], {"79.88"}),
        ([*IAF, "model.decoder.window=0x0"], set()),
        (["model.prior=normal"], set()),
        (["model.posterior=iaf"], set()),
        (["model.flow.affine=true"], set()),
        (["model.decoder.kind=gated"], set()),
        (["model.code=spatial", "model.code_size=98"], set()),
        (["model.name=acn", "model.prior=width"], set()),
        (["model.name=acn", "model.posterior=learned"], set()),
    ],
)
def test_a_published_figure_stands_beside_the_model_that_it_is_of(settings: list[str], shown: set[str]) -> None:
    config = override(Config(model=VLAESettings()), settings).model_dump(mode="json")
    assert {str(figure) for figure in published(on_mnist(config=config)).values()} == shown


def test_totals_by_the_papers_definitions_stand_below_its_figures() -> None:
    own = {"reconstruction": 70.0, "kl_unconditional_mixture": 11.0, "kl_tour_greedy": 5.5}
    assert "81.00 and 75.50" in printed(cost_table(on_mnist(**own)))
    assert definitions_note(evaluation(**own)) is None
    assert definitions_note(on_mnist(**own | {"kl_tour_greedy": None})) is None


PAID = {"reconstruction": 70.0, "kl_unconditional_mixture": 10.8, "kl_unconditional_autoregressive": 10.5}


def test_the_prior_that_the_list_pays_is_named_beside_that_of_archives() -> None:
    known = evaluation(**PAID, prior="autoregressive")
    assert prior_note(known) == (
        "list uses the autoregressive prior, the unconditional prior with the lowest cost on validation images; "
        "archives are coded under the Gaussian mixture: 80.80."
    )
    assert "80.80" in printed(cost_table(known))
    assert notes(known) == [prior_note(known), code_note(known)]
    alone = "list uses the Gaussian mixture, the unconditional prior with the lowest cost on validation images."
    assert prior_note(evaluation(**PAID, prior="mixture")) == alone
    pixelvae = Config(model=PixelVAESettings()).model_dump(mode="json")
    without_archives = prior_note(evaluation(**PAID, prior="own", config=pixelvae, kl_tour_greedy=None))
    assert without_archives == (
        "list uses the model's own prior, the unconditional prior with the lowest cost on validation images."
    )
    assert prior_note(evaluation(**PAID)) is None


def test_archives_of_a_vlae_are_coded_under_its_own_prior() -> None:
    found = PAID | {"kl_unconditional_own": 10.25, "kl_tour_greedy": None}
    for settings, said in (
        ([], "; archives are coded under the model's own prior: 80.25."),
        (["model.posterior=iaf"], "lowest cost on validation images."),  # has no archives
    ):
        config = override(Config(model=VLAESettings()), settings).model_dump(mode="json")
        note = prior_note(evaluation(**found, prior="mixture", config=config))
        assert note is not None
        assert note.endswith(said)
        own = prior_note(evaluation(**found, prior="own", config=config))
        assert (
            own == "list uses the model's own prior, the unconditional prior with the lowest cost on validation images."
        )


SAMPLED = {"importance": {"samples": 512, "images": 1000, "negative_elbo": 80.125}, "nll": 78.5}


def test_the_negative_log_likelihood_stands_beside_the_list() -> None:
    lines = printed(cost_table(evaluation(**SAMPLED))).splitlines()
    place = next(number for number, line in enumerate(lines) if "list: order kept" in line)
    assert "negative log-likelihood" in lines[place + 1]
    assert "78.50" in lines[place + 1]
    assert "likelihood" not in printed(cost_table(evaluation(nll=None)))


def test_how_it_was_sampled_is_said() -> None:
    assert importance_note(evaluation(**SAMPLED, nll_standard_error=0.8765)) == (
        "Importance sampling, K = 512, 1,000 images of the test split: negative log-likelihood 78.50 nats (standard "
        "error 0.88), negative ELBO of the same draws 80.12 nats."
    )
    alone = evaluation(**SAMPLED | {"importance": {"samples": 1, "images": 1, "negative_elbo": 78.5}})
    assert importance_note(alone) == (
        "Importance sampling, K = 1, 1 image of the test split: negative log-likelihood 78.50 nats, negative ELBO of "
        "the same draws 78.50 nats."
    )
    assert importance_note(evaluation(nll=None)) is None
    config = Config(model=VLAESettings()).model_dump(mode="json")
    for prior, under, papers in (
        ("mixture", "the Gaussian mixture", " The paper's is under the model's own prior."),
        ("own", "the model's own prior", ""),
    ):
        assert importance_note(on_mnist(**SAMPLED, prior=prior, config=config)) == (
            f"Importance sampling, K = 512, 1,000 images of the test split: negative log-likelihood 78.50 nats under "
            f"{under}, negative ELBO of the same draws 80.12 nats.{papers}"
        )
    assert "paper" not in str(importance_note(evaluation(**SAMPLED, prior="mixture", config=config)))
    assert notes(evaluation(nll=None)) == [code_note(evaluation())]
    assert len(notes(on_mnist(**SAMPLED))) == 3


def test_refined_costs_stand_in_a_column_of_their_own_and_are_explained() -> None:
    values = {"reconstruction": 69.25, "list": 79.5}
    known = on_mnist(refined=Refined(8, "autoregressive", 1.234, values).to_json())
    head, *rows = cost_cells(known)
    assert head == ["cost", "nats / image", "bits / dim", "refined, nats", "paper, nats"]
    found = {row[0]: row[3] for row in rows}
    assert (found["reconstruction"], found["list: order kept"], found["KL, K = 5"]) == ("69.25", "79.50", "–")
    assert {len(row) for row in rows} == {5}
    said = refined_note(known)
    assert said is not None
    assert (
        "by 8 steps down the gradient of that image's own cost (the autoregressive prior), a distance of 1.23" in said
    )
    assert "importance" not in said
    sampled = Refined(8, "mixture", 1.234, values | {"nll": 78.0, "negative_elbo": 79.25}).to_json()
    assert "a negative ELBO of 79.25 nats." in str(refined_note(on_mnist(refined=sampled)))
    assert said in notes(known)
    assert refined_note(evaluation()) is None
    assert len(cost_cells(evaluation())[0]) == 3


def test_the_code_is_measured_in_nats_and_bits_under_the_prior_that_is_used() -> None:
    absent = dict.fromkeys(key for key in COSTS if key.startswith(UNCONDITIONAL))
    kls = absent | {"kl_unconditional_own": 13.3, "kl_unconditional_mixture": 9.0}
    taken = "The code takes {} of each image (KL, prior: {})."
    own = evaluation(**kls, prior="own")
    assert code_note(own) == taken.format("13.30 nats = 19.19 bits", "the model's own")
    mixture = evaluation(**kls, prior="mixture")
    assert code_note(mixture) == taken.format("9.00 nats = 12.98 bits", "Gaussian mixture")
    assert code_note(evaluation(**absent)) is None  # no code


@pytest.mark.parametrize(("kl", "unused"), [(0.1, False), (0.0999, True), (-0.001, True)])
def test_an_unused_code_is_named_and_what_to_do(kl: float, unused: bool) -> None:
    note = code_note(evaluation(kl_unconditional_own=kl, prior="own"))
    assert note is not None
    assert ("train with free bits (training.free_nats" in note) == unused
    assert "-0" not in note


@pytest.mark.parametrize("probes", [{}, dict.fromkeys(("codes", "pixels", "pca", "random_encoder"))])
def test_no_labels_no_probe_table(probes: dict[str, None]) -> None:
    assert probe_table(evaluation(linear_probe=probes)) is None


@pytest.mark.parametrize(("images", "said"), [(1000, "1.6"), (180, "3.7"), (1, "50"), (3, "29")])
def test_accuracies_say_how_sure_they_are(images: int, said: str) -> None:
    """By the widest standard deviation of a coin's tosses; that of accuracies found would be 0 where all are right."""
    assert f"at most {said} points" in printed(probe_table(evaluation(n_test=images)))
    assert "points" not in printed(probe_table(evaluation(n_test=1001)))


def test_costs_that_only_the_paper_has_are_dashes() -> None:
    assert "–" in printed(cost_table(on_mnist(kl_k1=None)))
    assert "(K = 1)" not in printed(cost_table(evaluation(kl_k1=None)))
    assert "–" not in printed(cost_table(evaluation(kl_unconditional_own=None)))  # which only some models could have


def test_static_mnist_is_recognized(data_folder: Path) -> None:
    collection = open_collection(DataSettings(source=str(data_folder / "mnist_static.npz")))
    assert collection.provenance["fingerprint"] == STATIC_MNIST
    assert {name: len(split) for name, split in collection.splits.items()} == {
        "train": 50_000,
        "valid": 10_000,
        "test": 10_000,
    }
