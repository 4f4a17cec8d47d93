"""One HTML file that says what a run is, what it costs, and what its codes know; it opens with no network."""

import base64
import html
import json
from pathlib import Path
from typing import Any

from acn.evaluation.table import Cells, cost_cells, notes, probe_cells, probe_note, search_note
from acn.record import Evaluation
from acn.runs import Run, read_metrics

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; image-rendering: pixelated; }
img.smooth { image-rendering: auto; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; font-size: 13px; }
"""
# File in the run folder, heading, what it shows, and whether it is a drawing and not enlarged pixels.
PICTURES = (
    ("curves.png", "Training", "Cost of the training images, in nats per image, and the spread of the codes.", True),
    ("codes.png", "Codes", "First two principal components of the codes of the test split.", True),
    ("samples.png", "Samples", "Codes from the unconditional prior, pixels from the decoder.", False),
    (
        "reconstructions.png",
        "Reconstructions",
        "Originals on the left; next to each, images drawn from the mean of its code.",
        False,
    ),
    ("neighbours.png", "Neighbours", "Next to each image, its nearest images: by code above, by pixels below.", False),
    ("interpolations.png", "Interpolations", "Images at evenly spaced codes between those of two images.", False),
    (
        "daydreams.gif",
        "Daydreams",
        "Encode an image, draw a code near its code, draw an image from that, and so on.",
        False,
    ),
    ("daydreams.png", "Daydreams, step by step", "One chain in each row, its start on the left.", False),
)


def html_report(run: Run, evaluation: Evaluation) -> str:
    """Return a page with everything in it: tables, the pictures that lie in the run folder, settings and provenance.

    Args:
        run: whose folder holds the pictures and the metrics of its training.
        evaluation: what was found.
    """
    probes = probe_cells(evaluation)
    title = html.escape(f"{evaluation.data['source']}: {run.config.model.label}")
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>",
        f"<h1>{title}</h1><p>{html.escape(_summary(evaluation))}</p>",
        f"<h2>Costs of the test split</h2>{_table(cost_cells(evaluation))}",
        *(f"<p>{html.escape(note)}</p>" for note in (*notes(evaluation), search_note(read_metrics(run))) if note),
        "" if probes is None else f"<h2>Linear classification</h2>{_table(probes)}<p>{probe_note(evaluation)}</p>",
        *(_picture(run.path / file, heading, text, smooth) for file, heading, text, smooth in PICTURES),
        f"<h2>Settings</h2><pre>{html.escape(json.dumps(evaluation.config, indent=2))}</pre>",
        f"<h2>Provenance</h2><pre>{html.escape(json.dumps(_provenance(evaluation), indent=2))}</pre></html>\n",
    ]
    return "\n".join(parts)


def _summary(evaluation: Evaluation) -> str:
    training = evaluation.training
    return (
        f"{evaluation.n_train:,} training and {evaluation.n_test:,} test images; {evaluation.parameters:,} weights; "
        f"{training['images_seen']:,} images seen in {training['seconds'] / 60:.1f} minutes."
    )


def _table(cells: Cells) -> str:
    head, *body = cells

    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + row(head, "th") + "".join(row(cells, "td") for cells in body) + "</table>"


def _picture(path: Path, heading: str, text: str, smooth: bool) -> str:
    if not path.exists():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    kind = " class='smooth'" if smooth else ""
    source = f"data:image/{path.suffix[1:]};base64,{data}"
    return f"<h2>{heading}</h2><p>{text}</p><img{kind} alt='{heading}' src='{source}'>"


def _provenance(evaluation: Evaluation) -> dict[str, Any]:
    own = {**evaluation.made, "seed": evaluation.seed, "seconds": evaluation.seconds}
    return {**own, "training": evaluation.training, "data": evaluation.data}
