"""Figures of a training as it goes: a line of JSON and a TensorBoard event every few steps."""

import json
import math
from collections.abc import Callable

from acn.files import refusals, write_text_atomically
from acn.parsing import described
from acn.runs import EVENTS, METRICS, Run, check_there, read_metrics
from acn.training.events import Events
from acn.training.state import TrainingState
from acn.training.step import Rates, StepReport, read

Row = dict[str, float]
LOG_STEPS = 20
# Of a row: what TensorBoard shows beside the settings.
COMPARED = ("total", "reconstruction", "kl")


class Metrics:
    """Averages the figures of `LOG_STEPS` steps into a row, and writes it.

    Keys of a row: `step`, `epoch`, `images` (visited so far), `seconds`, `reconstruction`, `kl`, `total` (nats per
    image), `code_std` (mean over dimensions of the standard deviation of the memory's codes, or of a batch's where the
    memory keeps none, or every rank a part), `staleness`, `gradient_norm`, `learning_rate`, `kl_weight`,
    `images_per_second`, `search_share` (of the step time); with soft free bits also `gamma`, the weight of the KL that
    they have come to; where an inverted file was made anew also `recall`, the share of the K nearest that it found
    until then.

    Args:
        run: where the rows go. Rows of an earlier sitting that lie beyond `step` are dropped: their steps will be taken
            again.
        step: at which this sitting starts.
        watch: called with the state after every step, and with a row where one is complete.

    Raises:
        StorageError: the files cannot be written.
    """

    def __init__(self, run: Run, step: int, watch: Callable[[TrainingState, Row | None], None]) -> None:
        self.run, self.path = run, run.path / METRICS
        self.watch = watch
        self._unread: list[tuple[StepReport, int, float]] = []
        if self.path.exists():
            kept = [row for row in read_metrics(run) if row["step"] <= step]
            write_text_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        with refusals(self.path):
            self._events = Events(run.path / EVENTS, step)
            if not step:
                self._events.settings(_settings(run), COMPARED)

    def record(self, state: TrainingState, report: StepReport, now: Rates, images: int, seconds: float) -> None:
        """Take in the figures of one step that visited `images` images in `seconds`; read them when a row is complete.

        Raises:
            TrainingError: a step since the last row met figures that are not finite; see `acn.training.step.read`.
        """
        self._unread.append((report, images, seconds))
        row = self._row(state, now) if state.step % LOG_STEPS == 0 else None
        self.watch(state, row)
        if row is not None:
            self._write(row)

    def check(self, state: TrainingState) -> None:
        """Read the figures of the steps since the last time, and note them in `state.pending`.

        Raises:
            TrainingError: see `record`. What is saved after a check is sound.
        """
        figures = read([report for report, _, _ in self._unread])
        for found, (report, images, seconds) in zip(figures, self._unread, strict=True):
            state.pending.append(
                {
                    "reconstruction": found.reconstruction,
                    "kl": found.kl,
                    "staleness": found.staleness,
                    "gradient_norm": found.gradient_norm,
                    "spread": found.spread,
                    "search_seconds": report.search_seconds,
                    "recall": report.recall,
                    "images": images,
                    "seconds": seconds,
                }
            )
        self._unread.clear()

    def finish(self, state: TrainingState, now: Rates) -> None:
        """Write the only row of a training that ends before one is complete, of the steps it had.

        Raises:
            StorageError: it cannot be written.
        """
        if state.pending and not self.path.exists():
            self._write(self._row(state, now))

    def flush(self, state: TrainingState) -> None:
        """Write out the events. Steps short of a full row wait in `state.pending` for the next sitting.

        Raises:
            StorageError: they cannot be written.
        """
        self.watch(state, None)
        with refusals(self.path):
            self._events.flush()

    def close(self) -> None:
        """Let go of the files, also after a failure."""
        self._events.close()

    def _row(self, state: TrainingState, now: Rates) -> Row:
        self.check(state)
        steps = {key: [step[key] for step in state.pending] for key in state.pending[0]}
        seconds = sum(steps["seconds"])
        state.pending.clear()
        reconstruction, kl = _mean(steps["reconstruction"]), _mean(steps["kl"])
        spread, recall = state.memory.spread(), _known_mean(steps["recall"])
        return {
            "step": state.step,
            "epoch": state.epoch + state.position / len(state.memory),
            "images": state.epoch * len(state.memory) + state.position,
            "seconds": round(state.seconds, 2),
            "reconstruction": reconstruction,
            "kl": kl,
            "total": reconstruction + kl,
            "code_std": _known_mean(steps["spread"]) if math.isnan(spread) else spread,
            "staleness": _known_mean(steps["staleness"]),
            "gradient_norm": _mean(steps["gradient_norm"]),
            "learning_rate": now.learning_rate,
            "kl_weight": now.kl_weight,
            **({"gamma": float(state.free_weight)} if self.run.config.training.soft_free_bits else {}),
            "images_per_second": sum(steps["images"]) / seconds,
            "search_share": sum(steps["search_seconds"]) / seconds,
            **({} if math.isnan(recall) else {"recall": recall}),
        }

    def _write(self, row: Row) -> None:
        check_there(self.run)
        curves = {key: value for key, value in row.items() if key not in ("step", "images") and math.isfinite(value)}
        with refusals(self.path):
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({key: _finite(value) for key, value in row.items()}) + "\n")
            self._events.scalars(curves, int(row["step"]))


class Unwritten(Metrics):
    """Leaves the figures, and what may be wrong with them, to rank 0."""

    def __init__(self) -> None:
        """Write nothing, anywhere."""

    def record(self, state: TrainingState, report: StepReport, now: Rates, images: int, seconds: float) -> None:
        """See `Metrics`."""

    def check(self, state: TrainingState) -> None:
        """See `Metrics`."""

    def finish(self, state: TrainingState, now: Rates) -> None:
        """See `Metrics`."""

    def flush(self, state: TrainingState) -> None:
        """See `Metrics`."""

    def close(self) -> None:
        """See `Metrics`."""


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _known_mean(values: list[float]) -> float:
    """The mean of those that are numbers."""
    return _mean([value for value in values if not math.isnan(value)])


def _settings(run: Run) -> dict[str, float | str]:
    return {path: _plain(value) for path, value, _ in described(run.config) if value is not None}


def _plain(value: object) -> float | str:
    """A setting as TensorBoard takes it."""
    if isinstance(value, str | int | float):
        return value
    return json.dumps(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
