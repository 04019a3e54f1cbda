"""One document over HTTPS, within a time and a size, beside the event loop."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
from anyio import to_thread

from wigwag.settings.tls import is_loopback

_CHUNK_BYTES: Final = 16 * 1024


class FetchFailed(Exception):
    """It could not be had; the text says why."""


async def fetch(url: str, *, timeout_s: float, limit_bytes: int) -> bytes:
    """The document at this URL, which is not left for another: no redirection is followed.

    It goes through the proxy that the environment names (``HTTPS_PROXY``), unless it is of this machine.

    Raises:
        FetchFailed: nobody answered in time, or not with such a document.
    """
    fetching = _Fetching(url, timeout_s, limit_bytes)
    try:
        with anyio.fail_after(timeout_s):
            return await to_thread.run_sync(fetching.run, abandon_on_cancel=True)
    except TimeoutError:
        raise _too_late(timeout_s) from None
    finally:
        fetching.hang_up()  # so that its thread ends, too, whatever it waits for


def _too_late(timeout_s: float) -> FetchFailed:
    return FetchFailed(f"no answer within {timeout_s:g} s")


class _Fetching(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """A request, which another thread may end."""

    def __init__(self, url: str, timeout_s: float, limit_bytes: int) -> None:
        super().__init__()
        self._url = url
        self._timeout_s = timeout_s
        self._ends_at = time.monotonic() + timeout_s
        self._limit_bytes = limit_bytes
        self._connection: http.client.HTTPConnection | None = None
        self._is_over = False

    def run(self) -> bytes:
        """Blocks.  Raises FetchFailed."""
        proxies: dict[str, str] | None = {} if is_loopback(urlsplit(self._url).hostname or "") else None
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            self,
        ):
            opener.add_handler(handler)
        request = urllib.request.Request(self._url, headers={"Accept": "application/json"})
        try:
            with opener.open(request, timeout=self._timeout_s) as response:
                return self._body(response)
        except urllib.error.HTTPError as exc:
            with exc:
                raise FetchFailed(f"it was answered with {exc.code}") from None
        except (OSError, ValueError, http.client.HTTPException) as exc:
            why = getattr(exc, "reason", exc)
            if isinstance(why, TimeoutError):
                raise _too_late(self._timeout_s) from None
            raise FetchFailed(str(getattr(why, "strerror", None) or why).lower()) from None

    def _body(self, response: Any) -> bytes:
        body = bytearray()
        while time.monotonic() < self._ends_at:
            chunk = response.read1(_CHUNK_BYTES)
            body += chunk
            if len(body) > self._limit_bytes:
                raise FetchFailed(f"it has more than {self._limit_bytes} bytes")
            if not chunk:
                return bytes(body)
        raise _too_late(self._timeout_s)

    def http_open(self, req: urllib.request.Request) -> Any:
        """urllib's."""
        return self.do_open(self._connect_plainly, req)

    def https_open(self, req: urllib.request.Request) -> Any:
        """urllib's."""
        return self.do_open(self._connect, req)

    def _connect_plainly(self, host: str, **options: Any) -> http.client.HTTPConnection:
        self._connection = http.client.HTTPConnection(host, **options)
        return self._connection

    def _connect(self, host: str, **options: Any) -> http.client.HTTPConnection:
        context = ssl.create_default_context()
        self._connection = http.client.HTTPSConnection(host, context=context, **options)
        return self._connection

    def hang_up(self) -> None:
        """End what is being waited for."""
        connection = self._connection
        connected = None if connection is None else connection.sock
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
