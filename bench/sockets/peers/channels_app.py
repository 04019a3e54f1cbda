"""Django Channels over its in-memory layer: a consumer for each socket, a group for the room."""

from __future__ import annotations

import os
from typing import Any

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

GROUP = "room"

settings.configure(
    SECRET_KEY=os.urandom(16).hex(),
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


class Room(AsyncWebsocketConsumer):  # type: ignore[misc]  # it comes without types
    """``j``: join; ``p`` and a text: publish it; anything else comes back."""

    async def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        """A message came."""
        if text_data[0] == "p":
            await self.channel_layer.group_send(GROUP, {"type": "said", "text": text_data[1:]})
        elif text_data[0] == "j":
            await self.channel_layer.group_add(GROUP, self.channel_name)
            await self.send("j")
        else:
            await self.send(text_data)

    async def said(self, event: dict[str, Any]) -> None:
        """A message of the group's."""
        await self.send(event["text"])


app = ProtocolTypeRouter({"websocket": URLRouter([path("", Room.as_asgi())])})
