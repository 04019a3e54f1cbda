"""What ``wigwag check`` looks at: whether the hub is there, and whose it is."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence

from wigwag.broker import BrokerLost, Finding
from wigwag.local.broker import check_owner, explain
from wigwag.local.settings import LocalSettings


async def check(settings: LocalSettings) -> Sequence[Finding]:
    """Connect, and look at who may.

    Raises:
        BrokerLost: nobody listens there, with one line that says why.
    """
    path = settings.path
    try:
        check_owner(path)
        _, writer = await asyncio.open_unix_connection(path)
        found = path.stat()
    except OSError as exc:
        raise BrokerLost(explain(exc, path)) from exc
    writer.transport.abort()
    findings = [Finding("ok", "hub", f"it listens at {path}")]
    if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.geteuid():
        findings.append(
            Finding(
                "warning",
                "access",
                f"other users may open {path}, and publish and read all: chmod 600, chown",
            )
        )
    return findings
