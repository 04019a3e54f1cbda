"""What an application and its clients say to each other, written down for others: ``wigwag typegen`` and
``wigwag asyncapi``.

:mod:`~wigwag.typegen.finding` finds the messages of an application, :mod:`~wigwag.typegen.describing` makes
JSON Schemas of their types, with a name for each, and :mod:`~wigwag.typegen.typescript` and
:mod:`~wigwag.typegen.asyncapi` write them.  The same application gives the same bytes, in whatever order it is
imported.
"""

from wigwag.typegen.asyncapi import asyncapi
from wigwag.typegen.describing import Api, describe
from wigwag.typegen.finding import Found, find
from wigwag.typegen.typescript import typescript

__all__ = ["Api", "Found", "asyncapi", "describe", "find", "typescript"]
