"""Tables of Chen et al. 2017, measured here and, on their images, beside their figures. Numbers are of these pages."""

from acn.evaluation.figures import CHEN
from acn.networks.centred import pixels_seen
from acn.reproduction.chen import ABLATION, LIKELIHOODS
from acn.reproduction.documents import Cell, Column, Document, Row, columns
from acn.reproduction.plan import VARIANTS
from acn.reproduction.summary import PageInputs, local_decoder

SHOWN = ("nll", "nll_error", "bound", "own_elbo", "reconstruction", "own_kl")
COMPARED = (*SHOWN, "images", "seconds")
PAPERS = (Column("paper_nll", "NLL (published)"), Column("paper_kl", "KL (published)"))
TEXT = "Nats per image of the test split. NLL is the negative log-likelihood; -ELBO, its bound, is reconstruction + KL."


# What is published of a study, where that is not the NLL in nats; `list` is -ELBO.
IN_BITS = {"cifar10": ("nll_bits", "list_bits", *SHOWN)}


def likelihoods(name: str, inputs: PageInputs) -> Document:
    """Lay out what an image costs, below the published likelihoods."""
    group = inputs.results[0].training.group
    shown = IN_BITS.get(group, SHOWN)
    published = LIKELIHOODS[group] if inputs.papers else {}
    rows = [Row(text, {shown[0]: cell}, f"published: {cell.source}") for text, cell in published.items()]
    return Document(
        name,
        f"VLAE, Table {name[-1]}: likelihood of {inputs.collection.name}, test split",
        TEXT,
        inputs.found,
        columns=columns(shown),
        rows=(*rows, *(Row(VARIANTS[v].text, dict(inputs.cells(v, shown))) for v in inputs.found)),
        notes=notes(inputs),
    )


def ablation(inputs: PageInputs) -> Document:
    """Lay out what the code and its prior are worth."""
    rows = []
    for variant in inputs.found:
        nll, kl = ABLATION[variant]
        papers: dict[str, Cell] = {"paper_nll": nll, "paper_kl": kl} if inputs.papers else {}
        rows.append(Row(VARIANTS[variant].text, {**inputs.cells(variant, COMPARED), **papers}))
    return Document(
        "vlae-ablation",
        f"VLAE, what the code and its prior are worth: {inputs.collection.name}",
        f"The local decoder without a code, and with one under the prior N(0, I) or a flow. {TEXT}",
        inputs.found,
        columns=(*columns(COMPARED), *PAPERS),
        rows=tuple(rows),
        notes=notes(inputs),
    )


def notes(inputs: PageInputs, *, published: bool = True) -> tuple[str, ...]:
    """What is to be said of the published figures, if the page has any, and of what our decoders see."""
    study, seen = inputs.results[0].training.study, beyond_windows(inputs)
    if not published:
        return (inputs.difference, *seen)
    if not inputs.papers:
        return (
            f"Not comparable with published figures, which are of {study.published.title}: the images are others, or "
            "are not binarized in the same way.",
            *seen,
        )
    return (f"Published figures are as {CHEN} print them; none was measured here.", inputs.difference, *seen)


def beyond_windows(inputs: PageInputs) -> tuple[str, ...]:
    """Say how many pixels the decoders see that see more than their windows."""
    decoders = [local_decoder(results[0]) for results in inputs.found.values()]
    parts = [
        f"{pixels_seen(decoder)} pixels with the window {decoder.window}, where the paper's sees "
        f"{pixels_seen(decoder.model_copy(update={'errors': 0}))}"
        for decoder in decoders
        if decoder is not None and decoder.sees_errors and decoder.errors
    ]
    if not parts:
        return ()
    return (
        "Beside the window our decoders see how far the nearest pixels were off what least squares expect, and so "
        f"pixels around it: {'; '.join(parts)}.",
    )
