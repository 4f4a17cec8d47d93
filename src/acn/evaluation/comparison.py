"""Runs side by side: where their settings differ, and what each of their figures is."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from acn.errors import RunError
from acn.evaluation.figures import FIGURES
from acn.parsing import described
from acn.record import Evaluation
from acn.runs import CHECKPOINT, CONFIG, EVALUATION, Run, open_run, read_figures, read_position

Cell = str | int | float | bool | list[object] | None
Row = dict[str, Cell]
SUMMARY = ("list", "nll", "tour", "codes")  # figures in a list of runs


def find_runs(folder: Path) -> tuple[dict[str, Run], list[RunError]]:
    """Runs in `folder` and the folders below it, by their paths in it, and what is wrong with those left out.

    Raises:
        RunError: `folder` is no folder, or holds no run.
    """
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}: name the one that holds your runs")
    found, damaged = {}, []
    for file in sorted(folder.rglob(CHECKPOINT)):
        if not (file.parent / CONFIG).exists():
            continue
        try:
            run = open_run(file.parent)
            summary(run)
            found[str(file.parent.relative_to(folder))] = run
        except RunError as error:
            damaged.append(error)
    if not found:
        raise (
            damaged[0]
            if damaged
            else RunError(f"{folder} holds no run: name another folder, or train a model by acn train")
        )
    return found, damaged


def summary(run: Run) -> Row:
    """A run in one row: its model and images, how far it is, and its main figures where it was evaluated."""
    reached = read_position(run)
    evaluation = _evaluation(run)
    row: Row = {
        "model": run.config.model.name,
        "images": Path(str(run.provenance.get("source", ""))).stem,
        "epochs": reached.epoch + reached.position / run.provenance["images"]["train"],
        "minutes": reached.seconds / 60,
    }
    return row | {key: FIGURES[key].of(evaluation) if evaluation else None for key in SUMMARY}


def differing(runs: Mapping[str, Run]) -> dict[str, Row]:
    """Settings that are not the same in all runs, by path: the value in each run; None where a run does not read it."""
    settings: dict[str, Row] = {
        name: {path: _plain(value) for path, value, _ in described(run.config)} for name, run in runs.items()
    }
    paths = dict.fromkeys(path for of_run in settings.values() for path in of_run)
    rows = {path: {name: of_run.get(path) for name, of_run in settings.items()} for path in paths}
    return {path: row for path, row in rows.items() if any(value != next(iter(row.values())) for value in row.values())}


# What only some evaluations ask for: by key, how a row of it is called.
ON_REQUEST = {
    "nll_samples": "NLL, codes per image (K)",
    "refined_steps": "refined, steps",
    "refined_list": "list, refined",
    "refined_tour": "tour, refined",
}


def _on_request(evaluation: Evaluation) -> dict[str, float | None]:
    """Those of `ON_REQUEST` that an evaluation has."""
    found: dict[str, float | None] = {}
    if evaluation.importance is not None:
        found["nll_samples"] = evaluation.importance["samples"]
    if evaluation.refined is not None:
        values = evaluation.refined.values
        found |= {"refined_steps": evaluation.refined.steps}
        found |= {"refined_list": values["list"], "refined_tour": values.get("tour")}
    return found


def heading_of(key: str) -> str:
    """The name of a row of `side_by_side`."""
    if key in ON_REQUEST:
        return ON_REQUEST[key]
    figure = FIGURES[key]
    return f"{figure.heading}, accuracy %" if figure.unit in ("%", "top5") else figure.heading


def side_by_side(runs: Mapping[str, Run]) -> dict[str, Row]:
    """Figures that one of the runs has, by key: the value in each run; None where it was not measured."""
    evaluations = {name: _evaluation(run) for name, run in runs.items()}
    found: dict[str, dict[str, float | None]] = {
        name: {key: figure.of(evaluation) for key, figure in FIGURES.items()} | _on_request(evaluation)
        if evaluation
        else {}
        for name, evaluation in evaluations.items()
    }
    rows: dict[str, Row] = {
        key: {name: figures.get(key) for name, figures in found.items()} for key in (*FIGURES, *ON_REQUEST)
    }
    return {key: row for key, row in rows.items() if any(value is not None for value in row.values())}


def _evaluation(run: Run) -> Evaluation | None:
    return read_figures(run) if (run.path / EVALUATION).exists() else None


def _plain(value: object) -> Cell:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return [_plain(item) for item in value] if isinstance(value, Iterable) else str(value)
