"""Figures of a training as TensorBoard reads them, written by the thread that trains.

The writer that tensorboardX offers for this has a thread of its own, which a full disk ends with a traceback, while the
training goes on and learns of nothing.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

# What is written may stay in memory for so long.
FLUSH_SECONDS = 30.0


class Events:
    """A file of TensorBoard events in `folder`; see `acn.training.metrics.Metrics`.

    Args:
        folder: is made, and may hold the files of earlier sittings.
        step: TensorBoard hides their events of this step and after, which will be taken again.

    Raises:
        OSError: it cannot be written; so do all methods but `close`.
    """

    def __init__(self, folder: Path, step: int) -> None:
        # Slow to import, and only training needs it.
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard takes every file with this beginning, in the order of their names.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._records, self._flushed = RecordWriter(str(folder / name)), time.monotonic()
        self._add(file_version="brain.Event:2")
        self._add(step=step, session_log=SessionLog(status=SessionLog.START))

    def settings(self, settings: Mapping[str, float | str], compared: tuple[str, ...]) -> None:
        """Let the page HPARAMS compare trainings by their `settings` and by the figures `compared`."""
        from tensorboardX.summary import hparams

        for summary in hparams(dict(settings), dict.fromkeys(compared, 0.0)):
            self._add(summary=summary)

    def scalars(self, figures: Mapping[str, float], step: int) -> None:
        """Add a point to the curve of each of the `figures`."""
        from tensorboardX.summary import scalar

        for name, figure in figures.items():
            self._add(step=step, summary=scalar(name, figure))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write out what memory holds."""
        self._records.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Let go of the file. What could not be written is lost: `flush` is what says so."""
        with suppress(OSError):
            self._records.close()

    def _add(self, **fields: object) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())
