"""How a provider behaves, whatever its broker."""

from __future__ import annotations

from dataclasses import dataclass

from wigwag.settings import setting


@dataclass(frozen=True, kw_only=True)
class ProviderSettings:
    """Times in seconds, sizes in bytes.  From the environment each is ``WIGWAG_`` and its name."""

    linger_s: float = setting(
        2.0,
        "How long a topic without sockets stays subscribed at the broker, for who comes back.",
        at_least=0,
    )
    subscribe_timeout_s: float = setting(5.0, "How long `subscribe` waits for the broker's confirmation.")
    publish_timeout_s: float = setting(
        5.0, "How long `publish` waits for the broker, the return of a lost link included."
    )
    outbox_messages: int = setting(
        20_000, "How many messages may wait for the broker; more are refused.", at_least=1
    )
    outbox_bytes: int = setting(
        64 * 1024 * 1024, "How many bytes of messages may wait for the broker.", at_least=1
    )
    probe_interval_s: float = setting(
        5.0, "The time between probes; the next begins after the last has come back."
    )
    probe_timeout_s: float = setting(
        5.0, "How long a link may be silent, with a probe out, before it is given up as deaf."
    )
    probe_limit_s: float = setting(
        30.0, "How long a link may bring no probe back although other messages come in."
    )
    session_timeout_s: float = setting(
        10.0, "How long a broker has to become ready, and to confirm a subscribe or unsubscribe."
    )
    # Full jitter: Brooker, "Exponential Backoff And Jitter", 2015.
    backoff_base_s: float = setting(
        0.1, "The n-th attempt to reconnect waits a random time of at most this times 2 to the n."
    )
    backoff_cap_s: float = setting(5.0, "The longest wait before an attempt to reconnect.")
    stop_timeout_s: float = setting(
        5.0, "How long stopping waits for sockets to close, and again for what is being published."
    )
