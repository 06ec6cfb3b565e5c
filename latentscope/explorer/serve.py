"""The page on a server of this machine, in a cell of a notebook, or as one file."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from weakref import WeakSet

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from latentscope.data import LabelsLike, LatentsLike
from latentscope.errors import ChoiceError, LatentscopeError
from latentscope.explorer.archive import LARGEST_UPLOAD, Archive, read_archive
from latentscope.files import expanded

if TYPE_CHECKING:
    from latentscope.diagnostics.study import Study
    from latentscope.models.weights import ModelLike

LOOPBACK = "127.0.0.1"

_LARGEST_MESSAGE = LARGEST_UPLOAD * 4 // 3 + (1 << 20)  # an upload travels as base64
_LIFETIME = 5_000  # milliseconds that a page outlives its tab, for the wireless to come back
_CHECK = 2_000
# What holds no data: the browser fetches it without the page's address, or with a signed session.
_OPEN = ("/static/", "/ws", "/favicon.ico")


class _Refused(RequestHandler):
    """Says no, and why."""

    def initialize(self, reason: str) -> None:
        self._why = reason

    def prepare(self) -> None:
        self.set_status(403)
        self.finish(f"{self._why}\n")


class _Guarded(BokehTornado):  # type: ignore[misc]
    """Bokeh's application behind three questions: who is asked for, from where, what token.

    A page elsewhere can make a browser ask this server under a foreign name (DNS rebinding), so the
    Host header counts, but not its port, which a tunnel changes. A page of this server asks under
    the same Host that it came from. `token`, where there is one, must be in the page's address.
    """

    hosts: frozenset[str] = frozenset()
    token: str = ""

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> Any:
        reason = self._refusal(request)
        if reason:
            return self.get_handler_delegate(request, _Refused, {"reason": reason})
        return super().find_handler(request, **options)

    def _refusal(self, request: HTTPServerRequest) -> str:
        host = request.headers.get("Host", "").lower()
        if not self._its_own(host):
            return "this server does not go by that name; open the address that it printed"
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            return "this server answers no page but its own"
        path = request.path
        given = parse_qs(request.query).get("token", [""])[-1]
        if (
            self.token
            and not path.startswith(_OPEN)
            and not secrets.compare_digest(given.encode(), self.token.encode())
        ):
            return "the address lacks its token; open the whole address that the server printed"
        if path != "/" and not path.startswith(_OPEN):
            return "there is nothing here; open the address that the server printed"
        return ""

    def _its_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            # No name leads to an address in digits, so nobody can have redirected it.
            return name in self.hosts or bool(ip_address(name))
        except ValueError:
            return False


class Served:
    """A server that runs in a thread of its own, since notebooks and tests have a loop already.

    Its address `url` has the token where one is needed.
    """

    def __init__(
        self, url: str, make: Callable[[IOLoop], BaseServer], close: Callable[[], None]
    ) -> None:
        self.url, self._make, self._close = url, make, close
        self._loop = IOLoop(make_current=False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        server: list[BaseServer] = []

        async def begin() -> None:
            server.append(self._make(self._loop))
            server[0].start()

        self._loop.run_sync(begin)
        self._loop.start()
        server[0].stop()
        self._close()
        self._loop.close()

    def wait(self) -> None:
        """Wait until somebody ends it."""
        while self._thread.is_alive():
            # Without a limit, Ctrl-C is not heard everywhere.
            self._thread.join(0.5)

    def stop(self) -> None:
        """End; from any thread."""
        self._loop.add_callback(self._loop.stop)
        self._thread.join(10)


def serve(archive: Archive, *, host: str | None = None, port: int = 0) -> Served:
    """Start a server for an archive, on an address (`host`) or for this machine alone.

    "0.0.0.0" listens on all addresses; whoever asks then needs a token. Port 0 is any that is free.
    A LatentscopeError if it cannot listen there.
    """
    from latentscope.explorer.page import Page

    # Its own warnings of requests that are refused say nothing to those who started it.
    if os.environ.get("LATENTSCOPE_DEBUG", "") in ("", "0"):
        for name in ("bokeh", "tornado.access", "tornado.application"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    address = LOOPBACK if host is None else host
    try:
        listening = socket.create_server((address, port))
    except OSError as error:
        advice = "--port 0 takes any that is free" if port else "name an address of this machine"
        raise LatentscopeError(
            f"{address}:{port}: cannot listen there ({(error.strerror or str(error)).lower()}); "
            f"{advice}"
        ) from None
    listening.setblocking(False)
    port = listening.getsockname()[1]
    token = "" if host is None else secrets.token_urlsafe(24)
    names = {"localhost"} if host is None else {"localhost", host, socket.gethostname()}
    pages: WeakSet[Page] = WeakSet()

    def open_page(document: Document) -> None:
        context = document.session_context
        request = None if context is None else context.request
        pages.add(Page(archive, document, dict(getattr(request, "arguments", None) or {})))

    def make(loop: IOLoop) -> BaseServer:
        guarded = _Guarded(
            {"/": Application(FunctionHandler(open_page))},
            extra_websocket_origins=["*"],  # asked above, and better
            websocket_max_message_size_bytes=_LARGEST_MESSAGE,
            # Otherwise a session's id, which a browser may choose, would open another one's page.
            sign_sessions=True,
            secret_key=secrets.token_bytes(32),
            check_unused_sessions_milliseconds=_CHECK,
            unused_session_lifetime_milliseconds=_LIFETIME,
            stats_log_frequency_milliseconds=600_000,
            include_headers=[],
            include_cookies=[],
        )
        guarded.hosts, guarded.token = frozenset(name.lower() for name in names), token
        http = HTTPServer(guarded, max_body_size=1 << 20)
        http.add_sockets([listening])
        return BaseServer(loop, guarded, http)

    shown = address if address != "0.0.0.0" else socket.gethostname()
    url = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")

    def close() -> None:
        for page in list(pages):
            page.close()

    return Served(url, make, close)


def explore(
    latents: LatentsLike | Study | Archive | None = None,
    model: ModelLike | None = None,
    *,
    labels: LabelsLike | None = None,
    spectra: str | os.PathLike[str] | None = None,
    html: str | os.PathLike[str] | None = None,
    host: str | None = None,
    port: int = 0,
    open_browser: bool = True,
    tell: Callable[[str], None] = print,
) -> Any:
    """Look at latents: move them and see the spectrum, map them, find the nearest spectra.

    In a notebook the page is shown in the cell, and lives as long as the kernel. Elsewhere it opens
    in the browser, until Ctrl-C.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, Study or Archive, optional
        By default those of a simulated archive, which is made once and kept. An `Archive` has its
        own model, labels and spectra.
    model : SpectrumVAE, str or path, optional
        What made the latents; by default the bundled one that they name. Without a model there are
        the map and the nearest spectra.
    labels : DataFrame, array (n, labels) or path, optional
        Joined on an id column that both have, else row by row.
    spectra : path, optional
        Folder of the spectra; by default they are where the latents' table says.
    html : path, optional
        Write one file that opens without a server; nothing is served.
    host : str, optional
        Address to listen on, for others to look; the page's address then holds a token. By default
        this machine alone can reach it.
    port : int
        0: any that is free.
    open_browser : bool
    tell : callable
        Called with the page's address.

    Returns
    -------
    IFrame, Path or None
        The page for a notebook's cell; the file that was written.

    Raises
    ------
    TableError, ModelError
        If latents or labels cannot be read or matched, or another model made the latents.
    ChoiceError
        If `html` does not end in .html.
    LatentscopeError
        If a folder or port cannot be used.

    Examples
    --------
    >>> latentscope.explore("latents.npy", labels="labels.csv")  # doctest: +SKIP
    """
    if isinstance(latents, Archive):
        archive = latents
    else:
        archive = read_archive(latents, model, labels, spectra)
    if html is not None:
        from latentscope.explorer.offline import write_page

        if Path(html).suffix.lower() not in (".html", ".htm"):
            raise ChoiceError(f"html is {html}; expected a name that ends in .html")
        return write_page(archive, expanded(html))
    served = serve(archive, host=host, port=port)
    if _in_notebook():
        from IPython.display import IFrame

        return IFrame(served.url, width="100%", height=1150)
    tell(served.url)
    if open_browser:
        threading.Timer(0.2, webbrowser.open, [served.url]).start()
    try:
        served.wait()
    except KeyboardInterrupt:
        pass
    finally:
        served.stop()
    return None


def _in_notebook() -> bool:
    """Whether a kernel runs this, and not a terminal."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return type(get_ipython()).__name__ == "ZMQInteractiveShell"
