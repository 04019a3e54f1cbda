"""`make brokers`: a Redis, a NATS and a Kafka of one's own to play with, until Ctrl-C.

For each one line that can be pasted into another terminal, or one that says why it is not there.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

from servers.kafka import KafkaServer, is_available
from servers.kafka.installation import FOLDER, NotInstalled
from servers.nats import NatsServer
from servers.process import NotStarted, ServerProcess
from servers.redis import RedisServer

REFUSALS = (OSError, NotStarted, NotInstalled, subprocess.SubprocessError)
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def kafka() -> ServerProcess:
    """Return a Kafka, which fetches itself the first time."""
    if not is_available():
        raise FileNotFoundError("it needs Java 17 or newer, and Maven, which fetches it")
    if not FOLDER.exists():
        print("kafka: Maven fetches it, once", flush=True)
    return Kafka()


class Redis(RedisServer):
    """On the port that everybody knows, so that it is there again when it is started again."""

    preferred_port = 6379


class Nats(NatsServer):
    """As above."""

    preferred_port = 4222


class Kafka(KafkaServer):
    """As above."""

    preferred_port = 9092


BROKERS: dict[str, tuple[str, Callable[[], ServerProcess]]] = {
    "redis": ("WIGWAG_REDIS_URL", Redis),
    "nats": ("WIGWAG_NATS_SERVERS", functools.partial(Nats, "jetstream {}")),
    "kafka": ("WIGWAG_KAFKA_BOOTSTRAP_SERVERS", kafka),
}


@contextlib.contextmanager
def running(name: str, variable: str, make: Callable[[], ServerProcess]) -> Iterator[None]:
    """Start one broker and print its line; a broker that can't be started is a line too."""
    with contextlib.ExitStack() as held:
        try:
            server = held.enter_context(make())
        except REFUSALS as exc:
            print(f"{name}: not started: {reason(exc)}", flush=True)
        else:
            held.callback(server.stop)
            print(f"WIGWAG_PROVIDER={name} {variable}={server.url} make run", flush=True)
        yield


def reason(exc: Exception) -> str:
    """Return one line: what a program said at its end stands last."""
    if isinstance(exc, FileNotFoundError) and exc.filename:
        return f"there is no {exc.filename} here; tools/servers says how to get it"
    lines = str(exc).splitlines() or [type(exc).__name__]
    return lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"


def keep(name: str, over: threading.Event) -> None:
    """Keep one broker until the end."""
    variable, make = BROKERS[name]
    with running(name, variable, make):
        over.wait()


def main() -> None:
    """Start all at once, and stop them on a signal."""
    ended: queue.SimpleQueue[int] = queue.SimpleQueue()  # which a signal handler may put into
    for each in ENDS:
        signal.signal(each, lambda number, _: ended.put(number))
    over = threading.Event()
    keepers = [threading.Thread(target=keep, args=(name, over)) for name in BROKERS]
    for keeper in keepers:
        keeper.start()
    print("Ctrl-C stops them. In another terminal, for each:", flush=True)
    ended.get()
    for each in ENDS:
        signal.signal(each, signal.SIG_DFL)  # a second one does not wait for Maven
    over.set()
    for keeper in keepers:
        keeper.join()


if __name__ == "__main__":
    main()
