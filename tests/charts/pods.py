"""Pods as processes: what a manifest says is what is run.

A container's image is the development environment, and its network an address of its own in 127.0.0.0/8: what listens
on every address of a pod listens on that one.  What is mounted lies below the pod's own directory, and paths in the
environment lead there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from charts.rendering import Manifest
from servers.process import ServerProcess, spawn

BIN = Path(sys.executable).parent
#: How long a process that outlives its grace is still waited for, so that its end is a number and not a hang.
KILL_S = 5.0

Secrets = Mapping[str, Mapping[str, str]]


class Container:
    """A container of a pod: its command, environment and files."""

    def __init__(
        self, pod: Manifest, metadata: Manifest, address: str, directory: Path, secrets: Secrets
    ) -> None:
        (self.spec,) = pod["containers"]
        self.address = address
        self._metadata = metadata
        self._directory = directory
        self._secrets = secrets
        self._volumes = {volume["name"]: volume for volume in pod["volumes"]}
        self._mounts: dict[str, Path] = {}
        for mount in self.spec["volumeMounts"]:
            self._mount(mount["mountPath"], self._volumes[mount["name"]])

    def _mount(self, path: str, volume: Manifest) -> None:
        folder = self._directory / path.strip("/").replace("/", "-")
        folder.mkdir(parents=True)
        self._mounts[path] = folder
        if "secret" in volume:
            for key, value in self._secrets[volume["secret"]["secretName"]].items():
                (folder / key).write_text(value)
        else:
            assert "emptyDir" in volume, volume

    def mounted(self, text: str) -> str:
        """The text, with paths that are mounted as they are here."""
        for path, folder in self._mounts.items():
            if text == path or text.startswith(f"{path}/"):
                return f"{folder}{text.removeprefix(path)}"
        return text

    @property
    def command(self) -> list[str]:
        """Command and arguments; what the image has on its PATH is found in the environment."""
        words = [*self.spec["command"], *self.spec.get("args", ())]
        return [str(BIN / words[0]), *(self._argument(word) for word in words[1:])]

    def _argument(self, word: str) -> str:
        option, is_option, value = word.partition("=")
        return f"{option}={self.mounted(value)}" if is_option else word

    @property
    def environment(self) -> dict[str, str]:
        """What the manifest says, resolved, and nothing of ours."""
        found = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": "/",
            "TMPDIR": self.mounted("/tmp"),
        }
        # So that what runs in it is counted.
        found |= {name: value for name, value in os.environ.items() if name.startswith("COV")}
        for source in self.spec.get("envFrom", ()):
            found |= self._secrets[source["secretRef"]["name"]]
        for variable in self.spec.get("env", ()):
            found[variable["name"]] = self._value(variable)
        return found

    def _value(self, variable: Manifest) -> str:
        if "valueFrom" not in variable:
            text = str(variable.get("value", ""))
            return f"{self.address}{text}" if variable["name"].endswith("LISTEN") else self.mounted(text)
        ((kind, source),) = variable["valueFrom"].items()
        if kind == "secretKeyRef":
            return self._secrets[source["name"]][source["key"]]
        assert kind == "fieldRef", kind
        fields = {
            "metadata.name": self._metadata["name"],
            "metadata.namespace": self._metadata["namespace"],
            "status.podIP": self.address,
        }
        return str(fields[source["fieldPath"]])


class Pod(ServerProcess):
    """A pod of a Deployment, with the kubelet's view of it."""

    def __init__(self, deployment: Manifest, number: int, address: str, secrets: Secrets) -> None:
        super().__init__()
        template = deployment["spec"]["template"]
        metadata = {**deployment["metadata"], "name": f"{deployment['metadata']['name']}-{number}"}
        self.spec = template["spec"]
        self.address = address
        self.container = Container(self.spec, metadata, address, self.directory, secrets)
        self.grace_s = float(self.spec["terminationGracePeriodSeconds"])
        self.variables: dict[str, str] = {}

    @property
    def url(self) -> str:
        return self.at("internal")

    def at(self, port: str, scheme: str = "http") -> str:
        """Where a port of the container is, by its name."""
        (number,) = (each["containerPort"] for each in self.container.spec["ports"] if each["name"] == port)
        return f"{scheme}://{self.address}:{number}"

    def command_line(self) -> Sequence[str]:
        return self.container.command

    def launch(self) -> None:
        environment = self.container.environment | self.variables
        self.process = spawn(self.command_line(), log=self.log, cwd=self.directory, env=environment)

    def answers(self) -> bool:
        """Whether it has started, and takes traffic."""
        return self.probe("startupProbe") and self.probe("readinessProbe")

    def probe(self, name: str) -> bool:
        """Ask as the kubelet does."""
        probe: dict[str, Any] = self.container.spec[name]
        asked = probe["httpGet"]
        try:
            with urllib.request.urlopen(
                f"{self.at(asked['port'])}{asked['path']}", timeout=probe["timeoutSeconds"]
            ):
                return True
        except OSError:
            return False

    def terminate(self) -> None:
        """Begin to end it: preStop, where there is one, then SIGTERM."""
        hook = self.container.spec.get("lifecycle", {}).get("preStop", {})
        assert set(hook) <= {"sleep"}, "only what the chart has is played here"
        time.sleep(hook.get("sleep", {}).get("seconds", 0))
        self.send(signal.SIGTERM)

    def await_end(self) -> int:
        """The exit code; what is still there when its grace is over is killed, and that is -9."""
        assert self.process is not None
        process, self.process = self.process, None
        try:
            return process.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(KILL_S)


def run_in(pod: Pod, *command: str) -> str:
    """Run a command as `kubectl exec` does; what it printed.  Raises CalledProcessError."""
    found = [str(BIN / command[0]), *command[1:]]
    environment = pod.container.environment
    return subprocess.run(
        found, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    ).stdout


def run_test(pod: Manifest, addresses: Sequence[str], directory: Path, secrets: Secrets) -> tuple[int, str]:
    """Run the pod of `helm test`, with a name service that has these addresses; its exit code and what it said."""
    container = Container(pod["spec"], pod["metadata"], "127.0.0.1", directory, secrets)
    command = container.command
    (service,) = (word for word in command if word.endswith("-replicas"))
    at = command.index(service)
    command[at : at + 1] = addresses
    return _run(command, container, pod["spec"]["activeDeadlineSeconds"])


def run_job(job: Manifest, directory: Path, secrets: Secrets) -> tuple[int, str]:
    """Run a Job's pod; its exit code and what it said."""
    template = job["spec"]["template"]
    metadata = {
        **template["metadata"],
        "name": job["metadata"]["name"],
        "namespace": job["metadata"]["namespace"],
    }
    container = Container(template["spec"], metadata, "127.0.0.1", directory, secrets)
    return _run(container.command, container, job["spec"]["activeDeadlineSeconds"])


def _run(command: Sequence[str], container: Container, limit_s: float) -> tuple[int, str]:
    done = subprocess.run(
        command,
        env=container.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
        check=False,
    )
    return done.returncode, done.stdout
