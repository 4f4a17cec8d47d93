"""Listening, serving the page, and ending. Light: whatever needs PyTorch is imported while the page is on its way."""

import errno
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from acn.errors import UsageError
from acn.web.connection import MOST_CONNECTIONS, Connection
from acn.web.guard import HEADERS, Guard
from acn.web.layout import EarlyView, early_view
from acn.web.lazy import Lazy

if TYPE_CHECKING:
    from acn.web.explorer import Explorer, Load, Opened

PORT = 8420
PATIENCE = 1.5  # seconds in which the page may fetch the first view before the import of PyTorch slows it down
MOST_SECONDS = 20.0  # to wait, at the end, for PyTorch to be imported
STATIC = Path(__file__).parent / "static"


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on `host`, at `port`; without one at `PORT`, or any that is free; 0: any.

    Raises:
        UsageError: the port is in use or not allowed, or there is no such interface.
    """
    try:
        return _listen(host, PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return _listen(host, 0)
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"--host {host}: this machine has no such address; leave it out for 127.0.0.1") from error
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise UsageError(f"port {port} of {host} {what}; choose another --port, or none for a free one") from error


def address(listening: socket.socket, host: str) -> str:
    """URL at which a browser on this machine finds the server."""
    port = listening.getsockname()[1]
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def serve(load: "Load", listening: socket.socket, host: str, *, early: Path | None = None) -> None:
    """Answer browsers until Ctrl-C, which comes out as KeyboardInterrupt.

    The page goes out at once, with the codes kept in the run folder `early`. Then PyTorch is imported and `load` runs,
    on another thread.

    Raises:
        AcnError: whatever `load` raises.
    """
    api = Api(load, lambda: setattr(server, "should_exit", True))
    config = configured(front(api, host, Lazy(lambda: early_view(early))))
    server = uvicorn.Server(config)
    # At the end drawings are broken off, which is no error.
    logging.getLogger("uvicorn.error").addFilter(lambda _: not server.should_exit)
    timer = threading.Timer(PATIENCE if early else 0, api.ready.start)
    timer.daemon = True
    timer.start()
    try:
        server.run(sockets=[listening])
    finally:
        timer.cancel()
        api.close()
    if api.failure:
        raise api.failure


def configured(app: ASGIApp) -> uvicorn.Config:
    """Return the settings with which `app` is served: quiet, with bounds, and with the same headers on every answer."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="error",
        proxy_headers=False,
        server_header=False,
        headers=list(HEADERS.items()),
        backlog=MOST_CONNECTIONS,
        limit_concurrency=2 * MOST_CONNECTIONS,  # of requests: some are at work though their browser has gone
        timeout_graceful_shutdown=1,
    )


def front(api: "Api", host: str, early: Lazy[EarlyView | None]) -> Starlette:
    """Return the application that serves the page on the interface `host`, and hands the rest to `api`."""

    async def first_points(request: Request) -> Response:
        """Two principal components of the kept codes, float32 [2, N]; nothing where there are none."""
        view = await early.wait()
        columns = [request.query_params.get(name, default) for name, default in (("x", "0"), ("y", "1"))]
        if view is None or not set(columns) <= {str(column) for column in range(view.points.shape[1])}:
            return Response(status_code=204)
        body = np.ascontiguousarray(view.points[:, [int(column) for column in columns]].T).tobytes()
        headers = {"X-Fingerprint": view.fingerprint, "Cache-Control": "no-store"}
        then = BackgroundTask(api.ready.start)
        return Response(body, media_type="application/octet-stream", headers=headers, background=then)

    return Starlette(
        routes=[
            Route("/", _index),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/api/early", first_points),
            Mount("/api", api),
        ],
        middleware=[Middleware(Guard, host=host)],
    )


class Api:
    """Answers below /api; requests wait until the model is loaded. `failed` is called when loading fails."""

    def __init__(self, load: "Load", failed: Callable[[], None]) -> None:
        self.ready = Lazy(lambda: self._begin(load))
        self.failure: BaseException | None = None
        self._failed = failed
        self._explorer: Explorer | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app = await self.ready.wait()
        await app(scope, receive, send)

    def close(self) -> None:
        """End what is being encoded or drawn."""
        self.ready.settle(MOST_SECONDS)
        if self._explorer:
            self._explorer.close()

    def _begin(self, load: "Load") -> ASGIApp:
        from acn.web.explorer import Explorer
        from acn.web.routes import build_api

        self._explorer = Explorer(load)
        self._explorer.opened.future.add_done_callback(self._check)
        self._explorer.opened.start()
        return build_api(self._explorer)

    def _check(self, opened: "Future[Opened]") -> None:
        self.failure = opened.exception()
        if self.failure:
            self._failed()


async def _index(_: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(MOST_CONNECTIONS)
    except OSError:
        listening.close()
        raise
    return listening
