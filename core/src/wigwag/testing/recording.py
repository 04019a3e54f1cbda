"""What was emitted, recorded: an emitter for services, a provider for whole applications."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar, overload

import anyio.lowlevel

from wigwag.emitter import Emitter
from wigwag.messages import (
    BoundMessage,
    Emittable,
    MessageType,
    SocketMessage,
    data_schema_of,
    encode_message,
    name_of,
    payload_of,
)
from wigwag.provider import Provider, ProviderSettings
from wigwag.testing.broker import FakeBroker, FakeNetwork
from wigwag.testing.saying import shorten
from wigwag.topics import check_topic

T = TypeVar("T")
M = TypeVar("M", bound=SocketMessage)


@dataclass(frozen=True)
class Sent:
    """One message that went out, to a topic, to one socket or, with neither, to everybody.

    ``message`` is a :class:`~wigwag.SocketMessage`, a :class:`~wigwag.MessageType` with its data, text or
    bytes; ``exclude`` the id of a socket that does not get it.
    """

    message: SocketMessage | BoundMessage[Any] | str | bytes
    topic: str | None = None
    socket_id: str | None = None
    exclude: str | None = None

    def __str__(self) -> str:
        to = "everybody"
        if self.topic is not None:
            to = f"topic {self.topic!r}"
        elif self.socket_id is not None:
            to = f"socket {self.socket_id!r}"
        but = "" if self.exclude is None else f", but socket {self.exclude!r}"
        return f"to {to}{but}: {shorten(repr(self.message))}"


class Recorder:
    """What was sent, and what a test asks of it."""

    def __init__(self) -> None:
        #: All that was sent, in order.
        self.sent: list[Sent] = []
        self._failures: list[Exception] = []

    @overload
    def emitted(
        self, message: type[M], *, topic: str | None = None, socket_id: str | None = None
    ) -> list[M]: ...
    @overload
    def emitted(
        self, message: MessageType[T], *, topic: str | None = None, socket_id: str | None = None
    ) -> list[T]: ...
    def emitted(self, message: Any, *, topic: str | None = None, socket_id: str | None = None) -> list[Any]:
        """The messages of a kind that were sent, in order: instances of the class, or data of the type.

        With ``topic`` or ``socket_id`` only those that went there; else those that were broadcast too.
        """
        wanted = name_of(message)
        found: list[Any] = []
        for sent in self.sent:
            if (topic is None or sent.topic == topic) and (socket_id is None or sent.socket_id == socket_id):
                if isinstance(sent.message, BoundMessage):
                    if sent.message.type.name == wanted:
                        found.append(sent.message.data)
                elif isinstance(sent.message, SocketMessage) and name_of(type(sent.message)) == wanted:
                    found.append(sent.message)
        return found

    @overload
    def expect(self, message: type[M], *, topic: str | None = None, socket_id: str | None = None) -> M: ...
    @overload
    def expect(
        self, message: MessageType[T], *, topic: str | None = None, socket_id: str | None = None
    ) -> T: ...
    def expect(self, message: Any, *, topic: str | None = None, socket_id: str | None = None) -> Any:
        """The one message of a kind that was sent, as :meth:`emitted` finds it.

        Raises:
            AssertionError: there is none, or more than one; it says what was sent.
        """
        __tracebackhide__ = True
        found = self.emitted(message, topic=topic, socket_id=socket_id)
        if len(found) == 1:
            return found[0]
        to = "" if topic is None else f" to topic {topic!r}"
        to += "" if socket_id is None else f" to socket {socket_id!r}"
        many = f"{len(found)} {name_of(message)!r} were sent{to}, not one"
        raise AssertionError(_list(many if found else f"no {name_of(message)!r} was sent{to}", self.sent))

    def expect_nothing(self) -> None:
        """Raises AssertionError if anything was sent, and says what."""
        __tracebackhide__ = True
        if self.sent:
            raise AssertionError(_list(f"{len(self.sent)} messages were sent, and none should be", self.sent))

    def clear(self) -> None:
        """Forget what was sent."""
        self.sent.clear()

    def fail(self, error: Exception) -> None:
        """Make the next call raise this, as ``NotAccepted("no broker")``; nothing is sent then.

        Several are raised one after the other.
        """
        self._failures.append(error)

    @contextmanager
    def _recording(self, sent: Sent) -> Iterator[None]:
        """Record what is sent within, in the order of the calls, unless it fails."""
        if self._failures:
            raise self._failures.pop(0)
        self.sent.append(sent)
        try:
            yield
        except BaseException:
            self.sent[:] = [one for one in self.sent if one is not sent]
            raise


def _list(what: str, sent: Sequence[Sent]) -> str:
    return f"{what}; " + ("what was:\n" + "\n".join(f"  {one}" for one in sent) if sent else "nothing was")


def _as_sent(message: Any, data: Any = None) -> Any:
    """A message as who receives it would decode it.  Raises as emitting does."""
    if isinstance(message, str):
        payload_of(message)
        return message
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message)
    encode_message(message, data)
    kind = message.type if isinstance(message, BoundMessage) else message
    if isinstance(kind, SocketMessage):
        kind = type(kind)
    if isinstance(message, BoundMessage):
        data = message.data
    elif isinstance(message, SocketMessage):
        data = message
    schema = data_schema_of(kind)
    decoded = schema.decode(schema.encode(data))
    return kind(decoded) if isinstance(kind, MessageType) else decoded


#: No time is lost where a test waits for what will not come.
_FAST = ProviderSettings(
    linger_s=0.01,
    subscribe_timeout_s=0.5,
    publish_timeout_s=0.5,
    backoff_base_s=0.01,
    backoff_cap_s=0.05,
    stop_timeout_s=1.0,
)


#: More than a session takes to be ready, of turns of the event loop.
_TURNS: Final = 200


class FakeProvider(Recorder, Provider):
    """A provider that records what is sent and delivers it, over a broker that a test can take away.

    ::

        provider = FakeProvider()
        async with AppClient(app, provider=provider) as client:
            await client.http.post("/incidents", json=incident)
            provider.expect(IncidentCreated, topic="incidents:acme")

    ``provider.network.stop()`` and ``start()`` are an outage; ``provider.broker`` has gates that hold single
    calls.  Two of them on one network are two replicas.  Before it is started it records alone, so that
    ``AppEmitter(FakeProvider())`` is an emitter for a unit test.
    """

    def __init__(
        self, network: FakeNetwork | None = None, *, settings: ProviderSettings | None = None
    ) -> None:
        """``settings``: times of half a second and less, unless given."""
        self.network: FakeNetwork = network or FakeNetwork()
        self.broker: FakeBroker = FakeBroker(self.network)
        Recorder.__init__(self)
        Provider.__init__(self, self.broker, name="fake", settings=settings or _FAST)

    async def _start(self) -> None:
        """Until the broker is there, where it is: a socket that came before would be told of a gap."""
        await super()._start()
        for _ in range(_TURNS):
            if self.network.is_down or self.node is None or self.node.is_up:
                return
            await anyio.lowlevel.checkpoint()

    async def publish(self, topic: str, message: str | bytes, *, exclude: str | None = None) -> None:
        """See :class:`~wigwag.SocketEmitter`."""
        if not isinstance(message, str | bytes | bytearray | memoryview):
            raise TypeError(
                f"publish takes a str or bytes, not {type(message).__name__}; emit takes messages"
            )
        check_topic(topic)
        with self._recording(Sent(_as_sent(message), topic=topic, exclude=exclude)):
            if self.is_running:
                await super().publish(topic, message, exclude=exclude)

    async def send(self, socket_id: str, message: str | bytes | Emittable) -> None:
        """See :class:`~wigwag.SocketEmitter`; before it is started, any id will do."""
        with self._recording(Sent(_as_sent(message), socket_id=socket_id)):
            if self.is_running:
                await super().send(socket_id, message)

    async def broadcast(self, message: str | bytes | Emittable, *, exclude: str | None = None) -> None:
        """See :class:`~wigwag.SocketEmitter`."""
        with self._recording(Sent(_as_sent(message), exclude=exclude)):
            if self.is_running:
                await super().broadcast(message, exclude=exclude)

    async def emit(self, message: Any, topic: str, data: Any = None, *, exclude: str | None = None) -> None:
        """See :class:`~wigwag.SocketEmitter`."""
        check_topic(topic)
        with self._recording(Sent(_as_sent(message, data), topic=topic, exclude=exclude)):
            if self.is_running:
                await super().emit(message, topic, data, exclude=exclude)


class RecordingEmitter(Recorder, Emitter):
    """An emitter that delivers nothing and records everything, for the test of a service.

    ::

        emitter = RecordingEmitter()
        await Prices(emitter).change("a1", 995)
        assert emitter.expect(PriceChanged, topic="product:a1").cents == 995

    It checks what it is given as a real one does: topics, and that data fits its message.  For an emitter
    class of the application's own: ``AppEmitter(provider)`` with a :class:`FakeProvider`, which has the same
    methods.
    """

    def __init__(self) -> None:
        provider = FakeProvider()
        Emitter.__init__(self, provider)
        self.sent: list[Sent] = provider.sent
        self._failures = provider._failures
