"""How ``wigwag serve`` learns which providers the application that it runs has started."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wigwag.provider.provider import Provider

#: Set by a host before it starts an application: each provider that starts in its context is added.
hosted: ContextVar[list[Provider] | None] = ContextVar("wigwag.hosted", default=None)
