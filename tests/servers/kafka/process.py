"""Kafka's process: its JVM, its settings, and how it says that it serves."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import struct
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers.process import HOST, HeldPort, ServerProcess

ANSWER_LIMIT_S = 5.0
# A small heap, the quick compiler and the plain collector: a broker here lives for seconds.
JVM = (
    *("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
ARCHIVE = "classes.jsa"
BASE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": "data",
    "auto.create.topics.enable": "false",
    # One node.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Small: else the cleaner alone takes 128 MiB.
    "log.cleaner.dedupe.buffer.size": "2097152",
    "num.network.threads": "1",
    "num.io.threads": "2",
    # After a kill it serves when its former session has expired.
    "broker.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "200",
    "group.initial.rebalance.delay.ms": "0",
    # So that a topic's short retention is seen to soon.
    "log.retention.check.interval.ms": "300",
    "log.initial.task.delay.ms": "300",
}


def java_binary() -> str | None:
    """Return where ``java`` is: where JAVA_HOME says, or on the PATH."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")


def java(folder: Path, *options: str) -> list[str]:
    """Return a command line that begins so: java, and the class path of the jars in ``folder``.

    The paths are relative to a working directory with the link ``lib``. The archive of classes holds for
    exactly this class path, and so it may be made in one place and used in another.
    """
    binary = java_binary()
    if binary is None:
        raise FileNotFoundError("there is no java: a Kafka for tests needs Java 17 or newer")
    jars = sorted(jar.name for jar in (folder / "lib").iterdir())
    return [binary, *JVM, *options, "-cp", ":".join(f"lib/{jar}" for jar in jars)]


def fresh_id() -> str:
    """Return an id as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def render(properties: Mapping[str, str]) -> str:
    """Return the text of a properties file."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


class KafkaProcess(ServerProcess):
    """A broker with a plain listener on ``port``, from an installation in ``folder``."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        super().__init__()
        self._properties = dict(properties)
        self._controller_port = HeldPort()
        self.advertised_port: int | None = None

    @property
    def url(self) -> str:
        """Where a client finds its plain listener: host and port."""
        return f"{HOST}:{self.port}"

    def folder(self) -> Path:
        """Return where the installation is."""
        raise NotImplementedError

    def options(self) -> Sequence[str]:
        """Return further options of the JVM."""
        return [f"-XX:SharedArchiveFile={self.folder() / ARCHIVE}"]

    def properties(self) -> dict[str, str]:
        """Return all settings, those of the test last."""
        controller = f"{HOST}:{self._controller_port.number}"
        return {
            **BASE,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"CONTROLLER://{controller},PLAINTEXT://{self.url}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.advertised_port or self.port}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            **self._properties,
        }

    def command_line(self) -> Sequence[str]:
        self._prepare_directory()
        return [*java(self.folder(), *self.options()), "kafka.Kafka", "server.properties"]

    def _prepare_directory(self) -> None:
        (self.directory / "server.properties").write_text(render(self.properties()))
        data = self.directory / "data"
        if data.exists():
            return
        (self.directory / "lib").symlink_to(self.folder() / "lib")
        # What `kafka-storage format` would write, without a JVM's start: one was formatted when installing.
        shutil.copytree(self.folder() / "formatted", data)
        ids = {"node.id": "1", "version": "1", "directory.id": fresh_id(), "cluster.id": fresh_id()}
        (data / "meta.properties").write_text(render(ids))

    def answers(self) -> bool:
        """Whether it answers ApiVersions, which no client goes without."""
        asked = struct.pack(">hhih", 18, 0, 1, -1)  # key, version, correlation id, no client id
        with socket.create_connection((HOST, self.port), ANSWER_LIMIT_S) as link:
            link.sendall(struct.pack(">i", len(asked)) + asked)
            return len(link.recv(4)) == 4

    def close(self) -> None:
        super().close()
        self._controller_port.close()
