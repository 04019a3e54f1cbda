"""The broker: what core asks of it, in packets of MQTT 5.

Publishes are QoS 1: the broker's PUBACK says that it has the message, or why not.  Subscriptions are QoS 0: on one
living link that is each message once and in order, whereas QoS 1 would have the broker hold back what comes after
the first few that are not acknowledged, and drop what it can't hold.  When it does drop, its own count says so.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import mqtt5

from wigwag.broker import Broker, BrokerLost, Inbox, Refused
from wigwag_mqtt import link
from wigwag_mqtt.settings import MqttSettings

DROPPED = "$SYS/broker/publish/messages/dropped"
LONGEST_TOPIC = 256
SIMPLE, CONFIRMED = mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE
Request = mqtt5.SubscribePacket | mqtt5.UnsubscribePacket | mqtt5.PublishPacket


class MqttBroker(Broker):
    """One session at a time; core calls run() anew after each loss."""

    def __init__(self, settings: MqttSettings) -> None:
        """Connect to nothing; raises SettingsError if the CA file can't be used."""
        self._settings = settings
        self._tls = settings.tls_context()
        self._ids = itertools.cycle(range(1, 2**16))
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[list[int]]] = {}
        self._ping: asyncio.TimerHandle | None = None
        self._dropped = b"0"
        self._window = self._topics_per_packet = 1

    def _channel(self, topic: str) -> str:
        return f"{self._settings.prefix}/{topic}"

    async def run(self, inbox: Inbox) -> None:
        """Connect, say ready, receive until the link is lost, raise BrokerLost."""
        reader, self._writer, hello = await link.connect(self._settings, self._tls)
        asked_s, imposed_s = link.KEEP_ALIVE_S, hello.server_keep_alive
        self._keep_alive(self._writer, asked_s if imposed_s is None else imposed_s)
        if self._settings.watch_drops:
            drops = mqtt5.TopicFilter(DROPPED, max_qos=SIMPLE, retain_as_published=False)
            self._writer.write(mqtt5.SubscribePacket(next(self._ids), [drops]).write())
        inbox.ready(max_payload_bytes=self._limits(hello))
        try:
            while True:
                self._received(inbox, await link.read_packet(reader))
        except EOFError as exc:
            raise BrokerLost(f"{self._settings.url} closed the link") from exc
        except OSError as exc:
            raise BrokerLost(f"the link to {self._settings.url} was lost: {exc.strerror or exc}") from exc
        except ValueError as exc:
            raise BrokerLost(f"{self._settings.url} sent what is no MQTT 5: {exc}") from exc

    def _limits(self, hello: mqtt5.ConnAckPacket) -> int:
        """Keep the broker's limits; the largest payload that fits into a packet with the longest topic."""
        largest = min(hello.max_packet_size or link.LARGEST_PACKET_BYTES, link.LARGEST_PACKET_BYTES)
        channel = len(self._channel("").encode()) + LONGEST_TOPIC
        self._window = hello.receive_max
        self._topics_per_packet = max(1, (largest - 10) // (channel + 3))
        return largest - (5 + 2 + channel + 2 + 1)  # head, topic, id, no properties

    def _keep_alive(self, writer: asyncio.StreamWriter, keep_alive_s: int) -> None:
        """Be heard of, also where core's probes are far apart."""
        if keep_alive_s:
            writer.write(mqtt5.PingReqPacket().write())
            again = asyncio.get_running_loop().call_later
            self._ping = again(keep_alive_s / 2, self._keep_alive, writer, keep_alive_s)

    def _received(self, inbox: Inbox, data: bytes) -> None:
        if data[0] >> 4 == link.PUBACK:  # by hand: mosquitto has reasons that are not in the standard
            self._answer(int.from_bytes(data[2:4], "big"), [data[4] if data[1] > 2 else 0])
            return
        packet, _ = mqtt5.read(memoryview(data))
        if isinstance(packet, mqtt5.PublishPacket):
            self._arrived(inbox, packet)
        elif isinstance(packet, mqtt5.SubAckPacket | mqtt5.UnsubAckPacket):
            self._answer(packet.packet_id, [int(code) for code in packet.reason_codes])
        elif isinstance(packet, mqtt5.DisconnectPacket):
            why = link.reason(int(packet.reason_code))
            raise BrokerLost(f"{self._settings.url} ended the session: {why}")

    def _arrived(self, inbox: Inbox, packet: mqtt5.PublishPacket) -> None:
        prefix = self._channel("")
        if packet.topic.startswith(prefix):
            inbox.deliver(packet.topic.removeprefix(prefix), packet.payload)
        elif packet.topic == DROPPED:
            # As retained it comes first: what it was before this session.
            if not packet.retain and packet.payload != self._dropped:
                inbox.gap()
            self._dropped = packet.payload

    def _answer(self, packet_id: int, codes: list[int]) -> None:
        answer = self._answers.pop(packet_id, None)
        if answer is not None and not answer.done():  # cancelled by core meanwhile
            answer.set_result(codes)

    async def _ask(self, requests: Sequence[Request]) -> list[list[int]]:
        """Write the packets, in one go; the reason codes of each when the broker has answered all."""
        if self._writer is None:
            raise BrokerLost("there is no session")
        loop = asyncio.get_running_loop()
        answers = {request.packet_id or 0: loop.create_future() for request in requests}
        self._answers |= answers
        try:
            self._writer.write(b"".join(request.write() for request in requests))
            await self._writer.drain()
        except OSError as exc:
            raise BrokerLost(f"the link to {self._settings.url} was lost: {exc.strerror or exc}") from exc
        return [await answer for answer in answers.values()]

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Return when all are live: the broker has said so of each."""
        # Not what somebody left there as retained: it was published before.
        never = mqtt5.RetainHandling.SEND_NEVER
        channels = [self._channel(topic) for topic in topics]
        filters = [mqtt5.TopicFilter(name, max_qos=SIMPLE, retain_handling=never) for name in channels]
        parts = link.in_parts(filters, self._topics_per_packet)
        answers = await self._ask([mqtt5.SubscribePacket(next(self._ids), part) for part in parts])
        codes = zip(topics, itertools.chain.from_iterable(answers), strict=True)
        if refused := {topic: link.reason(code) for topic, code in codes if code >= link.REFUSED}:
            raise Refused(refused)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Stop them."""
        parts = link.in_parts([self._channel(topic) for topic in topics], self._topics_per_packet)
        await self._ask([mqtt5.UnsubscribePacket(next(self._ids), part) for part in parts])

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Return when the broker has acknowledged each, as many at a time as it allows."""
        channels = [(self._channel(topic), payload) for topic, payload in messages]
        codes: list[list[int]] = []
        for part in link.in_parts(channels, self._window):
            codes += await self._ask(
                [mqtt5.PublishPacket(*message, qos=CONFIRMED, packet_id=next(self._ids)) for message in part]
            )
        if refused := {i: link.reason(code) for i, (code,) in enumerate(codes) if code >= link.REFUSED}:
            raise Refused(refused)

    async def close(self) -> None:
        """Abort the connection."""
        writer, self._writer = self._writer, None
        ping, self._ping = self._ping, None
        self._answers.clear()
        self._dropped = b"0"
        if ping is not None:
            ping.cancel()
        if writer is not None:
            writer.transport.abort()
