"""What ``wigwag check`` says of settings and machine, before any broker is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from wigwag.broker import Finding
from wigwag.cli.machine import Machine
from wigwag.provider import ProviderSettings
from wigwag.service.addresses import BACKLOG, is_local
from wigwag.service.capacity import files_for, room_in
from wigwag.service.draining import CLOSES_WITHIN, most_stop_s, stop_limit_s
from wigwag.settings import CoreSettings, Secret, ServiceSettings

#: Less room than this in a process is seldom meant: it is what a soft limit of 1024 files leaves.
_FEW_SOCKETS = 4096
#: A shorter key can be guessed, if it was made by hand; ``openssl rand -base64 24`` has 32 characters.
_SHORT_KEY = 16
#: What a process has before anybody connects, and what a connection costs it, in the kernel too, as
#: docs/operations/sizing.md measures it.
_PROCESS_BYTES = 80 * 1024 * 1024
_SOCKET_BYTES = 10 * 1024
#: So much of the memory may be taken by those who are connected and idle; the rest is for messages on their way.
_MOST_MEMORY = 0.7
_MIB = 1024 * 1024

#: See :class:`~wigwag.broker.Capabilities`.
Scope = Literal["process", "machine", "fleet"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be deployed, as far as settings do not say it."""

    #: The user's application; None: the stock service.
    app: str | None = None
    replicas: int | None = None
    #: How many clients there are to be at once, on all replicas.
    connections: int | None = None
    #: How long the process has from SIGTERM to SIGKILL.
    grace_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The findings, from what is set, what is planned, and where it is to run."""

    settings: ServiceSettings
    core: CoreSettings
    provider: ProviderSettings
    plan: Plan
    machine: Machine
    #: What publishers bring, wherever it stands.
    api_keys: Sequence[Secret] = ()

    def findings(self) -> Iterator[Finding]:
        """Of all but the broker."""
        yield from self._of_exposure()
        yield from self._of_api()
        yield from self._of_workers()
        yield from self._of_files()
        yield from self._of_backlog()
        yield from self._of_connections()
        yield from self._of_memory()
        yield from self._of_drain()
        yield from self._of_grace()
        if not self.machine.has_uvloop:
            text = "it is not installed, and each message costs more: pip install uvloop"
            yield Finding("warning", "uvloop", text)

    # Who can reach it

    def _of_exposure(self) -> Iterator[Finding]:
        listen, app = self.settings.listen, self.plan.app
        if app is not None:
            text = f"{listen}: who may connect, {app} decides"
            if "*" in self.core.allowed_origins:
                text += ". Pages of all sites may, with their visitors' cookies: name yours in WIGWAG_ALLOWED_ORIGINS"
                yield Finding("warning", "clients", text)
            else:
                yield Finding("ok", "clients", text)
        elif self.settings.asks_for_tokens:
            yield Finding("ok", "clients", f"{listen}: each brings a token")
        elif is_local(listen):
            yield Finding("ok", "clients", f"{listen}: development mode, for this machine only")
        else:
            text = (
                f"{listen}: development mode, so that anyone who reaches it may join any topic, and publish; set "
                "WIGWAG_JWT_SECRET or WIGWAG_JWKS_URL, and leave out --insecure (WIGWAG_INSECURE)"
            )
            yield Finding("warning", "clients", text)

    def _of_api(self) -> Iterator[Finding]:
        listen, keys = self.settings.internal_listen, self.api_keys
        variable = "WIGWAG_API_KEY" if self.settings.api_key_file is None else "WIGWAG_API_KEY_FILE"
        if keys and min(len(key) for key in keys) < _SHORT_KEY:
            text = (
                f"a key of {variable} has fewer than {_SHORT_KEY} characters, and can be guessed; make one with "
                "openssl rand -base64 24"
            )
            yield Finding("warning", "internal port", text)
        elif self.settings.asks_for_key:
            yield Finding(
                "ok",
                "internal port",
                f"{listen}: publishers bring a key. Probes and metrics ask for none: keep it inside",
            )
        else:
            text = f"{listen}: programs of this machine publish, without a key"
            yield Finding("ok", "internal port", text)

    # What it has room for

    @property
    def _processes(self) -> int:
        return self.settings.workers or 1

    @property
    def _replicas(self) -> int:
        return self.plan.replicas or 1

    @property
    def _sockets(self) -> int | None:
        """How many a process lets in; None: nothing here limits them."""
        wanted, files = self.settings.max_connections, self.machine.files
        if files is None:
            return wanted
        room, _ = room_in(files)
        return room if wanted is None else min(room, wanted)

    def _of_workers(self) -> Iterator[Finding]:
        workers, cores = self.settings.workers, self.machine.cores
        if workers is None:
            return
        if workers > cores:
            text = f"{workers} on {cores} cores: more than there are cores gain nothing, and cost memory each"
            yield Finding("warning", "workers", text)
        else:
            yield Finding("ok", "workers", f"{workers} on {cores} cores")

    def _of_files(self) -> Iterator[Finding]:
        files, wanted = self.machine.files, self.settings.max_connections
        if files is None:
            return
        room, _ = room_in(files)
        text = f"a process may open {files} here, which is room for {room} sockets"
        if wanted is not None and wanted > room:
            text += (
                f", and WIGWAG_MAX_CONNECTIONS={wanted}: those beyond are answered 503; raise the hard limit (ulimit "
                f"-Hn, systemd's LimitNOFILE, the container runtime's) to {files_for(wanted)}"
            )
            yield Finding("error", "open files", text)
        elif wanted is None and room < _FEW_SOCKETS:
            text += (
                "; more are answered 503. Raise the hard limit (ulimit -Hn, systemd's LimitNOFILE, the container "
                f"runtime's) to {files_for(10_000)} for 10000"
            )
            yield Finding("warning", "open files", text)
        else:
            yield Finding("ok", "open files", text)

    def _of_backlog(self) -> Iterator[Finding]:
        backlog = self.machine.backlog
        if backlog is None:
            return
        if backlog < BACKLOG:
            text = (
                f"{backlog} connections may wait to be accepted here; when many come back at once, those beyond are "
                f"dropped, and try again after seconds: sysctl net.core.somaxconn={BACKLOG} or more"
            )
            yield Finding("warning", "listen queue", text)
        else:
            yield Finding(
                "ok", "listen queue", f"{min(backlog, BACKLOG)} connections may wait to be accepted"
            )

    def _of_connections(self) -> Iterator[Finding]:
        wanted, each, replicas = self.plan.connections, self._sockets, self._replicas
        if wanted is None or each is None:
            return
        each *= self._processes
        text = f"{wanted} on {replicas} replicas of {each}"
        if each * replicas < wanted:
            text += f": {wanted - each * replicas} are refused; {math.ceil(wanted / each) + 1} replicas can spare one"
            yield Finding("error", "connections wanted", text)
        elif each * (replicas - 1) < wanted:
            text += (
                f": while one is away {wanted - each * (replicas - 1)} are refused; {math.ceil(wanted / each) + 1} "
                "replicas can spare one, or more files and a higher WIGWAG_MAX_CONNECTIONS"
            )
            yield Finding("warning", "connections wanted", text)
        else:
            lost = math.ceil(wanted / replicas)
            per_s = self.settings.handshakes_per_s * self._processes * (replicas - 1)
            text += (
                f": one can be spared; its {lost} come back to the others in {lost / per_s:.0f} s or more "
                "(WIGWAG_HANDSHAKES_PER_S)"
            )
            yield Finding("ok", "connections wanted", text)

    def _of_memory(self) -> Iterator[Finding]:
        memory, each, processes = self.machine.memory_bytes, self._sockets_wanted, self._processes
        if memory is None:
            return
        has = f"{memory // _MIB} MiB"
        if each is None:
            room = max(0, int(memory * _MOST_MEMORY) - processes * _PROCESS_BYTES) // _SOCKET_BYTES
            text = f"{has} here is room for about {room // 1000 * 1000} idle sockets"
            if self._sockets is not None and room >= self._sockets * processes:
                text = f"{has} here is room for more idle sockets than may be open"
            yield Finding("ok", "memory", text)
            return
        needed = processes * (_PROCESS_BYTES + each * _SOCKET_BYTES)
        text = f"{has} here, and {each * processes} idle sockets take about {needed // _MIB} MiB"
        if needed > memory * _MOST_MEMORY:
            text += (
                ", which leaves too little for what waits for slow readers: give it more, or set "
                "WIGWAG_MAX_CONNECTIONS lower (docs/operations/sizing.md)"
            )
            yield Finding("warning", "memory", text)
        else:
            yield Finding("ok", "memory", text)

    @property
    def _sockets_wanted(self) -> int | None:
        """How many a process is to have at most; None where nobody says."""
        if self.plan.connections is None:
            return self.settings.max_connections
        # Where one replica is away, the others have what was its.
        spread = max(1, self._replicas - 1) * self._processes
        wanted = math.ceil(self.plan.connections / spread)
        return wanted if self._sockets is None else min(self._sockets, wanted)

    def _of_drain(self) -> Iterator[Finding]:
        """How fast sockets are sent away, and whether the other replicas let them in as fast."""
        each, settings = self._sockets_wanted, self.settings
        if each is None:
            return
        count = each * self._processes
        per_s = max(settings.drain_per_s, count / (settings.drain_timeout_s * CLOSES_WITHIN))
        others_per_s = settings.handshakes_per_s * self._processes * (self._replicas - 1)
        text = f"{count} sockets are sent away at {per_s:.0f} a second"
        if self._replicas == 1:
            text += ": they find nobody until it is back; with two replicas they would"
            yield Finding("ok", "drain", text)
        elif per_s > others_per_s:
            text += (
                f", and the other replicas let in {others_per_s:.0f}: the rest get 503, and come back later; give "
                "it more time (WIGWAG_DRAIN_TIMEOUT_S), or raise WIGWAG_HANDSHAKES_PER_S"
            )
            yield Finding("warning", "drain", text)
        else:
            yield Finding("ok", "drain", f"{text}, and the other replicas let in {others_per_s:.0f}")

    def _of_grace(self) -> Iterator[Finding]:
        limit_s = stop_limit_s(self.settings, self.provider)  # a setting that can't be is an error here
        if self.plan.grace_s is None:
            return
        needed_s = max(limit_s, most_stop_s(self.settings, self.provider))
        text = f"a process may take {needed_s:g} s to stop, and is killed after {self.plan.grace_s:g}"
        if self.plan.grace_s < needed_s:
            text += (
                f": then clients are cut off without a word, and what is being published is lost; give it {needed_s:g} "
                "(terminationGracePeriodSeconds, TimeoutStopSec), or lower WIGWAG_DRAIN_TIMEOUT_S"
            )
            yield Finding("error", "grace", text)
        else:
            yield Finding("ok", "grace", text)


def of_reach(provider: str, scope: Scope, replicas: int | None) -> Finding | None:
    """Whether the provider reaches all that is to be deployed; None where it reaches a fleet."""
    if scope == "fleet":
        return None
    where = "the sockets of one process" if scope == "process" else "the processes of one machine"
    if (replicas or 1) > 1:
        text = (
            f"{provider} reaches {where}, and there are to be {replicas} replicas: what is published on one, the "
            "others' sockets never get. Set WIGWAG_PROVIDER to redis, nats or kafka"
        )
        return Finding("error", "provider", text)
    return Finding("ok", "provider", f"{provider} reaches {where}: for one replica alone")
