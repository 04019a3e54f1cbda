"""Kafka's jars, fetched once with Maven into a folder of the repository that git ignores."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from servers.kafka.listeners import PASSWORD, USER
from servers.kafka.process import ARCHIVE, BASE, KafkaProcess, fresh_id, java, java_binary, render

VERSION = "4.4.0"
OLDEST_JAVA = 17
FETCH_LIMIT_S = 300.0
FOLDER = Path(__file__).parents[3] / ".brokers" / f"kafka-{VERSION}"
# slf4j-simple: without a binding, what ends a broker is not said anywhere.
POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>wigwag</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""
COPY = (
    *("mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"),
    *("-DincludeScope=runtime", "-DoutputDirectory=lib"),
)


class NotInstalled(Exception):
    """Kafka can't be had; the message holds the end of what Maven or Kafka printed."""


@functools.cache
def is_available() -> bool:
    """Whether a Kafka can run here: Java, and the jars or Maven. Whether Maven's registry answers is not asked."""
    return (FOLDER.exists() or shutil.which("mvn") is not None) and _java_version() >= OLDEST_JAVA


def _java_version() -> int:
    binary = java_binary()
    if binary is None:
        return 0
    told = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0


def installed() -> Path:
    """Return the folder of the installation: made by the first to ask, while others wait.

    Raises NotInstalled. The network is asked only where the folder is missing.
    """
    if not FOLDER.exists():
        FOLDER.parent.mkdir(exist_ok=True)
        with (FOLDER.parent / f"{FOLDER.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not FOLDER.exists():
                _install()
    return FOLDER


def _install() -> None:
    making = FOLDER.with_name(f"{FOLDER.name}.making")
    shutil.rmtree(making, ignore_errors=True)  # of a run that was killed
    making.mkdir()
    (making / "pom.xml").write_text(POM)
    _run(making, COPY)
    _format(making)
    with _Rehearsal(making) as rehearsal:
        rehearsal.stop(FETCH_LIMIT_S)  # at its end it writes the archive
    making.rename(FOLDER)


def _format(folder: Path) -> None:
    """Make the directory of data that each server starts from, with a user for SCRAM in it."""
    properties = {
        **BASE,
        "log.dirs": "formatted",
        "controller.quorum.voters": "1@127.0.0.1:1",
        "listeners": "CONTROLLER://127.0.0.1:1,PLAINTEXT://127.0.0.1:2",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    }
    (folder / "format.properties").write_text(render(properties))
    arguments = ["format", "-t", fresh_id(), "-c", "format.properties"]
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        arguments += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
    _run(folder, [*java(folder), "kafka.tools.StorageTool", *arguments])


def _run(folder: Path, command: Sequence[str]) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise NotInstalled(f"{os.path.basename(command[0])} ended with {done.returncode}:\n{said}")


class _Rehearsal(KafkaProcess):
    """A start whose classes are written into an archive, which makes the later ones twice as quick."""

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self._folder = folder

    def folder(self) -> Path:
        return self._folder

    def options(self) -> Sequence[str]:
        return [f"-XX:ArchiveClassesAtExit={self._folder / ARCHIVE}"]
