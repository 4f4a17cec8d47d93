"""Browsers that stop half-way, over real sockets, and the headers of every answer."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing

import pytest
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from acn.data import Collection
from acn.runs import Run
from acn.web import connection, routes
from acn.web.guard import HEADERS
from acn.web.lazy import Lazy
from acn.web.routes import MOST_LANDING
from acn.web.server import Api, front
from acn.web.uploads import MOST_BYTES
from tests.web.conftest import loads, served
from tests.web.test_uploads import encoded, noise

PATIENCE = 20.0  # seconds after which a test gives up


@pytest.fixture(scope="module")
def port(digits_run: tuple[Run, Collection]) -> Iterator[int]:
    api = Api(loads(*digits_run), lambda: None)
    with served(front(api, "127.0.0.1", Lazy(lambda: None))) as port:
        ask(port, "GET", "/api/atlas")
        yield port
        api.close()


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as asking:
        asking.request(method, path, body, headers or {})
        answer = asking.getresponse()
        return answer, answer.read()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def everything(client: socket.socket) -> bytes:
    """Read until the server ends the connection."""
    parts = []
    try:
        while part := client.recv(2**16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def own_head(method: str = "GET", path: str = "/api/item/1", **headers: object) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).replace("_", "-").encode()


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError


def assert_guarded(headers: dict[str, str]) -> None:
    found = {name.lower(): value for name, value in headers.items()}
    assert {name: found.get(name.lower()) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/static/style.css", {}, 200),
        ("GET", "/api/item/1", {}, 200),
        ("GET", "/api/early", {}, 204),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/static/nowhere", {}, 404),
        ("GET", "/api/item/-1", {}, 404),
        ("GET", "/api/item/1?near=0", {}, 400),
        ("POST", "/", {}, 405),
        ("GET", "/", {"Host": "evil.example"}, 400),
        ("GET", "/api/item/1", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "/", {"Origin": "http://evil.example"}, 403),
        ("POST", "/api/land", {}, 400),
    ],
)
def test_every_answer_has_the_headers(port: int, method: str, path: str, headers: dict[str, str], status: int) -> None:
    answer, _ = ask(port, method, path, headers=headers)
    assert answer.status == status
    assert_guarded(dict(answer.getheaders()))
    assert "http" not in HEADERS["Content-Security-Policy"]
    assert "'self'" in HEADERS["Content-Security-Policy"]


def test_so_has_what_the_server_itself_answers(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        head, _, body = everything(client).decode().partition("\r\n\r\n")
    status, *lines = head.splitlines()
    assert status.startswith("HTTP/1.1 400 ")
    assert body == "Invalid HTTP request received."
    assert_guarded(dict(line.split(": ", 1) for line in lines))
    with served(fails) as failing:
        answer, _ = ask(failing, "GET", "/")
        assert answer.status == 500
        assert_guarded(dict(answer.getheaders()))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /api/item/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-",
        own_head() + b"GET /",
        own_head(Content_Length=100) + b"half",
    ],
    ids=["nothing", "half a head", "half a second head", "half a body that nobody reads"],
)
@pytest.mark.parametrize("dripping", [False, True])
def test_half_a_request_is_not_waited_for(
    port: int, sent: bytes, dripping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.6)
    with connect(port) as client:
        client.sendall(sent)
        begin = time.monotonic()
        client.settimeout(0.1)
        while time.monotonic() < begin + PATIENCE:
            try:
                if dripping:
                    client.sendall(b"x")
                if not client.recv(2**16):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 0.4 < time.monotonic() - begin < 5


def test_a_request_may_take_longer_than_its_head(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    with connect(port) as client:
        client.sendall(own_head(path="/api/item/1/dream?steps=40", Connection="close"))
        answer = everything(client)
    assert answer.count(b'"image"') == 40


def test_half_an_image_is_not_waited_for_and_holds_up_nobody(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "BODY_SECONDS", 2.0)
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    whole = encoded(noise(8, 8))
    with connect(port) as client:
        client.sendall(own_head("POST", "/api/land", Content_Length=1000) + b"half")
        begin = time.monotonic()
        assert ask(port, "POST", "/api/land", whole)[0].status == 200
        assert time.monotonic() - begin < 1.5
        head, _, body = everything(client).partition(b"\r\n\r\n")
    assert 1.5 < time.monotonic() - begin < 5
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body) == {"error": "the file did not arrive within 2 seconds; try again"}


@pytest.mark.parametrize("header", [{"Content_Length": MOST_BYTES + 1}, {"Content_Length": 10**18}])
def test_too_large_a_body_is_refused_by_its_declared_size(port: int, header: dict[str, int]) -> None:
    with connect(port) as client:
        client.sendall(own_head("POST", "/api/land", **header))
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_too_large_a_body_of_no_declared_size_is_refused_on_the_way(port: int) -> None:
    block = b"%x\r\n" % 2**20 + bytes(2**20) + b"\r\n"
    with connect(port) as client:
        client.sendall(own_head("POST", "/api/land", Transfer_Encoding="chunked"))
        for _ in range(MOST_BYTES // 2**20 + 1):
            client.sendall(block)
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_few_images_are_received_at_once(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_LANDING):
            stack.enter_context(connect(port)).sendall(own_head("POST", "/api/land", Content_Length=10) + b"half")
        limit = time.monotonic() + PATIENCE
        while (answer := ask(port, "POST", "/api/land", b"image"))[0].status != 503:
            assert time.monotonic() < limit
        assert "8 images are on their way already" in json.loads(answer[1])["error"]
        assert ask(port, "GET", "/api/item/1")[0].status == 200
    while ask(port, "POST", "/api/land", encoded(noise(8, 8)))[0].status != 200:
        assert time.monotonic() < limit


def test_connections_that_only_wait_make_way(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 5)
    monkeypatch.setattr(connection, "HEAD_SECONDS", 3600.0)
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(20)]
        assert ask(port, "GET", "/api/item/1")[0].status == 200
        for client in idle[:15]:
            assert everything(client) == b""


def test_an_answer_that_nobody_reads_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_SECONDS", 0.5)
    begun, ended = threading.Event(), threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        begun.set()
        while True:
            yield bytes(2**18)
            await asyncio.sleep(0)

    async def pours(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await StreamingResponse(endless())(scope, receive, send)
        finally:
            ended.set()

    with served(pours) as pouring, connect(pouring) as client:
        client.sendall(own_head())
        assert begun.wait(PATIENCE)
        for _ in range(10):  # slowly, but read
            time.sleep(0.2)
            assert client.recv(2**23)
        assert not ended.is_set()
        assert ended.wait(PATIENCE)
