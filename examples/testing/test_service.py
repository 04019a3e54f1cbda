"""A service, without the application."""

import pytest
from incidents import IncidentCreated, Incidents

from wigwag.errors import NotAccepted
from wigwag.testing import RecordingEmitter

pytestmark = pytest.mark.anyio


async def test_an_incident_is_told_to_its_account() -> None:
    emitter = RecordingEmitter()
    await Incidents(emitter).create("acme", IncidentCreated(title="Disk", severity="minor"))
    assert emitter.expect(IncidentCreated, topic="incidents:acme").title == "Disk"


async def test_that_it_was_not_told_is_not_hidden() -> None:
    emitter = RecordingEmitter()
    emitter.fail(NotAccepted("no broker"))
    with pytest.raises(NotAccepted):
        await Incidents(emitter).create("acme", IncidentCreated(title="Disk", severity="minor"))
    emitter.expect_nothing()
