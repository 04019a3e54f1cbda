"""Which handshakes are taken, and what is answered to those that are not (RFC 6455, section 4.2)."""

from __future__ import annotations

import io
from functools import partial
from http.client import HTTPMessage, HTTPResponse
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from wigwag.uvicorn.handshake import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    Refused,
    Request,
    accept,
    refuse,
    respond,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455, section 1.3
OURS = (
    b"upgrade: websocket",
    b"connection: Upgrade",
    b"sec-websocket-version: 13",
    b"sec-websocket-key: " + KEY,
)
BREAKING = (b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b", b"\n", b"\r\n\r\nbody")


def head(*lines: bytes, target: bytes = b"/", method: bytes = b"GET", without: bytes = b"") -> bytes:
    """As uvicorn writes it: names in lower case, one space behind their colons."""
    ours = [line for line in OURS if not without or not line.startswith(without)]
    return b"\r\n".join((method + b" " + target + b" HTTP/1.1", *ours, *lines, b"", b""))


def parsed(answer: bytes) -> tuple[int, str, HTTPMessage, bytes]:
    """The answer as Python's own HTTP client reads it: status, phrase, headers, body."""

    class Connection:
        def makefile(self, *_: Any) -> io.BytesIO:
            return io.BytesIO(answer)

    response = HTTPResponse(Connection())  # type: ignore[arg-type]
    response.begin()
    return response.status, response.reason, response.headers, response.read()


def refused(data: bytes) -> tuple[int, HTTPMessage, str]:
    """What is answered to a head that is refused: status, headers, body."""
    with pytest.raises(Refused) as caught:
        Request(data)
    status, _, headers, body = parsed(refuse(caught.value, [(b"server", b"uvicorn")]))
    assert status == caught.value.status
    assert body.decode() == f"{caught.value.why}\n"
    assert headers["connection"] == "close"
    assert headers["content-length"] == str(len(body))
    assert headers["server"] == "uvicorn"
    return status, headers, body.decode()


# What is taken


def test_the_key_is_answered_as_the_rfc_shows() -> None:
    """Section 1.3."""
    answer = accept(KEY, [])
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    status, _, headers, body = parsed(answer)
    assert status == 101
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert headers["upgrade"] == "websocket"
    assert headers["connection"] == "Upgrade"
    assert body == b""


def test_a_client_of_websockets_takes_the_answer() -> None:
    client = ClientProtocol(parse_uri("ws://example.com/room?x=1"), subprotocols=["b"])  # type: ignore[list-item]
    client.send_request(client.connect())
    [sent] = client.data_to_send()
    first, *lines = sent.split(b"\r\n")
    fields = (line.partition(b": ") for line in lines)
    request = Request(b"\r\n".join([first, *(name.lower() + colon + value for name, colon, value in fields)]))
    assert (request.path, request.query, request.subprotocols) == ("/room", b"x=1", ["b"])
    client.receive_data(accept(request.key, [(b"Sec-WebSocket-Protocol", b"b"), (b"x-own", b"1")]))
    assert client.state is OPEN
    assert client.subprotocol == "b"


def test_headers_are_kept_in_their_order_with_all_that_is_in_them() -> None:
    request = Request(head(b"host: a", b"x: 1", b"x: 2: 3", b"empty: ", b"latin: \xe4", b"x: 1"))
    assert request.headers[4:] == [
        (b"host", b"a"), (b"x", b"1"), (b"x", b"2: 3"), (b"empty", b""), (b"latin", b"\xe4"), (b"x", b"1"),
    ]  # fmt: skip
    assert len(request.headers) == 10
    assert request.key == KEY


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        ([b"chat"], ["chat"]),
        ([b"chat, superchat"], ["chat", "superchat"]),
        ([b"chat,superchat", b"third , fourth"], ["chat", "superchat", "third", "fourth"]),
        ([b" , chat,, ", b""], ["chat"]),
        ([b"b, a, b"], ["b", "a", "b"]),
    ],
)
def test_subprotocols_are_read_from_all_lines_in_the_clients_order(
    lines: list[bytes], expected: list[str]
) -> None:
    assert Request(head(*(b"sec-websocket-protocol: " + line for line in lines))).subprotocols == expected


def test_extensions_are_kept_line_by_line() -> None:
    lines = [b"permessage-deflate; client_max_window_bits", b"foo, bar"]
    request = Request(head(*(b"sec-websocket-extensions: " + line for line in lines)))
    assert request.extensions == [line.decode() for line in lines]
    assert Request(head()).extensions == []


TARGETS = {
    "plain": (b"/", "/", b"/", b""),
    "a query": (b"/room?token=a%20b&x", "/room", b"/room", b"token=a%20b&x"),
    "an empty query": (b"/room?", "/room", b"/room", b""),
    "a question mark in the query": (b"/r?a?b", "/r", b"/r", b"a?b"),
    "escaped": (b"/a%20b", "/a b", b"/a%20b", b""),
    "escaped UTF-8": (b"/%C3%A4", "/ä", b"/%C3%A4", b""),
    "an escaped slash": (b"/a%2Fb", "/a/b", b"/a%2Fb", b""),
    "an escaped question mark": (b"/a%3Fb?c", "/a?b", b"/a%3Fb", b"c"),
    "an escaped percent sign": (b"/%2525", "/%25", b"/%2525", b""),
    "no escape": (b"/100%", "/100%", b"/100%", b""),
    "not UTF-8": (b"/%FF", "/\ufffd", b"/%FF", b""),
    "a plus": (b"/a+b", "/a+b", b"/a+b", b""),
    "two slashes": (b"//a/b", "//a/b", b"//a/b", b""),
    "a whole URL": (b"ws://example.com:81/a%20b?x=1", "/a b", b"/a%20b", b"x=1"),
    "a whole URL with a user": (b"http://u:p@example.com/a", "/a", b"/a", b""),
    "a whole URL of IPv6": (b"http://[::1]:8000/a", "/a", b"/a", b""),
    "a whole URL without a path": (b"http://example.com", "/", b"/", b""),
    "a whole URL without a path, with a query": (b"http://example.com?x", "/", b"/", b"x"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_path_is_decoded_and_kept_as_it_came(name: str) -> None:
    target, path, raw_path, query = TARGETS[name]
    request = Request(head(target=target))
    assert (request.path, request.raw_path, request.query) == (path, raw_path, query)


# What is refused


@pytest.mark.parametrize(
    "target", [b"/\xc3\xa4", b"\xff", b"http://", b"room", b"example.com:80", b"?x", b"http://a/\x7f"]
)
def test_a_target_that_can_not_be_read_is_refused(target: bytes) -> None:
    status, _, body = refused(head(target=target))
    assert status == 400
    assert body.startswith("the path ")


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"CONNECT", b"get"])
def test_a_handshake_is_a_get(method: bytes) -> None:
    status, headers, _ = refused(head(method=method))
    assert (status, headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "versions",
    [[], [b"8"], [b"14"], [b"013"], [b""], [b"13, 8"], [b"13", b"13"], [b"8", b"13"]],
    ids=lambda versions: b"+".join(versions).decode(),
)
def test_another_version_is_told_ours(versions: list[bytes]) -> None:
    """Section 4.4."""
    lines = [b"sec-websocket-version: " + version for version in versions]
    status, headers, _ = refused(head(*lines, without=b"sec-websocket-version"))
    assert (status, headers["sec-websocket-version"]) == (426, "13")


@pytest.mark.parametrize(
    "keys",
    [[], [b""], [b"dGhlIHNhbXBsZSBub25jZQ"], [b"dGhlIHNhbXBsZQ=="], [KEY + b"AAAA"], [b"?" * 24], [b" " + KEY],
     [b"dGhlIHNhbXBsZSBub25jZQ=\xe4"], [KEY, KEY]],
)  # fmt: skip
def test_a_key_is_sixteen_bytes_in_base64_and_there_once(keys: list[bytes]) -> None:
    lines = [b"sec-websocket-key: " + key for key in keys]
    status, _, body = refused(head(*lines, without=b"sec-websocket-key"))
    assert status == 400
    assert "Sec-WebSocket-Key" in body


def test_so_many_headers_are_taken_and_not_one_more() -> None:
    lines = [b"x: y"] * (MAX_HEADERS - len(OURS))
    assert len(Request(head(*lines)).headers) == MAX_HEADERS
    assert refused(head(*lines, b"x: y"))[0] == 431


def test_a_head_may_have_so_many_bytes_and_not_one_more() -> None:
    room = MAX_HEAD_BYTES - len(head(b"cookie: "))
    assert Request(head(b"cookie: " + b"x" * room)).headers[-1] == (b"cookie", b"x" * room)
    assert refused(head(b"cookie: " + b"x" * (room + 1)))[0] == 431
    assert refused(head(target=b"/" + b"x" * MAX_HEAD_BYTES))[0] == 431


# What is answered


@pytest.mark.parametrize(
    ("status", "line"),
    [(403, b"HTTP/1.1 403 Forbidden"), (503, b"HTTP/1.1 503 Service Unavailable"), (499, b"HTTP/1.1 499 ")],
)
def test_an_answer_that_refuses_ends_the_connection(status: int, line: bytes) -> None:
    answer = respond(status, [(b"x-why", b"because"), (b"x-why", b"\xe4")])
    assert answer == line + b"\r\nx-why: because\r\nx-why: \xe4\r\nconnection: close\r\n\r\n"
    assert parsed(answer)[0] == status


@pytest.mark.parametrize("value", BREAKING)
def test_no_value_breaks_its_line(value: bytes) -> None:
    for answer in (partial(accept, KEY), partial(respond, 403)):
        with pytest.raises(ValueError, match="can't be sent as a header"):
            answer([(b"a", b"b"), (b"x", value)])


@pytest.mark.parametrize(
    "name", [*BREAKING, b"", b"a b", b"a:", b" a", b"a ", b"\xe4", b"a\t", b"(a)", b'"a"']
)
def test_no_name_is_anything_but_a_token(name: bytes) -> None:
    for answer in (partial(accept, KEY), partial(respond, 403)):
        with pytest.raises(ValueError, match="can't be sent as a header"):
            answer([(name, b"x")])


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=12)), max_size=4))
@example([(b"a", b"b\r\nc: d")])
def test_what_is_sent_has_the_lines_that_were_given_and_no_others(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        answer = respond(403, headers)
    except ValueError:
        return
    lines = answer.split(b"\r\n")[1:]
    assert lines == [*(name + b": " + value for name, value in headers), b"connection: close", b"", b""]
    assert answer.count(b"\n") == answer.count(b"\r") == len(headers) + 3


@given(st.lists(st.sampled_from([*OURS, *OURS, b"x: y", b"sec-websocket-version: 8", b"sec-websocket-key: x", b"",
                                 b"no colon", b": ", b"sec-websocket-", b"sec-websocket-protocol: ,,"]), max_size=9),
       st.one_of(st.binary(max_size=9), st.text("/a?%:# ", max_size=9).map(str.encode)))  # fmt: skip
def test_whatever_comes_is_a_request_or_refused(lines: list[bytes], target: bytes) -> None:
    data = b"\r\n".join((b"GET " + target.replace(b"\r\n", b"") + b" HTTP/1.1", *lines, b"", b""))
    answer, key = b"", KEY
    try:
        key = Request(data).key
    except Refused as exc:
        answer = refuse(exc, [])
    assert key == KEY
    assert not answer or parsed(answer)[0] in (400, 405, 426)
