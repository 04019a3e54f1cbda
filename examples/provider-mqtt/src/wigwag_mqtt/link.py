"""One connection to the broker: MQTT 5 over asyncio's streams."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Iterator, Sequence
from typing import TypeVar

import mqtt5

from wigwag.broker import BrokerLost
from wigwag_mqtt.settings import MqttSettings

# After one and a half times as long without a word the broker gives a node up, and frees what it queued for it.
KEEP_ALIVE_S = 30
LARGEST_PACKET_BYTES = 268_435_460  # what the four bytes of a length can say, and the head
PUBACK = 4
REFUSED = 0x80  # reason codes from here on
T = TypeVar("T")


async def connect(
    settings: MqttSettings, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, mqtt5.ConnAckPacket]:
    """Open a link and log in, as a new client of which the broker knows nothing; raises BrokerLost."""
    try:
        reader, writer = await asyncio.open_connection(settings.host, settings.port, ssl=tls, limit=2**20)
    except ssl.SSLError as exc:
        raise BrokerLost(f"no TLS with {settings.url}: {exc}; see WIGWAG_MQTT_CA_FILE") from exc
    except OSError as exc:
        raise BrokerLost(f"no MQTT broker at {settings.url}: {exc.strerror or exc}; is it up?") from exc
    try:
        writer.write(_hello(settings))
        packet, _ = mqtt5.read(memoryview(await read_packet(reader)))
        if not isinstance(packet, mqtt5.ConnAckPacket):
            raise ValueError("no CONNACK")
        if (code := int(packet.reason_code)) >= REFUSED:
            raise BrokerLost(f"{settings.url} refused {settings.user or 'a nameless user'}: {reason(code)}")
    except (OSError, EOFError, ValueError) as exc:
        writer.transport.abort()
        raise BrokerLost(f"{settings.url} did not answer as a broker of MQTT 5 does; is it one?") from exc
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer, packet


def _hello(settings: MqttSettings) -> bytes:
    password = settings.password.reveal().encode() if settings.password else None
    return mqtt5.ConnectPacket(
        client_id=f"wigwag-{secrets.token_hex(8)}",  # two clients of one name throw each other out
        username=settings.user,
        password=password,
        clean_start=True,  # with an expiry of 0, the default: nothing is kept for it when the link ends
        keep_alive=KEEP_ALIVE_S,
        request_problem_info=False,  # no sentences in a PUBACK, which stays short
    ).write()


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    """Return the next packet, whole; raises EOFError or OSError at the end."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(head[1:]))
    return head + await reader.readexactly(length)


def reason(code: int) -> str:
    """Return what a reason code of the broker means, for people."""
    for codes in (mqtt5.DisconnectReasonCode, mqtt5.ConnAckReasonCode):
        with contextlib.suppress(ValueError):
            return codes(code).name.lower().replace("_", " ")
    return f"reason code {code}"


def in_parts(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most so many."""
    return (list(items[start : start + size]) for start in range(0, len(items), size))
