"""What is answered to a client's offers of compression (RFC 7692, section 5)."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.headers import parse_extension

from wigwag.frames.deflate import Agreement, InvalidHeader, negotiate

#: In every answer: neither side looks back.
ALONE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

BROWSERS = {
    "Chrome, Edge": "permessage-deflate; client_max_window_bits",
    "Firefox, Safari": "permessage-deflate",
    "Safari, once": "permessage-deflate, x-webkit-deflate-frame",
    "ws of node": "permessage-deflate; client_max_window_bits",
    "Java": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
}


@pytest.mark.parametrize("offer", BROWSERS.values(), ids=BROWSERS)
def test_what_clients_offer_is_accepted(offer: str) -> None:
    assert negotiate([offer]) == Agreement(15, ALONE)


@pytest.mark.parametrize("bits", range(9, 16))
def test_our_window_is_no_larger_than_the_client_asks_for(bits: int) -> None:
    answer = Agreement(bits, f"{ALONE}; server_max_window_bits={bits}")
    assert negotiate([f"permessage-deflate; server_max_window_bits={bits}"]) == answer
    assert negotiate([f'permessage-deflate; server_max_window_bits="{bits}"']) == answer
    assert negotiate([f"permessage-deflate; client_max_window_bits; server_max_window_bits={bits}"]) == answer


@pytest.mark.parametrize("bits", range(8, 16))
def test_the_clients_own_window_is_left_to_it(bits: int) -> None:
    """Any is read; the answer may have what the offer says (section 7.1.2.2)."""
    agreement = negotiate([f"permessage-deflate; client_max_window_bits={bits}"])
    assert agreement == Agreement(15, f"{ALONE}; client_max_window_bits={bits}")


# Why the offer alone is declined; with another behind it, that one is taken.
DECLINED = {
    "zlib has no window so small": "server_max_window_bits=8",
    "no such window, 7": "server_max_window_bits=7",
    "no such window, 16": "server_max_window_bits=16",
    "a zero ahead": "server_max_window_bits=09",
    "a window without a value": "server_max_window_bits",
    "a window of a word": "server_max_window_bits=x",
    "no such window of the client's": "client_max_window_bits=16",
    "a client's window of a word": "client_max_window_bits=x",
    "takeover with a value": "server_no_context_takeover=1",
    "the client's takeover with a value": "client_no_context_takeover=1",
    "something unknown": "compress_harder",
    "something unknown, with a value": "level=9",
    "twice": "server_max_window_bits=9; server_max_window_bits=9",
    "twice, differently": "server_max_window_bits=9; server_max_window_bits=10",
    "twice, the client's": "client_max_window_bits; client_max_window_bits",
    "twice, takeover": "server_no_context_takeover; server_no_context_takeover",
}


@pytest.mark.parametrize("parameters", DECLINED.values(), ids=DECLINED)
def test_an_offer_that_can_not_be_met_is_passed_over(parameters: str) -> None:
    offer = f"permessage-deflate; {parameters}"
    another = "permessage-deflate; server_max_window_bits=10"
    assert negotiate([offer]) is None
    for offers in ([f"{offer}, {another}"], [offer, another], [f"{offer}, {offer}", f"{another}, {offer}"]):
        assert negotiate(offers) == Agreement(10, f"{ALONE}; server_max_window_bits=10")


def test_the_clients_first_choice_is_taken() -> None:
    first, second = (f"permessage-deflate; server_max_window_bits={bits}" for bits in (12, 9))
    for offers in ([first, second], [f"{first}, {second}"]):
        agreement = negotiate(offers)
        assert agreement is not None
        assert agreement.window_bits == 12


@pytest.mark.parametrize(
    "offers",
    [
        [],
        ["x-webkit-deflate-frame"],
        ["permessage-bzip2; level=9", "bbf-usp-protocol"],
        ["permessage-deflate-2"],
    ],
)
def test_other_extensions_are_not_known(offers: list[str]) -> None:
    assert negotiate(offers) is None
    assert negotiate([*offers, "permessage-deflate"]) == Agreement(15, ALONE)


@pytest.mark.parametrize(
    "garbage",
    ["", " ", ";", ",", "=", "permessage-deflate;", "permessage-deflate; =", "permessage-deflate; a b",
     "permessage deflate", 'permessage-deflate; server_max_window_bits="9', "permessage-deflate; x=", "\xff"],
)  # fmt: skip
def test_what_can_not_be_read_says_so(garbage: str) -> None:
    with pytest.raises(InvalidHeader):
        negotiate([garbage])


pieces = st.sampled_from(
    ["permessage-deflate", "server_max_window_bits", "client_max_window_bits", "server_no_context_takeover",
     "client_no_context_takeover", "; ", "; ", "; ", ", ", "=", "=9", "=12", "=15", "=8", '="10"', "x", " ", "\t", '"'],
)  # fmt: skip


@given(st.lists(st.one_of(st.lists(pieces, max_size=9).map("".join), st.text(max_size=20)), max_size=3))
@example(["permessage-deflate; server_max_window_bits=9; client_max_window_bits=8"])
def test_any_answer_is_one_that_a_client_can_take(offers: list[str]) -> None:
    """Or there is none: whatever comes."""
    try:
        agreement = negotiate(offers)
    except InvalidHeader:
        return
    if agreement is not None:
        [(name, answer)] = parse_extension(agreement.header)
        assert name == "permessage-deflate"
        theirs = ClientPerMessageDeflateFactory(True, True, 15, 15).process_response_params(
            [("server_max_window_bits", "15"), *((n, v) for n, v in answer if "window" not in n)], []
        )
        assert theirs.remote_no_context_takeover is theirs.local_no_context_takeover is True
        assert dict(answer).get("server_max_window_bits") in (None, str(agreement.window_bits))
        assert 9 <= agreement.window_bits <= 15
