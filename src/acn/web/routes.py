"""The addresses that the page asks.

    GET  /api/atlas                        lines of JSON: {"progress"} while images are encoded, then {"atlas"}
    GET  /api/points?x=0&y=1               float32 [2, N]: two principal components; ?map=umap: the UMAP layout
    GET  /api/groups/NAME                  uint32 [N]: label, cluster or split of each image
    GET  /api/called?text=                 uint32 [n]: rows of the images whose file names contain a text
    POST /api/table                        rows, uint32 [n]: a CSV table of these images; ?clusters=1
    GET  /api/image/FINGERPRINT/KEY.png    an image; KEY is its row, or the name that /api/land gave it
    GET  /api/item/KEY                     code, place and nearest codes
    GET  /api/item/KEY/pixels              nearest images by pixels
    GET  /api/item/KEY/umap                place in the UMAP layout
    GET  /api/item/KEY/reconstructions     a line {"images"}: drawn at its code; ?seed= &copies=
    GET  /api/item/KEY/dream               a line {"image", "place"} for each step of a daydream; ?seed= &steps=
    POST /api/land                         the bytes of an image file; ?invert=1

Arrays are in the byte order of the machine, which is little-endian wherever this runs. Refusals are {"error"}.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from acn.components import COMPONENTS
from acn.errors import AcnError
from acn.sampling.grids import data_url, png
from acn.web.explorer import Explorer, Item, MissingImageError, Opened
from acn.web.uploads import MOST_BYTES, Landed, TooLargeError, read_upload
from acn.web.worker import QueueFullError

FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
NEVER = {"Cache-Control": "no-store"}
NEIGHBOURS, MOST_NEIGHBOURS = 12, 100
COPIES, MOST_COPIES = 6, 16
STEPS, MOST_STEPS = 30, 1000
TICK = 0.2  # seconds between two lines of progress
MOST_LANDING = 8  # images at once
BODY_SECONDS = 60.0


class LateError(AcnError):
    """The body of a request did not arrive in time."""


STATUS: dict[type[AcnError], int] = {TooLargeError: 413, MissingImageError: 404, QueueFullError: 503, LateError: 408}


def build_api(explorer: Explorer) -> Starlette:
    """Return the application that answers below /api for `explorer`."""
    pages = Pages(explorer)
    item = "/item/{key}"
    return Starlette(
        routes=[
            Route("/atlas", pages.atlas),
            Route("/points", pages.points),
            Route("/groups/{name}", pages.groups),
            Route("/called", pages.called),
            Route("/table", pages.table, methods=["POST"]),
            Route("/image/{fingerprint}/{key}.png", pages.image),
            Route(item, pages.item),
            Route(f"{item}/pixels", pages.pixels),
            Route(f"{item}/umap", pages.umap),
            Route(f"{item}/reconstructions", pages.reconstructions),
            Route(f"{item}/dream", pages.dream),
            Route("/land", pages.land, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refuse, AcnError: _refuse, ClientDisconnect: _nobody},
    )


class Pages:
    """One method for each address."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self._landing = asyncio.Semaphore(MOST_LANDING)  # each holds a whole file
        self._decoding = asyncio.Semaphore(1)  # a large photo takes some hundred MiB for a moment

    async def atlas(self, _: Request) -> Response:
        """Tell how far the loading is, and when it is done what there is."""

        async def lines() -> AsyncIterator[dict[str, Any]]:
            progress, opening = self.explorer.progress, asyncio.ensure_future(self.explorer.opened.wait())
            while not (await asyncio.wait({opening}, timeout=TICK))[0]:
                yield {"progress": {"done": progress.done, "total": progress.total}}
            opened = opening.result()
            yield {"atlas": await run_in_threadpool(opened.describe)}

        return _lines(lines())

    async def points(self, request: Request) -> Response:
        """Two coordinates of every image."""
        opened = await self.explorer.opened.wait()
        if request.query_params.get("map") == "umap":
            layout = await opened.umap.wait()
            return _array(layout.points.T.tobytes())
        most = min(COMPONENTS, opened.atlas.points.shape[1]) - 1
        return _array(opened.matrix((_number(request, "x", 0, 0, most), _number(request, "y", 1, 0, most))))

    async def groups(self, request: Request) -> Response:
        """Which group every image belongs to."""
        opened = await self.explorer.opened.wait()
        name = request.path_params["name"]
        if name == "clusters":
            return _array((await opened.clusters.wait()).tobytes())
        find = {"labels": opened.atlas.names, "splits": opened.atlas.splits}.get(name)
        named = find() if find else None
        if named is None:
            raise HTTPException(404, "there are clusters, splits, and labels where the images have some")
        return _array(named[1].tobytes())

    async def called(self, request: Request) -> Response:
        """Images by a part of their file names."""
        opened = await self.explorer.opened.wait()
        found = await run_in_threadpool(opened.atlas.called, request.query_params.get("text", ""))
        return Response(found.tobytes(), media_type="application/octet-stream", headers=NEVER)

    async def table(self, request: Request) -> Response:
        """Say which images some rows are."""
        opened = await self.explorer.opened.wait()
        rows = _rows(await _body(request), len(opened.atlas.images))
        clusters = await opened.clusters.wait() if request.query_params.get("clusters") == "1" else None
        text = await run_in_threadpool(opened.table, rows, clusters)
        return Response(text.encode(errors="surrogateescape"), media_type="text/csv", headers=NEVER)

    async def image(self, request: Request) -> Response:
        """One image."""
        opened, item = await self._item(request)
        if request.path_params["fingerprint"] != opened.atlas.fingerprint:
            raise HTTPException(404, "the codes are others by now; load the page again")
        body = await run_in_threadpool(png, item.levels, opened.atlas.run.palette)
        return Response(body, media_type="image/png", headers=FOREVER)

    async def item(self, request: Request) -> Response:
        """What is known of an image, and its nearest codes."""
        opened, item = await self._item(request)
        near = _number(request, "near", NEIGHBOURS, 1, MOST_NEIGHBOURS)
        return JSONResponse(await run_in_threadpool(opened.details, item, near), headers=NEVER)

    async def pixels(self, request: Request) -> Response:
        """Nearest images by pixels."""
        opened, item = await self._item(request)
        near = _number(request, "near", NEIGHBOURS, 1, MOST_NEIGHBOURS)
        found = await run_in_threadpool(opened.atlas.by_pixels, item.levels, near, item.row)
        return JSONResponse({"by_pixels": found}, headers=NEVER)

    async def umap(self, request: Request) -> Response:
        """Where an image lies in the UMAP layout, which must have been asked for before."""
        opened, item = await self._item(request)
        layout = await opened.umap.wait()
        if item.row is not None:
            place = layout.points[item.row]
        else:
            place = (await run_in_threadpool(layout.project, item.code.numpy()[None]))[0]
        return JSONResponse({"place": place.tolist()}, headers=NEVER)

    async def reconstructions(self, request: Request) -> Response:
        """Draw images at the code of an image."""
        opened, item = await self._item(request)
        seed, copies = _seed(request), _number(request, "copies", COPIES, 1, MOST_COPIES)

        async def lines() -> AsyncIterator[dict[str, Any]]:
            drawn = await opened.worker.reconstruct(item.levels, seed, copies)
            yield {"images": [data_url(levels, opened.atlas.run.palette) for levels in drawn]}

        return _lines(lines())

    async def dream(self, request: Request) -> Response:
        """Draw a chain of associations that starts at an image."""
        opened, item = await self._item(request)
        seed, steps = _seed(request), _number(request, "steps", STEPS, 1, MOST_STEPS)

        async def lines() -> AsyncIterator[dict[str, Any]]:
            async for levels, code in opened.worker.daydream(item.levels, seed, steps):
                place = opened.atlas.principal.project(code.numpy()[None])[0]
                yield {"image": data_url(levels, opened.atlas.run.palette), "place": place.tolist()}

        return _lines(lines())

    async def land(self, request: Request) -> Response:
        """Take an image of the user's own and find its code; the answer names it."""
        opened = await self.explorer.opened.wait()
        run, invert = opened.atlas.run, request.query_params.get("invert") == "1"
        if self._landing.locked():
            raise QueueFullError(f"{MOST_LANDING} images are on their way already; try again in a while")
        async with self._landing:
            data = await _body(request)
            async with self._decoding:
                fit = run.config.data.fit
                upload = await run_in_threadpool(
                    lambda: read_upload(data, run.shape, run.palette, fit=fit, invert=invert)
                )
        code = await opened.worker.encode(upload.levels)
        key = "drop-" + hashlib.sha256(upload.levels.numpy().tobytes()).hexdigest()[:16]
        opened.landed.keep(key, Landed(upload, code))
        return JSONResponse({"key": key}, headers=NEVER)

    async def _item(self, request: Request) -> tuple[Opened, Item]:
        opened = await self.explorer.opened.wait()
        return opened, opened.item(request.path_params["key"])


async def _body(request: Request) -> bytes:
    """Read a body that is neither too large nor too slow; of a larger one no more than that is ever held."""
    too_large = TooLargeError(f"the file has more than {MOST_BYTES >> 20} MiB; make the image smaller")
    if int(request.headers.get("content-length", 0)) > MOST_BYTES:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise too_large
                parts.append(part)
    except TimeoutError as error:
        raise LateError(f"the file did not arrive within {BODY_SECONDS:.0f} seconds; try again") from error
    return b"".join(parts)


def _rows(data: bytes, count: int) -> NDArray[np.uint32]:
    rows = np.frombuffer(data[: len(data) // 4 * 4], np.uint32)
    if len(data) % 4 or (rows >= count).any():
        raise HTTPException(400, f"expected rows from 0 to {count - 1} as uint32")
    return rows


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most):
        raise HTTPException(400, f"{name} expects a whole number from {least} to {most}, found {text[:40]!r}")
    return int(text)


def _seed(request: Request) -> int:
    return _number(request, "seed", 0, 0, 2**53)


def _array(data: bytes) -> Response:
    return Response(data, media_type="application/octet-stream", headers=FOREVER)


def _lines(values: AsyncIterator[dict[str, Any]]) -> Response:
    """Send each value as a line of JSON when it is there; what goes wrong on the way is the last line."""

    async def lines() -> AsyncIterator[str]:
        try:
            async for value in values:
                yield json.dumps(value) + "\n"
        except AcnError as error:
            yield json.dumps({"error": str(error)}) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=NEVER)


async def _refuse(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, headers=NEVER)
    return JSONResponse({"error": str(error)}, STATUS.get(type(error), 400), headers=NEVER)  # type: ignore[arg-type]


async def _nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=400)
