"""The server as a process, and browsers that go away."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from acn.data import Collection
from acn.errors import UsageError
from acn.models import ACN
from acn.runs import Run
from acn.web.atlas import Atlas
from acn.web.explorer import Explorer
from acn.web.guard import is_own
from acn.web.routes import build_api
from acn.web.server import address, listen
from acn.web.worker import MOST_WAITING, ModelWorker, QueueFullError
from tests.web.conftest import loads, make_run, served, write_images


def wait_until(ready: Callable[[], bool], seconds: float = 20) -> None:
    limit = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < limit
        time.sleep(0.02)


@contextmanager
def command(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "acn", "explore", *arguments, "--no-browser"],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the test's own server
        return str(answer.read().decode())


def test_from_start_to_ctrl_c(digits_run: tuple[Run, Collection], tmp_path: Path) -> None:
    with command(str(digits_run[0].path), "--port", "0", cwd=tmp_path) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert "acn explorer" in get(url)
        assert json.loads(get(f"{url}api/atlas").splitlines()[-1])["atlas"]["count"] == 1437
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert errors.splitlines() == ["Ctrl-C ends the explorer.", "The explorer has ended."]


def test_ctrl_c_ends_a_drawing_and_an_encoding_quietly(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30_000, 28, 28), dtype=np.uint8)
    run, _ = make_run(tmp_path / "run", f"data.source={write_images(tmp_path / 'many.npz', images)}", evaluated=False)
    for busy in ("api/atlas", "api/item/3/dream?steps=1000"):
        with command(str(run.path), "--port", "0", cwd=tmp_path) as process:
            assert process.stdout
            url = f"{process.stdout.readline().strip()}{busy}"
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the test's own server
                answer.readline()
                os.kill(process.pid, signal.SIGINT)
                _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert errors.splitlines() == ["Ctrl-C ends the explorer.", "The explorer has ended."]


def test_another_split_and_another_source(digits_run: tuple[Run, Collection], tmp_path: Path) -> None:
    for arguments, count in ((("--split", "test"), 180), (("digits",), 1797)):
        with command(str(digits_run[0].path), *arguments, "--port", "0", cwd=tmp_path) as process:
            assert process.stdout
            atlas = json.loads(get(f"{process.stdout.readline().strip()}api/atlas").splitlines()[-1])["atlas"]
            assert atlas["count"] == count


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("nothing",), 1, "not a run folder"),
        (("{run}", "nowhere.npz"), 1, "nowhere.npz"),
        (("{run}", "digits", "--split", "test"), 2, "--split test"),
        (("{run}", "--host", "203.0.113.1"), 2, "no such address"),
        (("{run}", "--port", "{taken}"), 2, "is in use"),
    ],
)
def test_mistakes_end_in_one_sentence(
    arguments: tuple[str, ...], status: int, words: str, digits_run: tuple[Run, Collection], tmp_path: Path
) -> None:
    with listen("127.0.0.1", 0) as taken:
        filled = [part.format(run=digits_run[0].path, taken=taken.getsockname()[1]) for part in arguments]
        with command(*filled, cwd=tmp_path) as process:
            _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("acn: ")
    assert words in errors.splitlines()[-1]


def test_a_model_without_codes_is_refused(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", "model.name=pixelcnn", evaluated=False)
    with command(str(run.path), "--port", "0", cwd=tmp_path) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert errors.splitlines()[1:] == [
        "acn: the explorer needs codes, which a Gated PixelCNN does not have; use another run"
    ]


def test_the_usual_port_may_be_taken() -> None:
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        assert first.getsockname() != second.getsockname()
        with pytest.raises(UsageError, match="is in use"):
            listen("127.0.0.1", second.getsockname()[1])


def test_addresses_for_people() -> None:
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert address(listening, "127.0.0.1") == address(listening, "0.0.0.0") == f"http://127.0.0.1:{port}/"  # noqa: S104
        assert address(listening, "::1") == f"http://[::1]:{port}/"
        assert address(listening, "box.local") == f"http://box.local:{port}/"


def test_names_that_are_its_own() -> None:
    assert is_own("[fe80::1]:80", ())
    assert is_own("box:80", {"box"})
    assert not is_own("box.evil.example", {"box"})
    assert not is_own("[evil]", {"box"})


def test_nothing_is_drawn_for_a_browser_that_has_gone(digits_run: tuple[Run, Collection]) -> None:
    explorer = Explorer(loads(*digits_run))
    with closing(explorer), served(build_api(explorer)) as port:
        browsers = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        for row, browser in enumerate(browsers):
            browser.sendall(f"GET /item/{row}/dream?steps=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for browser in browsers:
            assert browser.recv(100).startswith(b"HTTP/1.1 200")
        worker = explorer.opened.future.result().worker
        wait_until(lambda: worker.waiting == 5)
        for browser in browsers:
            browser.close()
        wait_until(lambda: worker.waiting == 0)
        assert "images" in get(f"http://127.0.0.1:{port}/item/0/reconstructions")


def test_a_drawing_ends_at_its_next_row_when_nobody_waits(digits_atlas: tuple[Atlas, ACN]) -> None:
    atlas, model = digits_atlas
    worker = ModelWorker(model)
    levels = atlas.images.batch([0])[0]

    async def leave() -> float:
        drawing = asyncio.create_task(worker.reconstruct(levels, 0, 20_000))
        await asyncio.sleep(0.1)
        drawing.cancel()
        begin = time.monotonic()
        await worker.encode(levels)
        return time.monotonic() - begin

    whole = time.monotonic()
    asyncio.run(ModelWorker(model).reconstruct(levels, 0, 256))
    whole = (time.monotonic() - whole) * 20_000 / 256
    assert asyncio.run(leave()) < whole / 4
    worker.close()


def test_too_many_drawings_are_refused(digits_atlas: tuple[Atlas, ACN]) -> None:
    atlas, model = digits_atlas
    worker = ModelWorker(model)
    levels = atlas.images.batch([0])[0]

    async def crowd() -> list[torch.Tensor | BaseException]:
        drawings = (worker.reconstruct(levels, seed, 1) for seed in range(MOST_WAITING + 3))
        return await asyncio.gather(*drawings, return_exceptions=True)

    answers = asyncio.run(crowd())
    assert sum(isinstance(answer, QueueFullError) for answer in answers) == 3
    assert sum(isinstance(answer, torch.Tensor) for answer in answers) == MOST_WAITING
    worker.close()
