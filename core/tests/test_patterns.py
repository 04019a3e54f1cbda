"""Topic patterns: what they match, and above all what not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wigwag.patterns import Pattern

PLAIN = st.text("ab_.-", min_size=1, max_size=3)
SEGMENTS = st.lists(PLAIN | st.sampled_from(["*", "{sub}"]), min_size=1, max_size=4)
PATTERNS = st.builds(
    lambda segments, end: ":".join([*segments, *end]), SEGMENTS, st.sampled_from([[], ["**"]])
).filter(lambda text: not text.startswith("__"))
#: With colons anywhere, empty segments among them, and characters that are no topic's.
ANYTHING = st.text("ab_.-:*{}", max_size=12)
USERS = PLAIN | ANYTHING.filter(bool)


def regex_of(pattern: str, user: str) -> re.Pattern[str]:
    """The same, said another way."""
    one = "[A-Za-z0-9_.-]+"
    forms = {"*": one, "**": f"{one}(:{one})*", "{sub}": re.escape(user)}
    return re.compile(":".join(forms.get(segment, re.escape(segment)) for segment in pattern.split(":")))


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("orders", "orders", True),
        ("orders", "orders:7", False),
        ("orders", "Orders", False),
        ("orders:*", "orders:7", True),
        ("orders:*", "orders:a.b-c_d", True),
        ("orders:*", "orders", False),
        ("orders:*", "orders:", False),
        ("orders:*", "orders::", False),
        ("orders:*", "orders:7:items", False),
        ("orders:*", "orders7", False),
        ("orders:*", "xorders:7", False),
        ("orders:*:items", "orders:7:items", True),
        ("orders:*:items", "orders::items", False),
        ("orders:**", "orders:7", True),
        ("orders:**", "orders:7:items:8", True),
        ("orders:**", "orders", False),
        ("orders:**", "orders:", False),
        ("orders:**", "orders:7:", False),
        ("orders:**", "orders::7", False),
        ("*", "lobby", True),
        ("*", "orders:7", False),
        ("**", "orders:7", True),
        ("**", ":orders", False),
        ("**", "__broadcast__", False),
        ("*", "__broadcast__", False),
        ("**", "__node:1", False),
        ("a.b", "a-b", False),
        ("**", "", False),
        ("**", "x" * 257, False),
        ("**", "no topic!", False),
        ("**", "lobby\n", False),
        ("user:{sub}", "user:ann", True),
        ("user:{sub}", "user:bob", False),
        ("user:{sub}:**", "user:ann:inbox", True),
        ("{sub}", "ann", True),
    ],
)
def test_a_pattern_matches_whole_segments(pattern: str, topic: str, matches: bool) -> None:
    assert Pattern(pattern).matches(topic, "ann") is matches


@pytest.mark.parametrize(
    ("user", "topic"),
    [("*", "user:bob"), ("**", "user:bob"), ("bob:x", "user:bob:x"), ("", "user:"), ("{sub}", "user:{sub}")],
)
def test_a_user_is_never_read_as_a_pattern(user: str, topic: str) -> None:
    assert not Pattern("user:{sub}").matches(topic, user)
    assert not Pattern("{sub}").matches("__broadcast__", "__broadcast__")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "1 to 256 characters"),
        ("x" * 257, "1 to 256 characters"),
        ("__broadcast__", "names that begin with __ are reserved"),
        ("__*", "names that begin with __ are reserved"),
        ("orders:", "a segment of it is empty"),
        (":orders", "a segment of it is empty"),
        ("a::b", "a segment of it is empty"),
        ("order-*", "* is a whole segment"),
        ("***", "* is a whole segment"),
        ("**:a", "** stands at the end only"),
        ("**:**", "** stands at the end only"),
        ("{user}", "or is *, ** or {sub}"),
        ("user-{sub}", "or is *, ** or {sub}"),
        ("no topic!", "or is *, ** or {sub}"),
        ("lobby\n", "or is *, ** or {sub}"),
        ("größe", "or is *, ** or {sub}"),
    ],
)
def test_what_is_no_pattern_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Pattern(text)


def test_patterns_of_one_text_are_equal() -> None:
    assert Pattern("a:*") == Pattern.parse("a:*")
    assert Pattern("a:*") != "a:*"
    assert len({Pattern("a:*"), Pattern("a:*"), Pattern("a:b")}) == 2
    assert (str(Pattern("a:*")), repr(Pattern("a:*"))) == ("a:*", "Pattern('a:*')")


@settings(deadline=None)
@given(PATTERNS, ANYTHING, USERS)
def test_it_is_the_regular_expression_that_the_page_describes(pattern: str, topic: str, user: str) -> None:
    found = regex_of(pattern, user).fullmatch(topic)
    is_plain = re.fullmatch(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)*", topic)
    expected = bool(found and is_plain and not topic.startswith("__"))
    # A user with a colon in it is several segments to the expression, and none to us.
    if ":" not in user:
        assert Pattern(pattern).matches(topic, user) is expected
    elif "{sub}" in pattern.split(":"):
        assert not Pattern(pattern).matches(topic, user)


@settings(deadline=None)
@given(PATTERNS, USERS, st.lists(PLAIN, min_size=1, max_size=6))
def test_no_pattern_escapes_what_it_names(pattern: str, user: str, segments: list[str]) -> None:
    topic = ":".join(segments)
    if not Pattern(pattern).matches(topic, user):
        return
    own = pattern.split(":")
    if own[-1] == "**":
        assert len(segments) >= len(own)
        own.pop()
    else:
        assert len(segments) == len(own)
    for given_, found in zip(own, segments, strict=False):
        assert given_ == "*" or found == (user if given_ == "{sub}" else given_)


@settings(deadline=None)
@given(
    PATTERNS, st.sampled_from(["__", "__a", "__a:b", "a:", ":a", "a::b", "a b", "a*", "a:*", "a:**"]), USERS
)
def test_nothing_matches_what_is_reserved_or_no_topic(pattern: str, topic: str, user: str) -> None:
    assert not Pattern(pattern).matches(topic, user)


@settings(deadline=None)
@given(st.text("ab_:*{}su", max_size=10))
def test_whatever_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        pattern = Pattern(text)
    except ValueError:
        return
    assert not text.startswith("__")
    assert all(text.split(":"))
    assert pattern.text == text
