"""What is particular to MQTT: what it refuses, retains, and drops in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import mqtt5
import pytest
from mosquitto_server import Mosquitto, TcpProxy, serving

from wigwag.broker import BrokerLost, Refused
from wigwag.settings import Secret
from wigwag.testing.contract import ContractSession, open_session
from wigwag_mqtt import MqttBroker, MqttSettings
from wigwag_mqtt.link import connect, read_packet

pytestmark = [pytest.mark.anyio, pytest.mark.needs("mosquitto")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def strict_mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """One that takes little, and not everywhere."""
    (tmp_path / "acl").write_text("topic readwrite ws/open\n")
    lines = ("allow_anonymous true", f"acl_file {tmp_path}/acl", "message_size_limit 1000")
    with serving(tmp_path, *lines) as server:
        yield server


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in threads and in the broker
            await anyio.sleep(0.01)


def broker_at(url: str) -> MqttBroker:
    return MqttBroker(MqttSettings(url=url))


async def flood(publisher: ContractSession, topic: str) -> None:
    """Publish 24 MB: more than the kernel's buffers and a thousand messages."""
    for _ in range(60):
        await publisher.publish(*[(topic, bytes(8000))] * 50)


async def test_what_the_broker_drops_is_told(mosquitto_as_it_comes: Mosquitto) -> None:
    proxy = TcpProxy(mosquitto_as_it_comes.port)
    publisher, slow = broker_at(mosquitto_as_it_comes.url), broker_at(proxy.url)
    async with open_session(publisher) as sender, open_session(slow) as receiver:
        await receiver.subscribe("news")
        proxy.flows.clear()
        await flood(sender, "news")
        proxy.flows.set()
        await until(lambda: bool(receiver.inbox.gaps))
        assert receiver.inbox.gaps[0] is None
        assert len(receiver.inbox.of("news")) < 3000
        assert not receiver.is_over
    proxy.close()


async def test_with_the_limits_of_the_readme_nothing_is_dropped(mosquitto: Mosquitto) -> None:
    proxy = TcpProxy(mosquitto.port)
    publisher, slow = broker_at(mosquitto.url), broker_at(proxy.url)
    async with open_session(publisher) as sender, open_session(slow) as receiver:
        await receiver.subscribe("news")
        proxy.flows.clear()
        await flood(sender, "news")
        proxy.flows.set()
        await until(lambda: len(receiver.inbox.of("news")) == 3000)
        assert receiver.inbox.gaps == []
    proxy.close()


async def test_a_refused_message_is_named_and_the_rest_are_taken(strict_mosquitto: Mosquitto) -> None:
    async with open_session(broker_at(strict_mosquitto.url)) as session:
        await session.subscribe("open")
        with pytest.raises(Refused) as caught:
            await session.publish(("open", b"1"), ("shut", b"2"), ("open", bytes(2000)), ("open", b"4"))
        assert caught.value.reasons == {1: "not authorized", 2: "packet too large"}
        await session.hear("open", b"4")
        assert session.inbox.of("open") == [b"1", b"4"]


async def test_what_was_retained_before_is_not_delivered(mosquitto: Mosquitto) -> None:
    settings = MqttSettings(url=mosquitto.url)
    reader, writer, _ = await connect(settings, None)
    once = mqtt5.QoS.AT_LEAST_ONCE
    writer.write(mqtt5.PublishPacket("ws/old", b"old", qos=once, packet_id=1, retain=True).write())
    await read_packet(reader)
    writer.transport.abort()
    async with open_session(MqttBroker(settings)) as session:
        await session.subscribe("old")
        await session.publish(("old", b"new"))
        await session.hear("old", b"new")
        assert session.inbox.of("old") == [b"new"]


async def test_a_wrong_password_is_one_line_without_it(tmp_path: Path) -> None:
    (tmp_path / "users").touch()
    with serving(tmp_path, "allow_anonymous false", f"password_file {tmp_path}/users") as server:
        settings = MqttSettings(url=server.url.replace("//", "//ann@"), password=Secret("hunter2"))
        with pytest.raises(BrokerLost, match="refused ann: not authorized") as caught:
            await connect(settings, None)
        assert "hunter2" not in str(caught.value)


async def test_a_server_of_another_kind_is_one_line() -> None:
    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, hang_up)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with pytest.raises(BrokerLost, match="did not answer as a broker of MQTT 5 does"):
            await connect(MqttSettings(url=f"mqtt://127.0.0.1:{port}"), None)
        group.cancel_scope.cancel()
