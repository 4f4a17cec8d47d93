"""Figures of a training for TensorBoard, and what a full disk does to them."""

import struct
import threading
import time
from pathlib import Path

import pytest

from acn.errors import StorageError
from acn.training.events import Events
from acn.training.loop import train
from acn.training.metrics import LOG_STEPS, Metrics
from tests.training.conftest import Bench


def records(folder: Path) -> list:  # type: ignore[type-arg]  # of messages, which have no types
    """The events of all files in a folder, read by the format of TFRecord: length, its check, event, its check."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_curves_and_settings_are_there_as_soon_as_they_are_flushed(tmp_path: Path) -> None:
    events = Events(tmp_path / "events", 20)
    begun = time.time()
    events.settings({"training.batch": 16, "model.name": "acn"}, ("total",))
    events.scalars({"total": 1.5, "kl": 0.25}, 40)
    events.flush()
    first, started, *settings, total, kl = records(tmp_path / "events")
    assert first.file_version == "brain.Event:2"
    assert (started.step, started.session_log.status) == (20, 1)
    tags = [value.tag for event in settings for value in event.summary.value]
    assert tags == [f"_hparams_/{name}" for name in ("experiment", "session_start_info", "session_end_info")]
    for event, name, value in ((total, "total", 1.5), (kl, "kl", 0.25)):
        assert (event.step, event.summary.value[0].tag, event.summary.value[0].simple_value) == (40, name, value)
        assert abs(event.wall_time - begun) < 60
    events.close()


def test_points_do_not_wait_long_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events(tmp_path / "events", 0)
    events.flush()
    events.scalars({"total": 1.0}, 20)
    assert len(records(tmp_path / "events")) == 2
    monkeypatch.setattr("acn.training.events.FLUSH_SECONDS", 0.0)
    events.scalars({"total": 2.0}, 40)
    assert [event.step for event in records(tmp_path / "events")[2:]] == [20, 40]
    events.close()


@pytest.mark.parametrize("step", [LOG_STEPS, LOG_STEPS + 1])
def test_a_training_that_a_full_disk_ends_says_so_and_leaves_nothing_open(
    bench: Bench, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a line of the log, and at the last flush; no thread is left, whose traceback would come later."""
    run, state = bench.begin("run")
    metrics = Metrics(run, 0, lambda *_: None)
    written, threads = metrics._events._records, set(threading.enumerate())

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(written, "flush", full)
    monkeypatch.setattr("acn.training.events.FLUSH_SECONDS", 0.0 if step == LOG_STEPS else 60.0)
    with pytest.raises(StorageError, match=r"metrics.jsonl could not be written \(No space left on device\)"):
        train(run, state, bench.collection.train, "float32", metrics, lambda: state.step == LOG_STEPS + 1)
    assert state.step == step
    assert written._writer.closed
    assert set(threading.enumerate()) <= threads


def test_every_ending_of_a_training_closes_its_files(bench: Bench) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    for name, stop in (("first", lambda: True), ("second", interrupted)):
        run, state = bench.begin(name)
        metrics = Metrics(run, 0, lambda *_: None)
        try:
            train(run, state, bench.collection.train, "float32", metrics, stop)
        except KeyboardInterrupt:
            assert name == "second"
        assert metrics._events._records._writer.closed
