"""Where keys come from, and how they stay up to date."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

import anyio

from wigwag.tokens.fetching import FetchFailed, fetch
from wigwag.tokens.files import WatchedFile, watch
from wigwag.tokens.keys import Keys, keys_of_jwks

logger: logging.Logger = logging.getLogger("wigwag.tokens")

#: How long a fetch may take, and so how long a handshake may wait for one.
FETCH_TIMEOUT_S: Final = 5.0
MAX_JWKS_BYTES: Final = 256 * 1024
#: The least time between two fetches, however many tokens of unknown keys come.
COOLDOWN_S: Final = 10.0


class KeySource(Protocol):
    """Some of the keys that are trusted."""

    @property
    def keys(self) -> Keys:
        """Those of now."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why there are none yet, if there are none."""
        ...

    async def look_for_newer(self) -> None:
        """A token was signed by a key that is not among them: return when that may have changed, soon."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Keep them up to date within the block."""
        ...


class FixedKeys:
    """Those of a setting."""

    trouble = None

    def __init__(self, keys: Keys) -> None:
        self.keys: Keys = keys

    async def look_for_newer(self) -> None:
        """There are none."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Nothing is to be done."""
        yield


class FileKeys:
    """Those of a file, as it is now."""

    trouble = None

    def __init__(self, file: WatchedFile[Keys]) -> None:
        self._file = file

    @property
    def keys(self) -> Keys:
        """See :class:`KeySource`."""
        return self._file.value

    async def look_for_newer(self) -> None:
        """They are looked at every few seconds anyway."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """See :class:`KeySource`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, [self._file])
            yield
            tasks.cancel_scope.cancel()


class RemoteKeys:
    """Those of a JWK Set at a URL: fetched at the start, from time to time, and when a token names one that is new.

    What was fetched last counts until something better comes, however long its server is away.
    """

    def __init__(
        self,
        url: str,
        allowed: Collection[str],
        refresh_s: float,
        *,
        fetch: Callable[..., Awaitable[bytes]] = fetch,
    ) -> None:
        self.keys: Keys = Keys()
        self._url = url
        self._allowed = allowed
        self._refresh_s = refresh_s
        self._fetch = functools.partial(fetch, url, timeout_s=FETCH_TIMEOUT_S, limit_bytes=MAX_JWKS_BYTES)
        #: Of the last attempt; None where it went well.
        self.failure: str | None = "not fetched yet"
        self._failures = 0
        #: When they were last fetched, by the clock that is never set.
        self.fetched_at: float | None = None
        self._attempted_at = float("-inf")
        self._attempt: anyio.Event | None = None
        self._wanted = anyio.Event()

    @property
    def trouble(self) -> str | None:
        """See :class:`KeySource`."""
        return None if len(self.keys) else f"no keys from {self._url} yet: {self.failure}"

    async def look_for_newer(self) -> None:
        """See :class:`KeySource`.  Within the cooldown after an attempt it returns at once."""
        if self._attempt is None:
            if anyio.current_time() - self._attempted_at < COOLDOWN_S:
                return
            self._attempt = anyio.Event()
            self._wanted.set()
        with anyio.move_on_after(FETCH_TIMEOUT_S):
            await self._attempt.wait()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """See :class:`KeySource`.  The first attempt is over when it is entered, whatever came of it."""
        async with anyio.create_task_group() as tasks:
            await self._try()
            tasks.start_soon(self._run)
            yield
            tasks.cancel_scope.cancel()

    async def _run(self) -> None:
        while True:
            with anyio.move_on_after(self._pause_s()):
                await self._wanted.wait()
            self._wanted = anyio.Event()
            await self._try()

    def _pause_s(self) -> float:
        pause_s = self._refresh_s
        if self._failures:
            pause_s = min(pause_s, COOLDOWN_S * 2 ** min(self._failures - 1, 10))
        return pause_s * random.uniform(0.9, 1)  # replicas that start together need not ask together

    async def _try(self) -> None:
        if self._attempt is None:
            self._attempt = anyio.Event()
        try:
            keys = keys_of_jwks(await self._fetch(), self._allowed)
        except (FetchFailed, ValueError) as exc:
            self._failures += 1
            if str(exc) != self.failure:
                kept = "those from before still count" if len(self.keys) else "no token can be verified yet"
                logger.error("the keys at %s can't be had: %s; %s", self._url, exc, kept)
            self.failure = str(exc)
        else:
            if self._failures:
                logger.info("the keys at %s can be had again", self._url)
            self.keys, self.failure, self._failures = keys, None, 0
            self.fetched_at = time.monotonic()
        finally:
            self._attempted_at = anyio.current_time()
            attempt, self._attempt = self._attempt, None
            attempt.set()
