"""Delivery, asserted against a model, while everything that can go wrong does.

A generated program of steps is interpreted inside one run of the event loop, with a clock that jumps. That
is simpler than a RuleBasedStateMachine, whose rules are synchronous: no loop has to be kept alive between
rules, several steps can fall into one turn of the loop, and a program that failed can be read, and run
again by hand. ``WIGWAG_EXAMPLES=20000`` looks longer, and not always at the same programs;
``WIGWAG_BACKEND=trio`` adds trio's random scheduling.
"""

from __future__ import annotations

import logging
import os

import anyio
import anyio.abc
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clocks import backend, settle
from provider.model import Client, Model, ModelBroker, ModelNetwork
from thoroughness import ALWAYS_THE_SAME, examples
from wigwag.errors import NotAccepted, NotRunning, PublishError, SubscribeError
from wigwag.provider import Provider, ProviderSettings
from wigwag.testing import FakeSocket, Gate
from wigwag.wire.envelope import Kind, encode_envelope

TOPICS = "abc"
GATES = ("connecting", "subscribing", "unsubscribing", "publishing", "confirming")
BACKEND = os.environ.get("WIGWAG_BACKEND", "asyncio")


class Program:
    """Interprets steps: nodes 0 and 1 have sockets and bad luck, node 2 only publishes."""

    def __init__(self, tasks: anyio.abc.TaskGroup, kept: bool) -> None:
        self.model = Model()
        self.network = ModelNetwork(self.model)
        self.tasks = tasks
        self.brokers = [ModelBroker(self.network, kept=kept and index == 0) for index in range(3)]
        self.providers = [
            Provider(broker, settings=ProviderSettings(linger_s=1.0, stop_timeout_s=1.0))
            for broker in self.brokers
        ]
        self.scopes: list[anyio.CancelScope] = []
        self.count = 0

    async def step(self, name: str, node: int, socket: int, topics: str, more: int) -> None:
        clients = self.model.of(self.brokers[node])
        client = clients[socket % len(clients)] if clients else None
        if name == "attach":
            if len(clients) < 3:
                self.attach(node)
        elif name == "publish":
            self.tasks.start_soon(self.publish, node, topics[0])
        elif name == "publish elsewhere":
            self.tasks.start_soon(self.publish, 2, topics[0])
        elif name == "advance":
            await anyio.sleep((0.01, 0.5, 1.1, 6.0, 31.0)[more % 5])
        elif name == "give up":
            if self.scopes:
                self.scopes[more % len(self.scopes)].cancel()
        elif client is not None and name in ("subscribe", "unsubscribe", "detach", "come back"):
            await self.step_of_socket(name, node, client, topics, more)
        else:
            await self.step_of_broker(name, node, topics, more)

    async def step_of_socket(self, name: str, node: int, client: Client, topics: str, more: int) -> None:
        provider = self.providers[node]
        if name == "detach":
            self.model.detach(client)
            provider.detach(client.socket.id)
        if name in ("unsubscribe", "come back"):
            for topic in topics:
                self.model.unwish(client, topic)
            await provider.unsubscribe(client.socket.id, *topics)
        if name == "come back":
            await anyio.sleep((0, 0, 1.1)[more % 3])
        if name in ("subscribe", "come back"):
            self.tasks.start_soon(self.subscribe, provider, client, topics)

    async def step_of_broker(self, name: str, node: int, topics: str, more: int) -> None:
        broker = self.brokers[node]
        gate: Gate = getattr(broker, GATES[more % len(GATES)])
        if name == "cut":
            broker.cut()
        elif name == "shut":
            gate.shut()
        elif name == "release":
            gate.release()
        elif name == "open":
            gate.open()
        elif name == "deaf":
            broker.is_deaf = True
        elif name == "hear":
            if broker.is_deaf:  # what it did not hear must not be forgotten
                broker.is_deaf = False
                broker.cut()
        elif name == "gap" and broker.is_up:
            self.gap(broker, None if more % 2 else topics)
        elif name == "forbid":
            self.network.forbidden[topics[0]] = "no"
            self.network.refuses_whole_calls = bool(more % 2)
        elif name == "allow":
            self.network.forbidden.clear()
        elif name == "down":
            self.network.is_down = True
            for lost in self.brokers[:2]:
                lost.cut()
        elif name == "up":
            self.network.is_down = False
        elif name == "hold" and not any(each.kept for each in self.brokers):
            self.network.holds_deliveries = True
        elif name == "deliver":
            self.deliver_held()
        elif name == "restart":
            await self.restart(node)
        elif name == "outage":
            broker.connecting.shut()
            broker.cut()
            await anyio.sleep(0.2)
            self.tasks.start_soon(self.publish, 2, topics[0])
        elif name == "lose a confirmation":
            broker.confirming.shut()
            self.tasks.start_soon(self.publish, node, topics[0])
            await settle()
            broker.cut()
            await settle()
            broker.confirming.open()

    def attach(self, node: int) -> None:
        socket = FakeSocket(self.providers[node].new_socket_id())
        self.model.attach(self.brokers[node], socket)
        self.providers[node].attach(socket)

    async def restart(self, node: int) -> None:
        for client in self.model.of(self.brokers[node]):
            self.model.detach(client)
            client.socket.on_write = None
        await self.providers[node].stop()
        await self.start(node)

    async def start(self, node: int) -> None:
        await self.providers[node].start()
        run = self.providers[node].node
        assert run is not None
        run._channels._batch = 2  # so that not all is live at once

    def deliver_held(self) -> None:
        self.network.holds_deliveries = False
        self.network.deliver_held()

    def gap(self, broker: ModelBroker, topics: str | None) -> None:
        deaf, broker.is_deaf = broker.is_deaf, True
        for topic in topics or TOPICS:
            self.count += 1
            message = b"%d by 9" % self.count
            self.network.publish(topic, encode_envelope(Kind.TEXT, topic, message))
        broker.is_deaf = deaf
        self.model.gap(broker, topics)
        broker.inboxes[-1].gap(None if topics is None else list(topics))

    async def publish(self, node: int, topic: str) -> None:
        self.count += 1
        number = self.count
        try:
            await self.providers[node].publish(topic, f"{number} by {node}")
        except NotAccepted:
            self.model.not_accepted(number)
        except (PublishError, NotRunning):
            pass
        else:
            if number not in self.model.taken:
                self.model.fault(f"{number} was accepted, and not sent")

    async def subscribe(self, provider: Provider, client: Client, topics: str) -> None:
        if client not in self.model.clients:
            return
        wish = {topic: self.model.taken_back[client, topic] for topic in topics}
        live = self.live(provider, topics)
        run = provider.node
        for topic in topics:
            self.model.wish(client, topic, is_live=topic in live)
            if run is not None and run._channels.why_refused(topic) is not None:
                self.model.refused_at_once(client, topic)
        done = False
        with anyio.CancelScope() as scope:
            self.scopes.append(scope)
            try:
                await provider.subscribe(client.socket.id, *topics)
                done = True
            except SubscribeError:
                pass
        self.scopes.remove(scope)
        if client not in self.model.clients:
            return
        live |= self.live(provider, topics)
        for topic in topics:
            if wish[topic] != self.model.taken_back[client, topic]:
                pass  # another call's wish by now
            elif done or topic in live:
                self.model.live(client, topic)
            else:
                self.model.gave_up(client, topic)

    def live(self, provider: Provider, topics: str) -> set[str]:
        """What is live to core."""
        run = provider.node
        return {topic for topic in topics if run is not None and run._channels.is_live(topic)}

    async def heal(self) -> None:
        self.network.is_down = False
        self.network.forbidden.clear()
        self.deliver_held()
        for broker in self.brokers:
            if broker.is_deaf:
                broker.is_deaf = False
                broker.cut()
            for gate in GATES:
                getattr(broker, gate).open()
        await anyio.sleep(60)
        await settle()

    def judge(self) -> None:
        model = self.model
        model.judge_the_end()
        for broker, provider in zip(self.brokers, self.providers, strict=True):
            model.faults += broker.violations
            wanted = {topic for client in model.of(broker) for topic in client.wishes}
            live = {topic for topic in broker.topics if not topic.startswith("__")}
            if wanted != live:
                model.fault(f"live at the end: {sorted(live)}, wanted: {sorted(wanted)}")
            assert provider.node is not None
            if not provider.node.is_up:
                model.fault("not up at the end")
        assert not model.faults


async def run_program(steps: list[Step], kept: bool) -> None:
    async with anyio.create_task_group() as tasks:
        program = Program(tasks, kept)
        for node in range(3):
            await program.start(node)
        await settle()
        try:
            for (name, node, socket, topics, more), is_settled in steps:
                await program.step(name, node, socket, topics, more)
                if is_settled:
                    await settle()
            await program.heal()
            program.judge()
        finally:
            for provider in program.providers:
                await provider.stop()
        tasks.cancel_scope.cancel()


Step = tuple[tuple[str, int, int, str, int], bool]
#: Often what makes a situation, seldom what ends it.
NAMES = (
    *("attach",) * 2,
    *("subscribe",) * 6,
    *("unsubscribe",) * 4,
    *("publish",) * 2,
    *("publish elsewhere",) * 4,
    *("advance",) * 3,
    *("cut",) * 3,
    *("shut",) * 3,
    *("release",) * 3,
    *("open",) * 2,
    *("give up",) * 2,
    *("come back",) * 3,
    *("outage",) * 2,
    *("lose a confirmation", "hold", "deliver"),
    *("detach", "deaf", "hear", "gap", "forbid", "allow", "down", "up", "restart"),
)
STEPS = st.lists(
    st.tuples(
        st.tuples(
            st.sampled_from(NAMES),
            st.integers(0, 1),
            st.integers(0, 2),
            st.sampled_from(("a", "b", "c", "ab", "bc", "abc")),
            st.integers(0, 9),
        ),
        st.booleans(),
    ),
    min_size=5,
    max_size=40,
)
#: Every program begins with somebody there.
BEGIN: list[Step] = [
    (("attach", 0, 0, "a", 0), True),
    (("attach", 0, 0, "a", 0), True),
    (("attach", 1, 0, "a", 0), True),
    (("subscribe", 0, 0, "ab", 0), True),
]


@settings(
    max_examples=examples(250),
    derandomize=ALWAYS_THE_SAME,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    phases=[Phase.explicit, Phase.generate] + ([] if "WIGWAG_NO_SHRINK" in os.environ else [Phase.shrink]),
)
@given(STEPS, st.booleans())
def test_nothing_is_lost_silently_doubled_or_disordered(steps: list[Step], kept: bool) -> None:
    logging.disable(logging.CRITICAL)
    try:
        anyio.run(run_program, BEGIN + steps, kept, backend=BACKEND, backend_options=backend(BACKEND)[1])
    finally:
        logging.disable(logging.NOTSET)
