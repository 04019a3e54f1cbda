"""The provider: what ``Sockets`` and emitters stand on, over any broker."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Any, Self

import anyio

from wigwag.background import BackgroundTask
from wigwag.broker import Broker
from wigwag.errors import NotConnected, NotRunning
from wigwag.frames import Frame, check_close_code
from wigwag.interfaces import LocalSocket
from wigwag.messages import encode_message, frame_of
from wigwag.node import BROADCAST_CHANNEL, new_socket_id, node_tag_of
from wigwag.provider.commands import NodeCount
from wigwag.provider.counters import Counters
from wigwag.provider.hosting import hosted
from wigwag.provider.node import Node
from wigwag.provider.settings import ProviderSettings
from wigwag.provider.siblings import siblings
from wigwag.topics import check_topic
from wigwag.wire.client import GOING_AWAY

logger: logging.Logger = logging.getLogger("wigwag.provider")

#: How long nodes have to answer when they are asked for a count.
_COUNT_TIMEOUT_S = 0.5
#: As a tuple: a union would be made anew for each message.
_TEXT_OR_BINARY = (str, bytes, bytearray, memoryview)


class Provider:
    """A :class:`~wigwag.WebSocketProvider` over a broker.

    It keeps one broker session whatever happens to the link, knows who wants what, and delivers.
    Started and stopped by :meth:`start` and :meth:`stop`, which are idempotent; or, counted, by
    ``async with``: whoever enters first starts it, and who leaves last stops it, so that several
    ``Sockets`` can share one.  :meth:`start` does not wait for the broker: what is asked meanwhile waits
    for it, each within its own limit.

    Works on asyncio and trio; most brokers' clients are asyncio only.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        name: str = "custom",
        settings: ProviderSettings | None = None,
        subscribes: bool = True,
        identity: object = None,
    ) -> None:
        """``subscribes=False``: for a process that only publishes; no socket can attach.

        Providers of one ``identity`` speak through the same channels of the same broker, so that what one
        publishes all deliver; without one, each is taken to stand alone.
        """
        self.name = name
        self.identity: object = self if identity is None else identity
        self.settings: ProviderSettings = settings or ProviderSettings()
        self.counters: Counters = Counters()
        self._broker = broker
        self._subscribes = subscribes
        self._node: Node | None = None
        self._task: BackgroundTask | None = None
        self._entered = 0
        self._kept = False  # started by start(), so that leaving the last `async with` does not stop it
        self._stopping: anyio.Event | None = None
        self._all_gone: anyio.Event | None = None

    # Lifecycle

    async def start(self) -> None:
        """Start, unless it is started.  Returns at once; the broker is connected in the background."""
        self._kept = True
        await self._start()

    async def _start(self) -> None:
        while self._stopping is not None:
            await self._stopping.wait()
        if self._node is None:
            self._node = Node(self._broker, self.settings, self.counters, subscribes=self._subscribes)
            self._task = BackgroundTask(self._run)
            self._task.start()
            if self._broker.in_process:
                self._warn_of_siblings()
            host = hosted.get()
            if host is not None and self not in host:
                host.append(self)

    def _warn_of_siblings(self) -> None:
        others = siblings()
        if others is not None:
            logger.warning(
                "%s runs %d processes, and the provider %r reaches the sockets of its own process only: what one "
                "publishes, the sockets of the others do not get. Run one, or `wigwag serve --workers %d`, or choose a "
                "provider that joins them (WIGWAG_PROVIDER: local, with `wigwag hub`; or a broker)",
                others.server,
                others.processes,
                self.name,
                others.processes,
            )

    async def _run(self) -> None:
        node = self._node
        if node is not None:
            try:
                await node.run()
            except Exception:
                logger.critical("the provider failed; it needs to be restarted", exc_info=True)
                raise

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled: for a task group, ``await tasks.start(provider.run)``."""
        async with self:
            task_status.started()
            await anyio.sleep_forever()

    async def stop(self) -> None:
        """Stop, unless it is stopped: close every socket with 1012, run their close handlers, finish what
        is being published, end the broker session.  Each step has its limit (``stop_timeout_s``)."""
        self._kept = False
        if self._stopping is not None:
            await self._stopping.wait()
            return
        node, task = self._node, self._task
        if node is None or task is None:
            return
        self._stopping = anyio.Event()
        try:
            await self._close_sockets(node)
            self._node = None
            with anyio.move_on_after(self.settings.stop_timeout_s):
                await node.flush()
        finally:
            self._node = None
            with anyio.CancelScope(shield=True):  # bounded: a broker has 2 s to close
                await task.stop()
            node.abandon()
            for socket_id in list(node.fanout.sockets):
                self._detach(node, socket_id)
            self._task = None
            self._stopping.set()
            self._stopping = None

    async def _close_sockets(self, node: Node) -> None:
        if node.fanout.sockets:
            self._all_gone = anyio.Event()
            node.fanout.close(node.fanout.sockets.values(), GOING_AWAY, "going away")
            with anyio.move_on_after(self.settings.stop_timeout_s):
                await self._all_gone.wait()
            self._all_gone = None

    async def __aenter__(self) -> Self:
        self._entered += 1
        try:
            await self._start()
        except BaseException:
            self._entered -= 1
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered -= 1
        if not self._entered and not self._kept:
            with anyio.CancelScope(shield=True):  # bounded: each step of stop() has its limit
                await self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it is started."""
        return self._node is not None

    def _running(self, purpose: str) -> Node:
        node = self._node
        if node is None:
            raise NotRunning(
                f"{purpose}: the provider is not running. Give the application "
                "lifespan=sockets.lifespan, or enter `async with sockets:` in a lifespan of your own; the "
                "lifespan of a mounted sub-application never runs, so do it in the outermost one"
            )
        return node

    # Publishing

    async def publish(self, topic: str, message: str | bytes, *, exclude: str | None = None) -> None:
        """See :class:`~wigwag.SocketEmitter`; ``exclude`` is a socket that does not get it."""
        check_topic(topic)
        node = self._node or self._running(f"can't publish to {topic!r}")
        if not isinstance(message, _TEXT_OR_BINARY):
            raise TypeError(
                f"publish takes a str or bytes, not {type(message).__name__}; emit takes messages, and "
                "json.dumps makes a str of a dict"
            )
        frame = frame_of(message, topic)
        if exclude is not None:
            node_tag_of(exclude)
        await node.publish(topic, frame, exclude)

    async def send(self, socket_id: str, message: Any) -> None:
        """See :class:`~wigwag.SocketEmitter`."""
        tag = node_tag_of(socket_id)
        node = self._running(f"can't send to socket {socket_id}")
        await node.send(tag, socket_id, frame_of(message))

    async def broadcast(self, message: Any, *, exclude: str | None = None) -> None:
        """See :class:`~wigwag.SocketEmitter`; ``exclude`` is a socket that does not get it."""
        node = self._running("can't broadcast")
        if exclude is not None:
            node_tag_of(exclude)
        await node.publish(BROADCAST_CHANNEL, frame_of(message, BROADCAST_CHANNEL), exclude)

    async def emit(self, message: Any, topic: str, data: Any = None, *, exclude: str | None = None) -> None:
        """See :class:`~wigwag.SocketEmitter`; ``exclude`` is a socket that does not get it."""
        check_topic(topic)
        node = self._node or self._running(f"can't publish to {topic!r}")
        frame = Frame(encode_message(message, data), is_text=True, topic=topic)
        if exclude is not None:
            node_tag_of(exclude)
        await node.publish(topic, frame, exclude)

    # Sockets

    def new_socket_id(self) -> str:
        """An id for a socket that is about to attach.  Raises NotRunning."""
        return new_socket_id(self._running("can't accept a socket").tag)

    def attach(self, socket: LocalSocket) -> None:
        """Count the socket as connected.

        Raises:
            NotRunning: also where the id is of a run that is over: nobody would find the socket by it.
            InvalidSocketId: it is no socket id.
        """
        node = self._running("can't accept a socket")
        if self._stopping is not None or not self._subscribes:
            raise NotRunning("the provider accepts no sockets: it is stopping, or made to publish only")
        if node_tag_of(socket.id) != node.tag:
            raise NotRunning(f"the id of socket {socket.id} is of another node, or of a run that is over")
        if socket.id not in node.fanout.sockets:
            node.attach(socket)

    def detach(self, socket_id: str) -> None:
        """Forget the socket and all its topics.  One that is not attached is no error."""
        node_tag_of(socket_id)
        if self._node is not None:
            self._detach(self._node, socket_id)

    def _detach(self, node: Node, socket_id: str) -> None:
        node.detach(socket_id)
        if self._all_gone is not None and not node.fanout.sockets:
            self._all_gone.set()

    async def subscribe(self, socket_id: str, *topics: str) -> None:
        """See :class:`~wigwag.WebSocketProvider`."""
        self._check(socket_id, topics)
        if not topics:
            return
        node = self._node
        if node is None:
            raise NotConnected(topics[0], "the provider is not running")
        await node.subscribe(socket_id, topics)

    async def unsubscribe(self, socket_id: str, *topics: str) -> None:
        """See :class:`~wigwag.WebSocketProvider`."""
        self._check(socket_id, topics)
        if self._node is not None:
            self._node.unsubscribe(socket_id, topics)

    def _check(self, socket_id: str, topics: Sequence[str]) -> None:
        node_tag_of(socket_id)
        for topic in topics:
            check_topic(topic)

    async def disconnect(self, socket_id: str, code: int = 1000, reason: str = "") -> None:
        """See :class:`~wigwag.WebSocketProvider`.  Raises ValueError for a code that can't be sent."""
        tag = node_tag_of(socket_id)
        check_close_code(code)
        node = self._running(f"can't disconnect {socket_id}")
        await node.disconnect(tag, socket_id, code, reason)

    async def disconnect_user(self, user_id: str, code: int = 1000, reason: str = "") -> None:
        """See :class:`~wigwag.WebSocketProvider`.  Raises ValueError for a code that can't be sent."""
        check_close_code(code)
        await self._running("can't disconnect a user").disconnect_user(user_id, code, reason)

    def is_connected(self, socket_id: str) -> bool:
        """Whether the socket hangs on this node."""
        node_tag_of(socket_id)
        return self._node is not None and socket_id in self._node.fanout.sockets

    def connection_count(self) -> int:
        """How many sockets hang on this node."""
        return 0 if self._node is None else len(self._node.fanout.sockets)

    def topic_subscriber_count(self, topic: str) -> int:
        """How many sockets of this node want the topic."""
        check_topic(topic)
        return 0 if self._node is None else len(self._node.fanout.interest.sockets(topic))

    def topics_of(self, socket_id: str) -> Collection[str]:
        """See :class:`~wigwag.WebSocketProvider`."""
        node_tag_of(socket_id)
        node = self._node
        socket = None if node is None else node.fanout.sockets.get(socket_id)
        if node is None or socket is None:
            return ()
        return node.fanout.interest.topics_of(socket)

    # For the operator

    @property
    def in_process(self) -> bool:
        """Whether only the sockets of this process are reached."""
        return self._broker.in_process

    @property
    def node(self) -> Node | None:
        """The run in progress, for metrics and health; None when stopped."""
        return self._node

    async def count_sockets(self) -> dict[str, NodeCount]:
        """How many sockets each node has that answered within half a second, by its tag, and whether it is about to
        end."""
        return await self._running("can't count").look(_COUNT_TIMEOUT_S)

    async def count_topic(self, topic: str) -> dict[str, int]:
        """How many sockets want the topic on each node that answered within half a second."""
        check_topic(topic)
        return await self._running(f"can't count {topic!r}").count(topic, _COUNT_TIMEOUT_S)
