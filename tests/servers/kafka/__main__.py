"""Fetch what a Kafka for tests needs, ahead of them: ``PYTHONPATH=tests python -m servers.kafka``."""

from __future__ import annotations

import sys

from servers.kafka.installation import NotInstalled, installed

try:
    installed()
except NotInstalled as exc:
    sys.stderr.write(f"Kafka's tests will be skipped: {exc}\n")
