"""Who may not connect, and who may not do what."""

import pytest
from incidents import Acknowledge

from wigwag.client import ConnectionRefused, RequestFailed
from wigwag.testing import AppClient

pytestmark = pytest.mark.anyio


async def test_strangers_are_refused(client: AppClient) -> None:
    with pytest.raises(ConnectionRefused) as refused:
        await client.connect("/ws?token=none")
    assert refused.value.code == 1008


async def test_pages_of_other_sites_are_refused(client: AppClient) -> None:
    with pytest.raises(ConnectionRefused, match="origin") as refused:
        await client.connect("/ws?token=t-ann", headers={"Origin": "https://elsewhere.example"})
    assert refused.value.code == 403  # as HTTP: it never was a WebSocket


async def test_who_is_not_on_call_may_not_acknowledge(client: AppClient) -> None:
    bob = await client.connect("/ws?token=t-bob")
    with pytest.raises(RequestFailed, match="Forbidden"):
        await bob.request(Acknowledge(title="Disk"))
