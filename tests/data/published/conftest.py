"""A web of our own, and datasets that are published there in small."""

import functools
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from acn.data.published.dataset import Dataset
from acn.data.published.files import PublishedFile
from acn.data.published.table import DATASETS
from acn.progress import Advance, Stage

Publish = Callable[[str, dict[str, int]], Dataset]


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def stage() -> Stage:
    def begin(name: str, length: int) -> Advance:
        assert length > 0
        return lambda count: None

    return begin


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """The folder that is served."""
    folder = tmp_path / "web"
    folder.mkdir()
    return folder


@pytest.fixture
def handler() -> type[Silent]:
    """How the server answers; a test may change it."""

    class Handler(Silent):
        pass

    return Handler


@pytest.fixture
def server(web: Path, handler: type[Silent]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=web)) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


@pytest.fixture
def publish(web: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Let the files of the folder that is served pass for those of a dataset with so many images."""

    def entry(name: str, counts: dict[str, int]) -> Dataset:
        known = DATASETS[name]
        files = []
        for file in known.files:
            data = (web / file.name).read_bytes()
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest() if file.md5 else None
            files.append(PublishedFile(f"{server}/{file.name}", md5, len(data) if file.size else None))
        monkeypatch.setitem(DATASETS, name, replace(known, files=tuple(files), counts=counts))
        return DATASETS[name]

    return entry
