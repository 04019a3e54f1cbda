"""``wigwag listen``: what is published to topics, as lines of JSON."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from wigwag.client import (
    ClientError,
    ClientState,
    Event,
    Received,
    Reply,
    RequestFailed,
    RequestTimeout,
    SocketClient,
)
from wigwag.errors import InvalidTopic
from wigwag.topics import check_topic


def listen(topics: Sequence[str], url: str) -> None:
    """Print messages until SIGINT; what happens to the connection goes to standard error.

    Raises:
        click.UsageError: the URL or a topic is none.
        ClientError: the service does not want this client.
    """
    try:
        for topic in topics:
            check_topic(topic)
    except InvalidTopic as exc:
        raise click.UsageError(str(exc)) from None
    try:
        asyncio.run(_listen(url, topics))
    except KeyboardInterrupt:
        return


async def _listen(url: str, topics: Sequence[str]) -> None:
    try:
        client = SocketClient(url)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None
    client.on_state_change(_Notices().state)
    client.on_error(_say_error)
    async with client:
        _say(f"connected to {url}, joining {', '.join(topics)}")
        joining = asyncio.create_task(_join(client, topics))
        try:
            async for message in client.events():
                click.echo(line_of(message))
        finally:
            joining.cancel()


async def _join(client: SocketClient, topics: Sequence[str]) -> None:
    """Beside the reading: what comes meanwhile is printed, from a server that knows no rooms too."""
    joined: list[str] = []
    for topic in topics:
        try:
            await client.join_room(topic)
        except RequestTimeout:
            _say(f"no answer to room.join for {topic}: does this application have rooms?")
        except RequestFailed as exc:
            _say(f"{topic} can't be joined: {exc}")
        else:
            joined.append(topic)
    _say(f"listening to {', '.join(joined) or 'what comes unasked'}; Ctrl-C stops")


def line_of(message: Received) -> str:
    """One message as a line of JSON."""
    content: dict[str, Any]
    if isinstance(message, Event):
        content = {"name": message.name, "data": message.data, "timestamp": message.timestamp}
    elif isinstance(message, Reply):
        content = {"type": message.type, "data": message.data, "error": message.error}
    elif isinstance(message.data, bytes):
        content = {"base64": base64.b64encode(message.data).decode()}
    else:
        content = {"text": message.data}
    return msgspec.json.encode(content).decode()


class _Notices:
    """Says when the connection is back."""

    def __init__(self) -> None:
        self._was_connected = False

    def state(self, state: ClientState) -> None:
        if state == "connected":
            if self._was_connected:
                _say("connected again; what was published meanwhile is missing")
            self._was_connected = True


def _say_error(error: ClientError) -> None:
    _say(f"{error}; trying again")


def _say(text: str) -> None:
    click.echo(f"wigwag: {' '.join(text.split())}", err=True)
