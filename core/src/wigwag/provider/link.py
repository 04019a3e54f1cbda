"""Keeps a broker session, whatever happens to it."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable

import anyio

from wigwag.provider.session import Session
from wigwag.provider.settings import ProviderSettings
from wigwag.provider.signal import now

logger: logging.Logger = logging.getLogger("wigwag.provider")

#: How long the same end of a session after session is not logged again.
_SAY_AGAIN_S = 30.0


class Link:
    """Makes session after session, each after a pause that grows until one has proved itself.

    Start, reconnect and failover are this one path.
    """

    def __init__(
        self,
        new_session: Callable[[], Session],
        on_lost: Callable[[Session], None],
        settings: ProviderSettings,
    ) -> None:
        self._new_session = new_session
        self._on_lost = on_lost
        self._settings = settings
        self._last_cause: str = "the broker has not been reached yet"
        self._said_at = -math.inf
        self._unsaid = 0
        self.session: Session | None = None
        #: When the link went down, in anyio's clock; None while it is up.
        self.down_since: float | None = None
        #: When a session that had proved itself last ended, in the same clock; None before any did.
        self.proved_until: float | None = None

    async def run(self) -> None:
        """Keep a session, for ever."""
        self.down_since = anyio.current_time()
        attempt = 0
        while True:
            session = self.session = self._new_session()
            try:
                cause = await session.run()
            finally:
                self.session = None
            self._lost(session, cause)
            if session.prober.is_proved:
                attempt = 0
            limit_s = min(self._settings.backoff_cap_s, self._settings.backoff_base_s * 2**attempt)
            attempt = min(attempt + 1, 30)
            await anyio.sleep(random.uniform(0, limit_s))

    def _lost(self, session: Session, cause: BaseException | None) -> None:
        text = "a call was not confirmed in time" if isinstance(cause, TimeoutError) else str(cause)
        text = text or type(cause).__name__
        is_news, self._last_cause = text != self._last_cause, text
        if session.is_ready:
            self._say_ended(text, is_news=is_news)
        elif is_news:
            logger.warning("there is no broker session: %s; trying again", text)
        if self.down_since is None:
            self.down_since = anyio.current_time()
        if session.prober.is_proved:
            self.proved_until = anyio.current_time()
        self._on_lost(session)

    def _say_ended(self, text: str, *, is_news: bool) -> None:
        """Log it; the same again and again now and then only."""
        if not is_news and now() - self._said_at < _SAY_AGAIN_S:
            self._unsaid += 1
            return
        again = f" (and {self._unsaid} times before, in the same way)" if self._unsaid else ""
        logger.warning("the broker session ended: %s; reconnecting%s", text, again)
        self._said_at, self._unsaid = now(), 0

    @property
    def is_ready(self) -> bool:
        """Whether there is a session that is ready."""
        return self.session is not None and self.session.is_ready

    @property
    def is_proved(self) -> bool:
        """Whether a probe has come back in the session there is."""
        return self.is_ready and self.session is not None and self.session.prober.is_proved

    @property
    def probe_s(self) -> float | None:
        """How long the last probe took."""
        return None if self.session is None else self.session.prober.probe_s

    def describe(self) -> str:
        """The link's state, for an error message."""
        if self.is_ready:
            return "the broker link is up"
        return f"the broker link is down ({self._last_cause})"
