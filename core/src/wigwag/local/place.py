"""Where a hub that a service starts for itself listens."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from wigwag.local.hub import HubNotStarted
from wigwag.local.settings import PREFIX, LocalSettings
from wigwag.settings.load import load_settings


@contextmanager
def hub_settings_of(environ: Mapping[str, str]) -> Generator[LocalSettings]:
    """The settings of a hub, with a path in a directory of its own unless one is set; it is removed in the end.

    Raises:
        SettingsError: a variable can't be read.
        HubNotStarted: no directory can be made.
    """
    variable = f"{PREFIX}PATH"
    if variable in environ:
        yield load_settings(LocalSettings, PREFIX, environ)
        return
    try:
        directory = tempfile.TemporaryDirectory(prefix="wigwag-")  # which this user alone may enter
    except OSError as exc:
        raise HubNotStarted(
            f"no directory can be made for the hub's socket ({exc.strerror}): set {variable}, or TMPDIR, to a place "
            "that can be written"
        ) from exc
    with directory as made:
        yield load_settings(LocalSettings, PREFIX, {**environ, variable: str(Path(made) / "hub")})
