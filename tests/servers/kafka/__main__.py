"""Fetch what a Kafka for tests needs, ahead of them: ``PYTHONPATH=tests python -m servers.kafka``."""

from servers.kafka.installation import installed

installed()
