"""A connection to a browser that never waits for ever: for a request that stops half-way, or for an answer to be read.

What uvicorn has of that (its time between two requests) ends with the first byte of the next one.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 128  # well below the 256 files that some systems let a process open
HEAD_SECONDS = 10.0  # for a request to begin and its head to be complete
READ_SECONDS = 60.0  # for a browser to take some of an answer that is held ready for it


class Connection(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with limits.

    Where there are more than `MOST_CONNECTIONS`, the one that has waited longest for a request makes way.
    """

    _begin: asyncio.TimerHandle
    _take: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, and end another connection where there are too many."""
        super().connection_made(transport)
        self._begin = self.loop.call_later(HEAD_SECONDS, self._end_if_waiting)
        there = [
            other for other in self.connections if isinstance(other, Connection) and not other.transport.is_closing()
        ]
        if len(there) > MOST_CONNECTIONS:
            waiting = [other for other in there if other.is_waiting()]
            min(waiting, key=lambda other: other._begin.when()).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._begin.cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._begin.cancel()
        self._begin = self.loop.call_later(HEAD_SECONDS, self._end_if_waiting)

    def pause_writing(self) -> None:
        """Begin to wait for the browser to read: more than the system holds is on its way."""
        super().pause_writing()
        self._take = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The browser has read."""
        super().resume_writing()
        if self._take is not None:
            self._take.cancel()
            self._take = None

    def is_waiting(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, with the headers of all answers; where an answer has begun, break it off."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = msg.encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (answer, h11.Data(body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _end_if_waiting(self) -> None:
        if self.is_waiting():
            self.transport.close()  # once what is on its way is gone, for which there is not for ever either
            self._begin = self.loop.call_later(READ_SECONDS, self.transport.abort)
