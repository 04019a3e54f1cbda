"""What an ACL allows, and what is said of what it does not."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from servers.redis import RedisServer
from wigwag.broker import Refused
from wigwag.errors import NotAccepted, TopicRefused
from wigwag.settings import Secret
from wigwag.testing.contract import open_session
from wigwag.testing.contract.checks import until
from wigwag_redis import RedisBroker, RedisSettings, RedisUrl

if TYPE_CHECKING:
    from conftest import MakeNode

pytestmark = [pytest.mark.anyio, pytest.mark.needs("redis-server")]

#: What stands in README.md.
ACL = "resetchannels &ws:* -@all +publish +subscribe +unsubscribe"


@pytest.fixture(scope="module")
def guarded() -> Generator[RedisServer]:
    """One with the users of README.md, of whom "reader" may not publish."""
    with RedisServer() as server:
        for name, may in (("wigwag", ACL), ("reader", ACL.replace("+publish ", ""))):
            server.command("ACL", "SETUSER", name, "on", ">secret", *may.split())
        yield server


def as_user(server: RedisServer, name: str, prefix: str = "ws") -> RedisBroker:
    url = RedisUrl.parse(server.url)
    settings = RedisSettings(url=url, username=name, password=Secret("secret"), key_prefix=prefix)
    return RedisBroker(settings)


async def test_the_user_of_the_readme_may_do_all_that_is_needed(guarded: RedisServer) -> None:
    guarded.command("ACL", "LOG", "RESET")
    async with open_session(as_user(guarded, "wigwag")) as session:
        await session.subscribe("lobby", "__broadcast__")
        await session.publish(("lobby", b"in"))
        await session.hear("lobby", b"in")
        await session.check()
        await session.unsubscribe("lobby")
        assert session.max_payload_bytes == 16 * 1024 * 1024
    denied = guarded.command("ACL", "LOG").splitlines()
    assert {denied[i + 1] for i, word in enumerate(denied) if word == "object"} == {"config|get"}


async def test_a_forbidden_channel_is_refused_and_the_others_are_live(guarded: RedisServer) -> None:
    guarded.command("ACL", "SETUSER", "half", "on", ">secret", *ACL.replace("ws:*", "ws:a*").split())
    async with open_session(as_user(guarded, "half")) as session:
        with pytest.raises(Refused) as caught:
            await session.subscribe("a1", "b1", "a2", "b2")
        assert caught.value.reasons is not None
        assert set(caught.value.reasons) == {"b1", "b2"}
        assert "NOPERM" in caught.value.reasons["b1"]
        assert "&ws:* +subscribe +unsubscribe +publish" in caught.value.reasons["b1"]
        with pytest.raises(Refused) as caught:
            await session.publish(("a1", b"1"), ("b1", b"2"), ("a2", b"3"))
        assert caught.value.reasons is not None
        assert set(caught.value.reasons) == {1}
        await session.hear("a1", b"1")
        await session.hear("a2", b"3")


async def test_a_user_who_may_not_publish_is_told_so(guarded: RedisServer) -> None:
    async with open_session(as_user(guarded, "reader")) as session:
        await session.subscribe("lobby")
        with pytest.raises(Refused) as caught:
            await session.publish(("lobby", b"no"))
        assert caught.value.reasons is not None
        assert "NOPERM" in caught.value.reasons[0]


async def test_a_node_says_which_topic_is_forbidden(guarded: RedisServer, make_node: MakeNode) -> None:
    may = ACL.replace("&ws:*", "&ws:open* &ws:__*")
    guarded.command("ACL", "SETUSER", "open", "on", ">secret", *may.split())
    node = await make_node(guarded.url, username="open", password=Secret("secret"))
    socket = await node.join("open:1")
    with pytest.raises(TopicRefused, match="NOPERM"):
        await node.provider.subscribe(socket.id, "shut:1")
    with pytest.raises(NotAccepted, match="NOPERM"):
        await node.provider.publish("shut:1", "no")
    await node.provider.publish("open:1", "yes")
    await until(lambda: socket.messages == ["yes"], 5, "the open topic")


async def test_a_user_that_is_taken_away_ends_the_session(guarded: RedisServer) -> None:
    guarded.command("ACL", "SETUSER", "gone", "on", ">secret", *ACL.split())
    async with open_session(as_user(guarded, "gone")) as session:
        guarded.command("ACL", "DELUSER", "gone")
        assert "is lost" in str(await session.end())
