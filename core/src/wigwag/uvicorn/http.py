"""uvicorn's HTTP protocol, with limits: for who connects and asks for nothing, for how much is asked, for how many.

    uvicorn.Config(app, http=limited_http(Gate(...)), ws=WebSocketProtocol)

uvicorn's own waits for ever for a request that has not begun, and keeps as much of one as it is sent.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections import Counter, deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wigwag.sockets.limits import TokenBucket
from wigwag.uvicorn.handshake import MAX_HEAD_BYTES, MAX_HEADERS, Refused, refuse
from wigwag.uvicorn.hub import Hub, hub_of

#: How many requests of a connection may wait for the answer of the one before; each costs some KiB.
MAX_WAITING: Final = 16
#: When a client that is refused for now should come again: within so many seconds, not all at once.
_RETRY_WITHIN_S: Final = (1, 5)
_WHY_NOT: Final = {"draining": "this replica is going away"}


class Gate:
    """Whom one server lets in, and whom it has refused.

    Sockets are counted as they are: those that were upgraded, and have not ended.
    """

    def __init__(
        self,
        *,
        max_sockets: int | None = None,
        spare_connections: int = 1024,
        handshakes_per_s: float | None = None,
        head_timeout_s: float = 10.0,
        refused: Counter[str] | None = None,
    ) -> None:
        """
        Args:
            max_sockets: More are answered 503.
            spare_connections: How many more connections there may be, that have not asked yet, or ask for something
                else.  Where there are more, the one goes that has been asking nothing for longest.
            handshakes_per_s: On average, and twice that at once; more are answered 503.
            head_timeout_s: How long a client may take for the head of a request.
            refused: Counts who was refused, by why.
        """
        self.max_sockets = max_sockets
        self.head_timeout_s = head_timeout_s
        self.refused: Counter[str] = Counter() if refused is None else refused
        #: Whether the server is about to end: no more sockets are let in.
        self.is_closing: bool = False
        self._spare = spare_connections
        self._rate: TokenBucket | None = None
        if handshakes_per_s is not None:
            self._rate = TokenBucket(handshakes_per_s, max(1.0, 2 * handshakes_per_s))
        #: Of all connections those that speak HTTP, and of these those that ask for nothing, who came first first.
        self._http: dict[HttpProtocol, None] = {}
        self._resting: dict[HttpProtocol, None] = {}
        #: Those that have never asked for anything.
        self._silent: set[HttpProtocol] = set()
        self._connections: set[Any] = set()

    @property
    def sockets(self) -> int:
        """How many connections are WebSockets."""
        return len(self._connections) - len(self._http)

    @property
    def silent(self) -> int:
        """How many connections have not said yet what they want."""
        return len(self._silent)

    @property
    def is_full(self) -> bool:
        """Whether no more sockets are let in."""
        return self.max_sockets is not None and self.sockets >= self.max_sockets

    def came(self, protocol: HttpProtocol) -> None:
        """A connection was accepted."""
        self._connections = protocol.connections  # the server's: all of one server are of one gate
        self._http[protocol] = None
        self._silent.add(protocol)
        if self.max_sockets is not None and len(self._connections) > self.max_sockets + self._spare:
            longest = next(iter(self._resting), protocol)
            self.refused["connections"] += 1
            longest.abort()

    def rests(self, protocol: HttpProtocol) -> None:
        """A connection asks for nothing now."""
        self._resting[protocol] = None

    def asks(self, protocol: HttpProtocol) -> None:
        """It has asked for something."""
        self._resting.pop(protocol, None)
        self._silent.discard(protocol)

    def gone(self, protocol: HttpProtocol) -> None:
        """It has ended, or has become a WebSocket."""
        self._http.pop(protocol, None)
        self._resting.pop(protocol, None)
        self._silent.discard(protocol)

    def why_not(self) -> str | None:
        """Why one more handshake is not to be answered now; None where it is."""
        if self.is_closing:
            return "draining"
        if self.is_full:
            return "sockets"
        if self._rate is not None and not self._rate.take():
            return "handshakes"
        return None


def limited_http(gate: Gate) -> Callable[..., asyncio.Protocol]:
    """What ``uvicorn.Config(http=…)`` takes, for one server."""
    return functools.partial(HttpProtocol, gate=gate)


class HttpProtocol(HttpToolsProtocol):
    """One connection, until it becomes a WebSocket, if it does.  A :class:`~wigwag.uvicorn.wheel.Timed`."""

    def __init__(self, *args: Any, gate: Gate, **options: Any) -> None:
        super().__init__(*args, **options)
        self._gate = gate
        self._hub: Hub = hub_of(self.config, self.server_state)
        #: Whether no request is being answered: the next has a time limit.
        self._is_resting = True
        #: How much has come since it came to anything: a head, a part of a body.
        self._pending_bytes = 0
        #: The headers of the request that is being read.
        self._fields = 0
        self._field_bytes = 0
        self._is_refused = False
        #: Those that are not answered yet; of more than one, the others wait.
        self._unanswered: deque[Any] = deque()
        #: What comes after the request that is being answered is not read.
        self._is_last = False
        # See Timed.
        self.slot: int | None = None
        self.turns: int = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio's."""
        super().connection_made(transport)
        self._rest()
        self._gate.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        self._gate.gone(self)
        self._hub.drop_deadline(self)
        # uvicorn tells the last, which need not be the one that is being answered
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def _rest(self) -> None:
        self._is_resting = True
        self._gate.rests(self)
        self._hub.set_deadline(self, self._gate.head_timeout_s)

    def is_due(self) -> None:
        """See :class:`~wigwag.uvicorn.wheel.Timed`: nothing whole has been asked for in time."""
        if not self._is_resting or self._is_refused:
            return
        if self._pending_bytes:
            self._refuse("slow", Refused(HTTPStatus.REQUEST_TIMEOUT, "the request took too long"))
        else:
            self._gate.refused["silent"] += 1
            self.transport.close()

    def abort(self) -> None:
        """There are too many connections, and this one asks for nothing."""
        self._is_refused = True
        self.transport.abort()

    # Reading

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        parser: Any = self.parser
        if parser is None or self._is_refused or self._is_last:
            return
        self._unset_keepalive_if_required()
        self._pending_bytes += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade() and not self._is_refused:
                self._upgrade()
        except httptools.HttpParserError:
            if not self._is_refused:
                self._refuse("malformed", Refused(HTTPStatus.BAD_REQUEST, "Invalid HTTP request received."))
        if self._pending_bytes > MAX_HEAD_BYTES:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """httptools'."""
        super().on_message_begin()
        self._field_bytes = self._fields = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools'."""
        self._fields += 1
        self._field_bytes += len(name) + len(value) + 4
        if self._fields <= MAX_HEADERS and self._field_bytes <= MAX_HEAD_BYTES:  # what is refused is not kept
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """httptools'."""
        self._pending_bytes = 0
        if self._fields > MAX_HEADERS or self._field_bytes + len(self.url) > MAX_HEAD_BYTES:
            self._refuse_head()
            return
        if self._is_refused:
            return
        if len(self._unanswered) > MAX_WAITING:
            # uvicorn reads on as soon as one is answered, however many wait.
            self._is_refused = True
            self._gate.refused["waiting"] += 1
            self.cycle.keep_alive = False
            return
        parser: Any = self.parser
        is_in_vain = parser.should_upgrade() and not self._should_upgrade()
        if is_in_vain and any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
            self._refuse("malformed", Refused(HTTPStatus.BAD_REQUEST, "a request to upgrade has no body"))
            return
        self._is_resting = False
        self._gate.asks(self)
        self._hub.drop_deadline(self)
        super().on_headers_complete()
        if not (parser.should_upgrade() and self._should_upgrade()):
            self._unanswered.append(self.cycle)
        if is_in_vain:
            # The parser takes what follows for another protocol's, and after it goes on wherever it happens to
            # be: in a body, which a proxy has passed on as one, it would find requests that nobody made.
            self._is_last = True
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """httptools'."""
        self._pending_bytes = 0
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """httptools'."""
        self._pending_bytes = 0
        if not self._is_refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn's."""
        self._unanswered.popleft()
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self._rest()

    # The handshake

    def _upgrade(self) -> None:
        why = self._gate.why_not()
        if why is not None:
            headers = [(b"retry-after", b"%d" % random.randint(*_RETRY_WITHIN_S))]
            text = _WHY_NOT.get(why, "too many connections")
            self._refuse(why, Refused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers))
            return
        self._gate.gone(self)
        self._hub.drop_deadline(self)
        self.handle_websocket_upgrade()

    def _refuse_head(self) -> None:
        if not self._is_refused:
            why = f"at most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes"
            self._refuse("head", Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, why))

    def _refuse(self, why: str, refused: Refused) -> None:
        self._is_refused = True
        self._gate.refused[why] += 1
        if not self.transport.is_closing():
            self.transport.write(refuse(refused, self.server_state.default_headers))
            self.transport.close()
