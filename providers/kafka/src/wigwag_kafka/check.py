"""What ``wigwag check`` finds of a Kafka cluster and its topic, before a deploy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import anyio

from wigwag.broker import BrokerLost, Finding
from wigwag.settings.tls import is_loopback
from wigwag_kafka.clients import abort
from wigwag_kafka.cluster import DEFAULT_PARTITIONS, Cluster, Topic
from wigwag_kafka.quiet import LogFilter
from wigwag_kafka.sending import largest_payload
from wigwag_kafka.settings import KafkaSettings, connection_options
from wigwag_kafka.words import OLDEST

#: Less, and an ordinary restart of a node is an outage that loses messages.
_SHORT_RETENTION_S = 60
#: Less, and messages of an ordinary size are refused.
_SMALL_MESSAGE_BYTES = 64 * 1024

_FEW_PARTITIONS = 3

#: By whose newest versions a release of Kafka can be told.
_REQUESTS = {0: "Produce", 1: "Fetch", 3: "Metadata"}


async def check(settings: KafkaSettings) -> Sequence[Finding]:
    """Connect, log in, look at the topic and at the brokers' settings, and say what will hurt.

    Raises:
        SettingsError: the settings do not fit together.
        BrokerLost: no broker can be reached, or it refuses the login.
    """
    log = LogFilter()
    cluster = Cluster(settings, connection_options(settings), log)
    log.attach()
    try:
        with log.claimed(), anyio.fail_after(settings.connect_timeout):
            await cluster.connect()
            return await _findings(cluster, settings)
    except TimeoutError:
        raise BrokerLost(f"Kafka did not answer within {settings.connect_timeout:g} s") from None
    finally:
        with anyio.CancelScope(shield=True):
            await abort([cluster.client])
        log.detach()


async def _findings(cluster: Cluster, settings: KafkaSettings) -> list[Finding]:
    topic = await cluster.look()
    findings = [_of_version(cluster)]
    brokers = cluster.client.cluster.brokers()
    findings += _of_servers([f"{broker.host}:{broker.port}" for broker in brokers], settings)
    findings.append(judge_encryption(settings))
    findings += judge_login(settings)
    if topic is None:
        findings.append(await _of_missing(cluster, settings))
    else:
        findings += _of_topic(topic, settings)
        findings += _of_config(await cluster.config(), topic, settings)
    return [*findings, *_of_broker(await cluster.config(min(broker.nodeId for broker in brokers)))]


def _of_version(cluster: Cluster) -> Finding:
    known = cluster.request_versions()
    spoken = ", ".join(f"{name} {known[key]}" for key, name in _REQUESTS.items() if key in known)
    text = f"{OLDEST} or newer, as is needed; no broker tells its release to clients"
    return Finding(
        "ok", "version", f"{text}, but this one speaks requests up to {spoken}" if spoken else text
    )


def _of_servers(cluster: list[str], settings: KafkaSettings) -> Iterator[Finding]:
    if len(cluster) > 1 and len(settings.bootstrap_servers) == 1:
        yield Finding(
            "warning",
            "servers",
            f"one is set, and the cluster has {len(cluster)}: while that one is down no session begins. List several "
            "in WIGWAG_KAFKA_BOOTSTRAP_SERVERS, unless it is a name that leads to all",
        )


def judge_encryption(settings: KafkaSettings) -> Finding:
    """Whether somebody on the way can read."""
    if settings.has_tls:
        return Finding("ok", "encryption", "connections are encrypted, and certificates verified")
    if _is_near(settings):
        return Finding("ok", "encryption", "none, on this machine only")
    what = "messages and the login" if settings.has_login else "messages"
    with_tls = "SASL_SSL" if settings.has_login else "SSL"
    return Finding(
        "warning",
        "encryption",
        f"none: {what} can be read on the way; set WIGWAG_KAFKA_SECURITY_PROTOCOL={with_tls}",
    )


def judge_login(settings: KafkaSettings) -> Iterator[Finding]:
    """Whether it is known who we are."""
    if not (settings.has_login or settings.tls_cert_file or _is_near(settings)):
        text = (
            "none: whoever reaches the brokers can publish to every client; have them ask for one, and allow READ "
            f"and WRITE on {settings.topic!r} to wigwag and your backends alone"
        )
        yield Finding("warning", "login", text)


def _is_near(settings: KafkaSettings) -> bool:
    return all(is_loopback(server.rpartition(":")[0]) for server in settings.bootstrap_servers)


async def _of_missing(cluster: Cluster, settings: KafkaSettings) -> Finding:
    partitions = settings.partitions or DEFAULT_PARTITIONS
    reason = await cluster.try_to_make(partitions, really=False)
    if reason is not None:
        return Finding("error", "topic", reason)
    return Finding(
        "ok",
        "topic",
        f"{settings.topic!r} is missing; the first node makes it, with {partitions} partitions, which never change",
    )


def _of_topic(topic: Topic, settings: KafkaSettings) -> Iterator[Finding]:
    count, wanted = len(topic.leaders), settings.partitions
    if wanted is not None and wanted != count:
        yield Finding(
            "error",
            "partitions",
            f"{settings.topic!r} has {count}, and WIGWAG_KAFKA_PARTITIONS={wanted}: no node will start; unset it, or "
            "stop all nodes and make the topic anew",
        )
    elif -1 in topic.leaders:
        down = topic.leaders.count(-1)
        yield Finding(
            "error", "partitions", f"{down} of {count} have no leader: start the brokers that hold them"
        )
    elif count < _FEW_PARTITIONS:
        yield Finding(
            "warning",
            "partitions",
            f"{count}: what one broker and one lane can carry is all there is for every topic, and the number never "
            f"changes; {DEFAULT_PARTITIONS} are usual",
        )
    else:
        yield Finding("ok", "partitions", f"{count}, all with a leader")
    if topic.replication > 1:
        yield Finding("ok", "replication", f"{topic.replication}")
    else:
        yield Finding(
            "warning",
            "replication",
            "1: nothing is delivered while a broker is down, and what it held may be lost; 3 is usual",
        )


def _of_config(config: Mapping[str, str], topic: Topic, settings: KafkaSettings) -> Iterator[Finding]:
    """What the topic's settings mean for us."""
    if not config:
        yield Finding(
            "warning",
            "topic settings",
            "this login may not see them: grant it DESCRIBE_CONFIGS; until then messages up to 1 MiB are tried, and a "
            "smaller max.message.bytes shows only where one is refused",
        )
        return
    if "compact" in config["cleanup.policy"]:
        yield Finding(
            "error",
            "cleanup.policy",
            f"{config['cleanup.policy']}: all but the last message of each topic is thrown away; set it to delete",
        )
    yield judge_retention(int(config["retention.ms"]), int(config["retention.bytes"]))
    yield judge_acknowledging(int(config["min.insync.replicas"]), topic.replication)
    if config["unclean.leader.election.enable"] == "true":
        yield Finding(
            "warning",
            "unclean.leader.election.enable",
            "true: a failover may take back messages, and what replaces them may be skipped; set it to false",
        )
    limit = int(config["max.message.bytes"])
    text = (
        f"{limit}: a message has at most {largest_payload(limit)} bytes, wigwag's envelope around it included; a "
        "larger one is refused where it is published"
    )
    if limit < _SMALL_MESSAGE_BYTES:
        yield Finding("warning", "max.message.bytes", f"{text}. That is little: 1048588 is usual")
    else:
        yield Finding("ok", "max.message.bytes", text)


def judge_retention(retention_ms: int, retention_bytes: int) -> Finding:
    """How long an outage may last; less than 0 is no limit."""
    if 0 <= retention_ms < _SHORT_RETENTION_S * 1000:
        return Finding(
            "warning",
            "retention.ms",
            f"{retention_ms}: an outage of a node that lasts longer loses messages; an hour is 3600000",
        )
    lasting = "for ever" if retention_ms < 0 else f"{retention_ms / 1000:g} s"
    text = f"messages are kept {lasting}: so long may an outage last without loss"
    if retention_bytes >= 0:
        text += f", or less where {retention_bytes} bytes of a partition come sooner (retention.bytes)"
    return Finding("ok", "retention.ms", text)


def judge_acknowledging(least: int, replication: int) -> Finding:
    """How many replicas must have a message before it counts as taken."""
    subject = "min.insync.replicas"
    if least > replication:
        return Finding("error", subject, f"{least} of {replication} replicas: nothing can be published")
    if least == replication > 1:
        return Finding(
            "warning",
            subject,
            f"{least} of {replication} replicas: with one broker down nothing can be published",
        )
    if least == 1 < replication:
        return Finding(
            "warning",
            subject,
            "1: a message that was taken is lost with the one broker that has it; 2 is usual",
        )
    return Finding("ok", subject, f"{least} of {replication} replicas")


def _of_broker(config: Mapping[str, str]) -> Iterator[Finding]:
    if config.get("auto.create.topics.enable") == "true":
        yield Finding(
            "warning",
            "auto.create.topics.enable",
            "true: a topic that is deleted comes back by itself, with the cluster's own number of partitions and "
            "retention; set it to false",
        )
