"""aiokafka's log: what it says while it works for us, less often.

Without a broker it logs twenty lines a second, without its topic four thousand.  Core says once what is wrong, so
here each kind of line passes once in a while.  An application's own use of aiokafka is not touched.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Generator
from contextvars import ContextVar

#: Set in the tasks of a session, and so in those that aiokafka starts there.
_ours: ContextVar[LogFilter | None] = ContextVar("wigwag_kafka_log", default=None)

_EVERY_S = 30.0


class LogFilter(logging.Filter):
    """Attached to aiokafka's loggers for the time of a session."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}
        #: While it is set nothing passes: a session that can't begin says so itself.
        self.is_silent: bool = True
        #: Why a connection could not be made, the last time.
        self.cause: BaseException | None = None

    @contextlib.contextmanager
    def claimed(self) -> Generator[None]:
        """What this task, and the tasks it starts, make aiokafka say in here is ours."""
        token = _ours.set(self)
        try:
            yield
        finally:
            _ours.reset(token)

    def attach(self) -> None:
        """Begin to look at what aiokafka says."""
        for logger in _loggers():
            logger.addFilter(self)

    def detach(self) -> None:
        """End that."""
        for logger in _loggers():
            logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if _ours.get() is not self:
            return True
        arguments = record.args if isinstance(record.args, tuple) else ()
        for argument in arguments:
            if isinstance(argument, BaseException):
                self.cause = argument
        if record.levelno < logging.INFO:
            # Requests are written out here, and one of them holds the password.
            return not any("Sasl" in type(argument).__name__ for argument in arguments)
        now = time.monotonic()
        kind = str(record.msg)
        if self.is_silent or now - self._said.get(kind, -_EVERY_S) < _EVERY_S:
            return False
        self._said[kind] = now
        return True


def _loggers() -> list[logging.Logger]:
    names = [name for name in logging.Logger.manager.loggerDict if name.partition(".")[0] == "aiokafka"]
    return [logging.getLogger(name) for name in names]
