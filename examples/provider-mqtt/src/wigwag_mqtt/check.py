"""What `wigwag check` says of a broker before a deploy."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import mqtt5

from wigwag.broker import Finding
from wigwag_mqtt.broker import DROPPED
from wigwag_mqtt.link import connect, read_packet
from wigwag_mqtt.settings import MqttSettings

VERSION = "$SYS/broker/version"
PATIENCE_S = 2.0  # what the broker says of itself is retained, and comes at once
LARGE_BYTES = 2**17


async def check(settings: MqttSettings) -> list[Finding]:
    """Log in, look at the limits and at what the broker says of itself; raises BrokerLost."""
    reader, writer, hello = await connect(settings, settings.tls_context())
    try:
        filters = [mqtt5.TopicFilter(name, max_qos=mqtt5.QoS.AT_MOST_ONCE) for name in (VERSION, DROPPED)]
        writer.write(mqtt5.SubscribePacket(1, filters).write())
        said = await _listen(reader)
    finally:
        writer.transport.abort()
    return [_version(said), _encryption(settings), _window(hello), _size(hello), _drops(said)]


async def _listen(reader: asyncio.StreamReader) -> dict[str, str]:
    said: dict[str, str] = {}
    try:
        async with asyncio.timeout(PATIENCE_S):
            while len(said) < 2:
                packet, _ = mqtt5.read(memoryview(await read_packet(reader)))
                if isinstance(packet, mqtt5.PublishPacket):
                    said[packet.topic] = packet.payload.decode(errors="replace")
    except (TimeoutError, OSError, EOFError):
        pass  # it says nothing, or has no more to say
    return said


def _version(said: dict[str, str]) -> Finding:
    return Finding("ok", "version", said.get(VERSION, "MQTT 5, of a make that the broker does not name"))


def _encryption(settings: MqttSettings) -> Finding:
    if settings.url.startswith("mqtts:"):
        return Finding("ok", "encryption", "TLS, with the broker's certificate verified")
    if _is_this_machine(settings.host):
        return Finding("ok", "encryption", "none, and the broker is on this machine")
    return Finding("warning", "encryption", "messages and the password travel in the clear: use mqtts://")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _window(hello: mqtt5.ConnAckPacket) -> Finding:
    text = f"it takes {hello.receive_max} messages at a time from a node, then the node waits a round trip"
    if hello.receive_max < 100:
        return Finding("warning", "throughput", f"{text}: set max_inflight_messages 1000 in mosquitto.conf")
    return Finding("ok", "throughput", text)


def _size(hello: mqtt5.ConnAckPacket) -> Finding:
    if hello.max_packet_size is None:
        text = "it names no largest packet; message_size_limit, if set, is not announced: use max_packet_size"
        return Finding("ok", "size", text)
    text = f"packets of at most {hello.max_packet_size} bytes: larger messages are refused"
    return Finding("ok" if hello.max_packet_size >= LARGE_BYTES else "warning", "size", text)


def _drops(said: dict[str, str]) -> Finding:
    dropped = said.get(DROPPED)
    if dropped is None:
        text = f"the broker does not say what it drops: let the user read {DROPPED}, or sockets miss messages untold"
        return Finding("warning", "drops", text)
    if dropped != "0":
        text = f"it has dropped {dropped} messages since its start, in silence: set max_queued_messages 0"
        return Finding("warning", "drops", text)
    return Finding("ok", "drops", "it has dropped nothing since its start; max_queued_messages 0 keeps it so")
