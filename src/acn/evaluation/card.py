"""The card of a trained model: what it was trained on, how, what it costs, and how to use it, in Markdown."""

import json
from typing import Any

from acn.evaluation.table import Cells, cost_cells, definitions_note, paper_figures, probe_cells
from acn.families import code_size
from acn.runs import Run

USE = """```python
import acn

model = acn.load({folder})
{encode}model.score_samples(images)  # nats, a lower bound of the log-likelihood
model.sample(16)  # images are uint8 [N, {height}, {width}{channels}], values {values}
```"""
ENCODE = "codes = model.encode(images)  # float32 [N, {size}]\n"
UNSAID = "Not stated."
KEPT = "The images are not part of the model; the codes of the training images are, in `prior.safetensors`."


def model_card(name: str, run: Run, figures: dict[str, Any], licence: str | None = None) -> str:
    """Return the card.

    Args:
        name: of the model, or the folder in which it lies.
        run: trained and evaluated.
        figures: what `acn.evaluation.evaluate.evaluate` returned for it.
        licence: of the weights, where the publisher states one.
    """
    return "\n\n".join(
        [
            f"# {name}",
            _what(run, figures),
            "## Use",
            _use(name, run),
            "## Figures",
            _figures(figures),
            "## Training",
            _training(figures),
            "## Licence",
            f"{f'The weights: {licence}.' if licence else UNSAID} {KEPT}\n",
        ]
    )


def _what(run: Run, figures: dict[str, Any]) -> str:
    shape, data = run.shape, figures["data"]
    kind = f"{shape.height} x {shape.width} x {shape.channels}, {shape.levels} levels"
    settings = run.config.model
    code = f"a code of {size} numbers for each, " if (size := code_size(settings)) else ""
    return (
        f"A model (`{settings.name}`) of the images of `{data['source']}` ({kind}): {code}"
        f"{figures['parameters']:,} weights. Trained on {figures['n_train']:,} images, measured on "
        f"{figures['n_test']:,} others. Fingerprint of the pixels: `{data['fingerprint']}`."
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


def _figures(figures: dict[str, Any]) -> str:
    probes = probe_cells(figures)
    parts = [_table(cost_cells(figures)), *([] if probes is None else [_table(probes)])]
    if paper_figures(figures):
        parts.append("Paper: Graves, Menick and van den Oord 2018 (arXiv 1804.02476), Tables 1 to 3.")
    if note := definitions_note(figures):
        parts.append(note)
    return "Of the test split.\n\n" + "\n\n".join(parts)


def _training(figures: dict[str, Any]) -> str:
    training = figures["training"]
    return (
        f"{training['images_seen']:,} images seen in {training['seconds'] / 60:.1f} minutes ({training['steps']:,} "
        f"steps) on {figures['device']}, seed {figures['seed']}, commit `{training['commit']}`; measured at commit "
        f"`{figures['commit']}`, {figures['date']}. All settings are in `config.json`."
    )


def _table(cells: Cells) -> str:
    head, *rows = cells
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
