"""The card of a trained model: what it was trained on, how, what it costs, and how to use it, in Markdown."""

import json

from acn.evaluation.figures import PLACES, published
from acn.evaluation.table import Cells, cost_cells, notes, probe_cells, probe_note
from acn.families import code_size
from acn.record import Evaluation
from acn.runs import Run

USE = """```python
import acn

model = acn.load({folder})
{encode}model.score_samples(images)  # nats, a lower bound of the log-likelihood
model.sample(16)  # images are uint8 [N, {height}, {width}{channels}], values {values}
```"""
ENCODE = "codes = model.encode(images)  # float32 [N, {size}]\n"
UNSAID = "Not stated."
KEPT = "The images are not part of the model{codes}."
CODES = "; the codes of the training images are, in `prior.safetensors`"
ROUNDED = "These are figures of the weights in float32; the files here hold them rounded to float16."


def model_card(name: str, run: Run, evaluation: Evaluation, licence: str | None = None, *, half: bool = False) -> str:
    """Return the card.

    Args:
        name: of the model, or the folder in which it lies.
        run: trained and evaluated.
        evaluation: what was found of it.
        licence: of the weights, where the publisher states one.
        half: the weights were rounded to float16 after they were measured.
    """
    return "\n\n".join(
        [
            f"# {name}",
            _what(run, evaluation),
            "## Use",
            _use(name, run),
            "## Figures",
            _figures(evaluation) + (f"\n\n{ROUNDED}" if half else ""),
            "## Training",
            _training(evaluation),
            "## Licence",
            f"{f'The weights: {licence}.' if licence else UNSAID} {_kept(run)}\n",
        ]
    )


def _what(run: Run, evaluation: Evaluation) -> str:
    shape, data = run.shape, evaluation.data
    kind = f"{shape.height} x {shape.width} x {shape.channels}, {shape.levels} levels"
    settings = run.config.model
    code = f"a code of {size} numbers for each, " if (size := code_size(settings)) else ""
    return (
        f"A model (`{settings.name}`) of the images of `{run.config.data.stated}` ({kind}): {code}"
        f"{evaluation.parameters:,} weights. Trained on {evaluation.n_train:,} images, measured on "
        f"{evaluation.n_test:,} others. Fingerprint of the pixels: `{data['fingerprint']}`."
    )


def _use(name: str, run: Run) -> str:
    channels = "" if run.shape.channels == 1 else ", 3"
    palette = run.palette.tolist()
    values = f"{palette[0]} to {palette[-1]}" if len(palette) > 2 else f"{palette[0]} and {palette[1]}"
    settings = run.config.model
    return USE.format(
        folder=json.dumps(name),
        encode=ENCODE.format(size=size) if (size := code_size(settings)) else "",
        height=run.shape.height,
        width=run.shape.width,
        channels=channels,
        values=values,
    )


def _kept(run: Run) -> str:
    return KEPT.format(codes=CODES if run.config.model.conditional else "")


def _figures(evaluation: Evaluation) -> str:
    probes = probe_cells(evaluation)
    parts = [
        _table(cost_cells(evaluation)),
        *([] if probes is None else [_table(probes), probe_note(evaluation)]),
    ]
    for source in {figure.source for figure in published(evaluation).values()}:
        parts.append(f"Paper: {source} ({PLACES[source]}).")
    parts += notes(evaluation)
    return "Of the test split.\n\n" + "\n\n".join(parts)


def _training(evaluation: Evaluation) -> str:
    training, made, start = evaluation.training, evaluation.made, evaluation.training.get("start")
    after = "" if start is None else f", after the training of `{start['model']}`, commit `{start['commit']}`"
    return (
        f"{training['images_seen']:,} images seen in {training['seconds'] / 60:.1f} minutes ({training['steps']:,} "
        f"steps) on {made['device']}, seed {evaluation.seed}, commit `{training['commit']}`{after}; measured at commit "
        f"`{made['commit']}`, {made['date']}. All settings are in `config.json`."
    )


def _table(cells: Cells) -> str:
    head, *rows = cells
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
