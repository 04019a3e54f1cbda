"""What clients ask, and are answered."""

import pytest
from incidents import Acknowledge, Acknowledged, Watch

from wigwag.client import RequestFailed
from wigwag.testing import AppClient

pytestmark = pytest.mark.anyio


async def test_who_watches_is_told_how_many_do(client: AppClient) -> None:
    ann = await client.connect("/ws?token=t-ann")
    bob = await client.connect("/ws?token=t-bob")
    assert await ann.request(Watch()) == 1
    assert await bob.request(Watch()) == 2


async def test_who_is_on_call_acknowledges(client: AppClient) -> None:
    ann = await client.connect("/ws?token=t-ann")
    assert await ann.request(Acknowledge(title="Disk")) == Acknowledged(title="Disk", by="ann")


async def test_what_does_not_fit_is_refused_with_where(client: AppClient) -> None:
    ann = await client.connect("/ws?token=t-ann")
    with pytest.raises(RequestFailed, match="Validation failed") as failure:
        await ann.request("incident.acknowledge", {"title": 7})
    assert failure.value.details[0]["path"] == "$.title"
