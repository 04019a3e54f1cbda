"""Pages in a headless Chromium, and what they must never do."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, BrowserContext, Page, Response

ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking")


class Visitor:
    """Someone with a browser of their own, whose pages are watched."""

    def __init__(self, browser: Browser, origin: str, **options: Any) -> None:
        self.origin = origin
        self.context: BrowserContext = browser.new_context(locale="en-GB", **options)
        self.context.set_default_timeout(10_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._documents: list[Response] = []
        #: While the server is away, a browser says so on the console.
        self.expects_failures = False

    def open(self, path: str = "/") -> Page:
        """Open a tab."""
        page = self.context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("response", self._responded)
        page.goto(self.origin + path)
        return page

    def _said(self, kind: str, text: str) -> None:
        is_failure = "ERR_CONNECTION_REFUSED" in text or "WebSocket connection to" in text
        if kind in ("error", "warning") and not (self.expects_failures and is_failure):
            self.complaints.append(f"{kind}: {text}")

    def _responded(self, response: Response) -> None:
        if response.request.resource_type in ("document", "script", "stylesheet", "image"):
            self._documents.append(response)

    def leave(self) -> None:
        """Close the browser's window, having seen that the pages behaved."""
        self.context.close()
        assert self.requests, "no request was seen"
        strangers = [url for url in self.requests if urlsplit(url).netloc != urlsplit(self.origin).netloc]
        assert not strangers, f"requests left the origin: {strangers}"
        assert not self.complaints
        assert self._documents
        for response in self._documents:
            policy = response.headers.get("content-security-policy", "")
            assert "default-src 'none'" in policy, response.url
            assert "unsafe" not in policy
            assert response.headers["x-content-type-options"] == "nosniff"


def post(url: str, content: Any) -> tuple[int, Any]:
    """POST as curl does: nothing is said of the content's type; return status and JSON."""
    body = json.dumps(content).encode()
    request = Request(url, body, {"Content-Type": "application/x-www-form-urlencoded"})
    with urlopen(request, timeout=10) as answer:
        return answer.status, json.load(answer)
