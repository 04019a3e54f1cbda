"""Whether clients should be sent here: as long as messages can be delivered, and a while longer.

An outage of the broker is one for all replicas.  Were each of them unready at once, nobody could connect, and those who
are connected would be sent to where it is no better.  So a loss has to last, on each node for another time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import anyio

from wigwag.provider import Provider
from wigwag.provider.node import Node
from wigwag.service.publishing import NO_PROVIDER, running


class Verdict(NamedTuple):
    """Why clients should not be sent here, if there is anything; and what is wrong and bearable as yet."""

    why: list[str]
    warnings: list[str]


class Readiness:
    """The rule, for the providers that are in the list when it is asked."""

    def __init__(
        self,
        providers: Sequence[Provider],
        obstacles: Callable[[], Sequence[str]] = tuple,
        *,
        unready_after_s: float = 0.0,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """``obstacles``: what else is in the way, and counts at once.

        A loss of the link counts after ``unready_after_s`` seconds to twice that: ``spread``, from 0 to 1, says where
        between the two.
        """
        self._providers = providers
        self._obstacles = obstacles
        #: How long the link may be lost, in seconds.
        self.patience_s: float = unready_after_s * (1 + spread())

    def look(self) -> Verdict:
        """How it is now."""
        verdict = Verdict([], [])
        providers = running(self._providers)
        if not providers:
            verdict.why.append(NO_PROVIDER)
        for provider in providers:
            if provider.node is not None and not provider.node.is_up:
                self._look_at(provider.name, provider.node, verdict)
        verdict.why.extend(self._obstacles())
        return verdict

    def _look_at(self, name: str, node: Node, verdict: Verdict) -> None:
        text = f"provider {name}: {node.link.describe()}"
        if node.up_until is None:
            verdict.why.append(f"{text}; starting")
            return
        lost_s = anyio.current_time() - node.up_until
        if lost_s >= self.patience_s:
            verdict.why.append(f"{text}, for {lost_s:.0f} s")
        else:
            verdict.warnings.append(f"{text}, for {lost_s:.0f} s; not ready after {self.patience_s:.0f} s")
