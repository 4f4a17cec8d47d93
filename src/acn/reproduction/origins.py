"""What stands behind the rows of a table: runs, code, hardware and time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from acn.reproduction.plan import BASES, VARIANTS
from acn.reproduction.summary import Found
from acn.reproduction.trainings import Result

HEAD = (
    "model",
    "seeds",
    "images seen",
    "parameters",
    "training, s",
    "trained on",
    "trained at",
    "evaluated on",
    "evaluated at",
)
SITUATION = ("date", "device", "cores", "threads", "commit", "uncommitted_changes", "acn", "torch", "python", "system")


def origin(result: Result) -> dict[str, Any]:
    """Describe one run as plain JSON; times are in seconds."""
    training, figures = result.training, result.figures
    return {
        "run": training.name,
        "model": VARIANTS[training.variant].text,
        "recipe": BASES[training.scale],
        "settings": list(VARIANTS[training.variant].settings),
        "seed": training.seed,
        **figures["training"],
        "parameters": figures["parameters"],
        "precision": result.run.config.training.precision,
        "trained": {key: result.run.made.get(key) for key in SITUATION},
        "evaluated": {"seconds": figures["seconds"], **{key: figures.get(key) for key in SITUATION}},
    }


def commit_of(situation: Mapping[str, Any]) -> str:
    """Say which code ran, from what `acn.provenance.provenance` returned."""
    if not situation["commit"]:
        return f"release {situation['acn']}"
    return (
        f"commit `{situation['commit'][:10]}`{' with uncommitted changes' if situation['uncommitted_changes'] else ''}"
    )


def origin_rows(found: Found) -> list[list[str]]:
    """Rows under `HEAD`, one for each variant; what differs between seeds is listed."""
    return [_row([origin(result) for result in results]) for results in found.values()]


def _row(origins: Sequence[dict[str, Any]]) -> list[str]:
    return [
        origins[0]["model"],
        ", ".join(str(one["seed"]) for one in origins),
        _distinct(f"{one['images_seen']:,}" for one in origins),
        _distinct(f"{one['parameters']:,}" for one in origins),
        ", ".join(f"{one['seconds']:,.0f}" for one in origins),
        _distinct(f"{_machine(one['trained'])}, {one['precision']}" for one in origins),
        _distinct(commit_of(one["trained"]) for one in origins),
        _distinct(f"{_machine(one['evaluated'])}" for one in origins),
        _distinct(commit_of(one["evaluated"]) for one in origins),
    ]


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _machine(situation: dict[str, Any]) -> str:
    threads = situation["threads"]
    return f"{situation['device']}, {threads} thread{'' if threads == 1 else 's'}, {str(situation['date'])[:10]}"
