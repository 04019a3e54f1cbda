"""The application that ``wigwag serve module:app`` runs: found, and watched as it starts."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wigwag.errors import SettingsError, WigwagError

logger: logging.Logger = logging.getLogger("wigwag.service")


#: Shows an exception with its traceback.
Show = Callable[[BaseException], object]


def load_app(spec: str, app_dir: str | None = None, show: Show = traceback.print_exception) -> ASGIApp:
    """Import ``module:attribute``, with ``app_dir``, or the current directory, first on the path.

    Raises:
        SettingsError: it can't be imported, or is no application.  An exception of the module's own code is
            given to ``show`` before.
        WigwagError: what the module itself raised so.
    """
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        raise SettingsError(f"{spec!r} is no application: it must be MODULE:NAME, like main:app")
    found = load_object(spec, app_dir, show)
    why = why_not_asgi(found)
    if why is not None:
        raise SettingsError(f"{spec} is no ASGI application, but {why}")
    return cast("ASGIApp", found)


def load_object(spec: str, app_dir: str | None = None, show: Show = traceback.print_exception) -> Any:
    """Import ``module:attribute``, or ``module``, with ``app_dir``, or the current directory, first on the path.

    Raises as :func:`load_app` does.
    """
    module_name, _, attribute = spec.partition(":")
    directory = str(Path(app_dir or ".").resolve())
    if sys.path[:1] != [directory]:
        sys.path.insert(0, directory)
    try:
        found: Any = importlib.import_module(module_name)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except WigwagError:
        raise
    except ModuleNotFoundError as exc:
        if exc.name is not None and f"{module_name}.".startswith(f"{exc.name}."):
            text = f"there is no module {exc.name!r} in {directory}: --app-dir says where to look"
            raise SettingsError(f"{spec}: {text}") from None
        raise SettingsError(f"{spec} can't be imported: {exc}") from None
    except (ImportError, SyntaxError) as exc:
        raise SettingsError(f"{spec} can't be imported: {exc}") from None
    except AttributeError as exc:
        if module_name in sys.modules:  # else the module's own code raised it
            raise SettingsError(f"{spec}: {exc}") from None
        show(exc)
        raise _failed(spec, exc) from exc
    except Exception as exc:
        show(exc)
        raise _failed(spec, exc) from exc
    return found


def why_not_asgi(found: object) -> str | None:
    """What it is, unless it can be called as ``await found(scope, receive, send)``."""
    if inspect.isclass(found):
        if hasattr(found, "__await__"):  # such as Starlette's endpoints
            return None
        return f"the class {found.__name__}"
    if not callable(found):
        return type(found).__name__
    try:
        inspect.signature(found).bind(None, None, None)
    except TypeError:
        name = getattr(found, "__name__", type(found).__name__)
        return f"{name}, which does not take scope, receive and send"
    except ValueError:  # no signature, of something that is not written in Python
        return None
    return None


def _failed(spec: str, exc: Exception) -> SettingsError:
    return SettingsError(f"{spec} can't be imported: {type(exc).__name__}: {exc}")


class Watched:
    """Passes everything on, and keeps what a lifespan that failed raised.

    An error of ours (a setting) is worth one line, not a traceback: who runs the server prints it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        #: Why the application did not start, where it was an error of ours.
        self.error: WigwagError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failure: Message | None = None

        async def hold_failure(message: Message) -> None:
            nonlocal failure
            if message["type"] in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
                failure = message
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failure)
        except anyio.get_cancelled_exc_class():
            # By the loop's end, as after Ctrl-C in the middle of the start: it has not failed. The task ends with this
            # call, and uvicorn would log a traceback.
            return
        except WigwagError as exc:
            if failure is None:  # raised by something that knows no lifespan
                raise
            if failure["type"] == "lifespan.startup.failed":
                self.error = exc
                failure = {"type": "lifespan.startup.failed"}
        except BaseException:
            # sys.exit() too, of which uvicorn would make an application that knows no lifespan, and serve it.
            if failure is None:
                raise
        if failure is not None:
            await send(failure)
