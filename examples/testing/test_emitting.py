"""Who hears what."""

import pytest
from incidents import Acknowledge, Acknowledged, IncidentCreated, Watch

from wigwag.testing import AppClient

pytestmark = pytest.mark.anyio


async def test_an_incident_reaches_who_watches_its_account(client: AppClient) -> None:
    bob = await client.connect("/ws?token=t-bob")
    eve = await client.connect("/ws?token=t-eve")
    for each in (bob, eve):
        await each.request(Watch())

    body = {"account": "acme", "title": "Disk", "severity": "minor"}
    answer = await client.http.post("/incidents", json=body)

    assert answer.status_code == 201
    assert await bob.expect(IncidentCreated) == IncidentCreated(title="Disk", severity="minor")
    await eve.expect_nothing()


async def test_the_others_hear_who_acknowledged(client: AppClient) -> None:
    ann = await client.connect("/ws?token=t-ann")
    bob = await client.connect("/ws?token=t-bob")
    for each in (ann, bob):
        await each.request(Watch())

    await ann.request(Acknowledge(title="Disk"))

    assert await bob.expect(Acknowledged) == Acknowledged(title="Disk", by="ann")
    await ann.expect_nothing()  # she has the reply
