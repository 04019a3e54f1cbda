"""One measurement, in a process of its own: ``worker.py '{…}'`` with a :class:`Task`; prints what was measured."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from meter import Measured, Meter
from ways import IN_FLIGHT, ways_of

Case = Literal["receive", "publish", "publish singly"]
#: About how many bytes are on their way to a receiver at once.
WINDOW_BYTES = 1024 * 1024
#: Kafka's clients have one batch a partition under way: groups are as large as wigwag's largest batches.
GROUP_BYTES = {"local": 16 * 1024, "redis": 16 * 1024, "nats": 16 * 1024, "kafka": 128 * 1024}
_LEAST_GROUP = 16  # so that asking for more costs nothing
LIMIT_S = 60.0


@dataclass(frozen=True)
class Task:
    """What to measure: sizes in bytes, times in seconds."""

    broker: str
    case: Case
    way: str
    size: int
    url: str
    loop: Literal["uvloop", "asyncio"] = "uvloop"
    limit_s: float = 0.7

    def dumps(self) -> str:
        """As the argument of a worker."""
        return json.dumps(asdict(self))


async def measure(task: Task) -> Measured:
    """Measure it."""
    async with asyncio.timeout(LIMIT_S):
        return await (_receive(task) if task.case == "receive" else _publish(task))


async def _receive(task: Task) -> Measured:
    receive = ways_of(task.broker).receive[task.way]
    group = max(_LEAST_GROUP, GROUP_BYTES[task.broker] // (task.size + 50))
    groups = max(2, WINDOW_BYTES // (group * (task.size + 50)))
    feeder = _start_feeder(task, group)
    assert feeder.stdin is not None
    asked = feeder.stdin.fileno()
    meter = Meter(group, task.limit_s, lambda: os.write(asked, b"."))
    receiving = asyncio.ensure_future(
        receive(task.url, lambda: os.write(asked, b"." * (groups - 1)), meter.count)
    )
    try:
        measuring = asyncio.ensure_future(meter.wait())
        await asyncio.wait([measuring, receiving], return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            receiving.result()
            raise RuntimeError(f"{task.way!r} received no more")
        return measuring.result()
    finally:
        receiving.cancel()
        feeder.stdin.close()
        feeder.terminate()
        feeder.wait()


def _start_feeder(task: Task, group: int) -> subprocess.Popen[bytes]:
    program = Path(__file__).with_name("feeder.py")
    arguments = [task.broker, task.url, str(task.size), str(group)]
    return subprocess.Popen([sys.executable, program, *arguments], stdin=subprocess.PIPE)


async def _publish(task: Task) -> Measured:
    ways = ways_of(task.broker)
    is_single = task.case == "publish singly"
    publish = (ways.publish_singly if is_single else ways.publish)[task.way]
    meter = Meter(8 if is_single else IN_FLIGHT, task.limit_s)
    await publish(task.url, "x" * task.size, meter)
    return await meter.wait()


def main() -> None:
    """Measure and print."""
    task = Task(**json.loads(sys.argv[1]))
    if task.loop == "uvloop":
        import uvloop

        uvloop.run(_report(task))
    else:
        asyncio.run(_report(task))


async def _report(task: Task) -> None:
    measured = await measure(task)
    sys.stdout.write(json.dumps(measured._asdict()))
    sys.stdout.flush()
    os._exit(0)  # how the clients stop is no part of it, and some do it badly


if __name__ == "__main__":
    main()
