"""Replicas are replaced one after the other under load, and every client's messages are accounted for.

Clients come through one address and connect again as ``docs/wire-protocol.md`` says; publishers publish numbered
messages over HTTP.  ``account.py`` then says what of it each client received, what it lacks and was told of, and what
it lacks without having been told.
"""
