"""Which server is the master, asked of the sentinels."""

from __future__ import annotations

from collections import Counter

import anyio
from hiredis import ReplyError

from wigwag.broker import BrokerLost
from wigwag_redis.dialing import Dialer, plain
from wigwag_redis.link import Link, Loss
from wigwag_redis.url import Address, RedisUrl

Votes = Counter[Address | None]


async def find_master(dialer: Dialer, url: RedisUrl) -> Address:
    """What most of the sentinels that answer call the master: one that is cut off may know only the last one.

    Raises:
        BrokerLost: in one line, where none answers, or those that do know no such service.
    """
    votes: Votes = Counter()
    failures: list[str] = []
    await _ask_all(dialer, url, votes, failures)
    if not votes:
        raise BrokerLost(f"no sentinel answers: {'; '.join(sorted(failures))}")
    master = votes.most_common(1)[0][0]
    if master is None:
        raise BrokerLost(f"the sentinels know no service {url.service!r}; see WIGWAG_REDIS_URL")
    return master


async def find_new_master(dialer: Dialer, url: RedisUrl, within_s: float) -> Address | None:
    """What most of the sentinels in the URL call the master, or None where they are not so many in that time."""
    votes: Votes = Counter()
    with anyio.move_on_after(within_s):
        await _ask_all(dialer, url, votes, [])
    return next((address for address in votes if _is_most(votes[address], url)), None)


def _is_most(count: int, url: RedisUrl) -> bool:
    return count * 2 > len(url.addresses)


async def _ask_all(dialer: Dialer, url: RedisUrl, votes: Votes, failures: list[str]) -> None:
    """Ask all at once, until most agree or none is left to answer."""

    async def ask(address: Address) -> None:
        try:
            master = await _ask(dialer, address, url.service)
        except BrokerLost as exc:
            failures.append(str(exc))
            return
        votes[master] += 1
        if _is_most(votes[master], url):
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for address in url.addresses:
            tasks.start_soon(ask, address)


async def _ask(dialer: Dialer, address: Address, service: str) -> Address | None:
    link = Link(dialer, address, Loss())
    question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
    login = [("AUTH", *dialer.sentinel_login)] if dialer.sentinel_login else []
    try:
        with dialer.in_time(address):
            await link.connect()
            replies = await link.call([*login, question])
    finally:
        with anyio.CancelScope(shield=True):
            await link.close()
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise BrokerLost(_refusal(address, plain(str(reply))))
    master = replies[-1]
    try:
        return None if master is None else Address(master[0].decode(), int(master[1]))
    except (TypeError, LookupError, AttributeError, ValueError):
        raise BrokerLost(f"{address} does not answer as a sentinel does; see WIGWAG_REDIS_URL") from None


def _refusal(address: Address, text: str) -> str:
    if text.startswith(("NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH")):
        return f"{address} refuses us ({text}); see WIGWAG_REDIS_SENTINEL_USERNAME and …_PASSWORD"
    return f"{address} is no sentinel ({text}); see WIGWAG_REDIS_URL"
