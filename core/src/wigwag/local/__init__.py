"""The provider ``local``: the processes of one machine, joined by a hub on a Unix socket.

:mod:`~wigwag.local.hub` is the server, which ``wigwag serve --workers`` and ``wigwag hub`` run;
:mod:`~wigwag.local.broker` is each process's side of it.
"""

from wigwag.local.broker import LocalBroker
from wigwag.local.hub import Hub, HubNotStarted, HubRuns
from wigwag.local.place import hub_settings_of
from wigwag.local.plugin import wigwag_provider
from wigwag.local.settings import LocalSettings

__all__ = [
    "Hub",
    "HubNotStarted",
    "HubRuns",
    "LocalBroker",
    "LocalSettings",
    "hub_settings_of",
    "wigwag_provider",
]
