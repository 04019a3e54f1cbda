"""Workers are killed, ended and reloaded under traffic: each client has every message, or knows why not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from serving import LIMIT_S, Service, serving
from workers.applications import write_chat

CLIENTS = 8


@dataclass
class Stay:
    """One connection of a client, from when it was in the lobby."""

    pid: int
    #: Messages from this number on are for it.
    begins: int
    got: list[int] = field(default_factory=list)
    was_told: bool = False


@dataclass
class Traffic:
    """What was published, and how each client fared."""

    service: Service
    begun: int = 0
    taken: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    stays: list[list[Stay]] = field(default_factory=lambda: [[] for _ in range(CLIENTS)])
    is_over: bool = False

    async def publish(self) -> None:
        """Publish numbers, one after the other."""
        while not self.is_over:
            self.begun += 1
            number = self.begun
            status = await asyncio.to_thread(self._post, {"topic": "lobby", "text": str(number)})
            if status == 202:
                self.taken.add(number)
            elif status == 503:
                self.refused.add(number)
            else:
                assert status == 504  # in doubt

    def _post(self, content: object) -> int:
        url = f"{self.service.internal}/api/publish"
        try:
            with urllib.request.urlopen(url, json.dumps(content).encode(), timeout=LIMIT_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code

    async def come_again_and_again(self, index: int) -> None:
        """Be a client that reconnects, as soon as it can."""
        while not self.is_over:
            try:
                async with connect(self.service.ws, open_timeout=LIMIT_S) as client:
                    pid, _ = str(await client.recv()).split()
                    stay = Stay(int(pid), self.begun + 1)
                    self.stays[index].append(stay)
                    async for message in client:
                        if isinstance(message, str) and message.startswith("{"):
                            stay.was_told |= json.loads(message)["name"] == "wigwag.resync"
                        else:
                            stay.got.append(int(message))
            except (OSError, WebSocketException, InvalidHandshake, ValueError):
                await asyncio.sleep(0.01)

    def pids(self) -> set[int]:
        """The workers on which clients are now."""
        return {stays[-1].pid for stays in self.stays if stays}

    def have_all(self, number: int) -> bool:
        """Whether each client has this message, or a later one."""
        return all(max(stays[-1].got, default=0) >= number for stays in self.stays)

    def silent_losses(self) -> list[tuple[int, list[int]]]:
        """By client, what was for it, was taken, did not come before what came after it, and it was told nothing."""
        return [
            (index, missing)
            for index, stays in enumerate(self.stays)
            for stay in stays
            if (missing := self._missing(stay)) and not stay.was_told
        ]

    def _missing(self, stay: Stay) -> list[int]:
        last = max(stay.got, default=0)
        return sorted({n for n in self.taken if stay.begins <= n <= last} - set(stay.got))


async def until(holds: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert holds(), what


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def storm(traffic: Traffic) -> None:
    """Kill one, end one, reload all: the next when the clients of the last are back, wherever they came to be."""
    await until(lambda: len(traffic.pids()) == 2, "clients on both workers")
    for fault in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        before, begun = traffic.pids(), traffic.begun
        hit = before if fault == signal.SIGHUP else {min(before)}
        if fault == signal.SIGHUP:
            traffic.service.process.send_signal(fault)
        else:
            os.kill(min(hit), fault)
        await until(lambda: all(map(is_gone, hit)), "it is gone")  # noqa: B023
        await until(lambda: traffic.pids().isdisjoint(hit), "its clients are back")  # noqa: B023
        await until(lambda: traffic.begun > begun + 20, "messages meanwhile")  # noqa: B023


async def play(service: Service) -> Traffic:
    traffic = Traffic(service)
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(traffic.publish())
        clients = [tasks.create_task(traffic.come_again_and_again(index)) for index in range(CLIENTS)]
        await storm(traffic)
        traffic.is_over = True
        await publishing
        last = max(traffic.taken)
        await until(lambda: traffic.have_all(last), "the last message everywhere")
        for client in clients:
            client.cancel()
    return traffic


@pytest.mark.timeout(120)
def test_every_message_comes_once_and_in_order_or_its_client_knows(tmp_path: Path) -> None:
    write_chat(tmp_path)
    with serving("chat:app", "--workers", "2", cwd=tmp_path) as service:
        traffic = asyncio.run(play(service))
        assert service.end()[0] == 0
    got = [stay.got for stays in traffic.stays for stay in stays]
    assert not traffic.silent_losses()
    assert all(numbers == sorted(set(numbers)) for numbers in got)  # in order, and none twice
    assert not [numbers for numbers in got if traffic.refused & set(numbers)]
    assert len(traffic.taken) > 80
