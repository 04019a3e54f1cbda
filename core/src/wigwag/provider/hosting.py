"""How a host learns which providers its application has started (``wigwag serve``), or says which to use (a test)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wigwag.provider.provider import Provider

#: Set by a host before it starts an application: each provider that starts in its context is added.
hosted: ContextVar[list[Provider] | None] = ContextVar("wigwag.hosted", default=None)


class Substitute:
    """A provider in place of the one that the environment names."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        #: Whether somebody asked.
        self.was_used: bool = False

    def use(self) -> Provider:
        """It."""
        self.was_used = True
        return self._provider


#: Set by a test before it starts an application: what that asks of the environment, it gets here.
substitute: ContextVar[Substitute | None] = ContextVar("wigwag.substitute", default=None)
