"""What keeps the explorer to this machine and to its own page.

A page of another site may point its name at this machine (DNS rebinding) or send requests here blindly; browsers then
tell the name in `Host`, and the other page in `Origin` and `Sec-Fetch-Site`, of which some requests have only one.
Nothing is ever loaded from anywhere else.
"""

import ipaddress
import socket
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# The map component's WebGL library writes its inner loops as source text: hence 'unsafe-eval', for our own files only.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# For every answer, refusals and failures too: so the server adds them, not the application.
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers may send Origin: null to the page's own server
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests under a foreign name or from a foreign page.

    `host` is the name or address that the server listens on; it is allowed beside addresses, localhost and the
    machine's own name.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.names = {"localhost", host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not is_own(headers.get("host", ""), self.names):
            refusal = JSONResponse({"error": "the explorer does not answer under this name"}, 400)
        elif has_foreign_origin(headers) or (scope["path"].startswith("/api/") and is_from_elsewhere(headers)):
            refusal = JSONResponse({"error": "the explorer answers its own page only"}, 403)
        else:
            await self.app(scope, receive, send)
            return
        await refusal(scope, receive, send)


def has_foreign_origin(headers: Headers) -> bool:
    """Whether an `Origin` is that of another page, another port of this machine included, or hidden (`null`)."""
    host = headers.get("host", "").lower()
    return any(origin.lower() not in (f"http://{host}", f"https://{host}") for origin in headers.getlist("origin"))


def is_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says in `Sec-Fetch-Site` that a page of another origin asks."""
    return any(site not in ("same-origin", "none") for site in headers.getlist("sec-fetch-site"))


def is_own(host: str, names: Iterable[str]) -> bool:
    """Whether a `Host` header is one of `names` or an address: addresses cannot be pointed elsewhere."""
    name = host.lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
