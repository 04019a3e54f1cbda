"""Values that can't work are refused by the schema and, where that is not used, by the templates, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from charts.rendering import ACCESS, Manifest, Refused, merged, one, render
from wigwag.provider import ProviderSettings
from wigwag.service.draining import most_stop_s
from wigwag.settings import ServiceSettings

pytestmark = pytest.mark.needs("helm")

REDIS: dict[str, Any] = {"provider": {"name": "redis"}}
LOCAL: dict[str, Any] = {"provider": {"name": "local"}, "workers": 4}
SCALED = {"enabled": True, "minReplicas": 1, "maxReplicas": 5}
PROMETHEUS = {"prometheus": {"serverAddress": "http://prometheus:9090"}}

#: Values, what the schema says, and what the templates say.
BY_BOTH: dict[str, tuple[dict[str, Any], str, str]] = {
    "memory with replicas": (
        {"replicaCount": 2},
        "at '/replicaCount': maximum: got 2, want 1",
        "provider.name: memory reaches no other pod, so that messages would not arrive with replicaCount: 2; "
        "set provider.name to redis, nats or kafka, or replicaCount: 1",
    ),
    "local with replicas": (
        {**LOCAL, "replicaCount": 3},
        "at '/replicaCount': maximum: got 3, want 1",
        "provider.name: local reaches no other pod",
    ),
    "memory with an autoscaler": (
        {"autoscaling": SCALED},
        "at '/autoscaling/maxReplicas': maximum: got 5, want 1",
        "with autoscaling up to 5 pods; set provider.name to redis, nats or kafka, or autoscaling.enabled: false",
    ),
    "local with KEDA": (
        {**LOCAL, "keda": {**SCALED, **PROMETHEUS}},
        "at '/keda/maxReplicas': maximum: got 5, want 1",
        "with keda up to 5 pods; set provider.name to redis, nats or kafka, or keda.enabled: false",
    ),
    "memory with workers": ({"workers": 2}, "at '/workers'", "set provider.name: local"),
    "local without workers": (
        {"provider": {"name": "local"}},
        "at '/workers'",
        "set workers, like workers: 4",
    ),
    "two autoscalers": (
        {**REDIS, "autoscaling": SCALED, "keda": {**SCALED, **PROMETHEUS}},
        "at '/keda/enabled'",
        "autoscaling and keda would both scale; enable one of them",
    ),
    "KEDA without Prometheus": (
        {**REDIS, "keda": SCALED},
        "at '/keda/prometheus/serverAddress'",
        "keda needs keda.prometheus.serverAddress",
    ),
    "what a pod takes to end, where the grace does not see it": (
        {"extraEnv": [{"name": "WIGWAG_STOP_TIMEOUT_S", "value": "60"}]},
        "at '/extraEnv/0/name'",
        "terminationGracePeriodSeconds is worked out; set it in settings",
    ),
    "a rollout that can't begin": (
        {**REDIS, "rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 0}},
        "at '/rollingUpdate/maxUnavailable'",
        "no pod could be replaced; set maxSurge: 1",
    ),
    "keys of no Secret": (
        {"provider": {"name": "redis", "secretKeys": {"WIGWAG_REDIS_PASSWORD": "password"}}},
        "at '/provider/existingSecret'",
        "name it in provider.existingSecret",
    ),
    "a route that hangs on nothing": (
        {"httpRoute": {"enabled": True}},
        "at '/httpRoute/parentRefs'",
        "name it in httpRoute.parentRefs",
    ),
    "an Ingress without hosts": (
        {"ingress": {"enabled": True}},
        "at '/ingress/hosts'",
        "ingress needs ingress.hosts",
    ),
}

#: What a schema can't say, or would say less clearly.
BY_TEMPLATES: dict[str, tuple[dict[str, Any], str]] = {
    "a grace that cuts the drain off": (
        {"terminationGracePeriodSeconds": 39},
        "terminationGracePeriodSeconds: 39 would cut the drain off, which takes up to 40 s",
    ),
    "a grace that leaves no time for a longer flush": (
        {"terminationGracePeriodSeconds": 49, "settings": {"WIGWAG_STOP_TIMEOUT_S": 10}},
        "or set at least 50",
    ),
    "bounds the wrong way round": (
        {**REDIS, "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 2}},
        "autoscaling.minReplicas: 3 is more than autoscaling.maxReplicas: 2",
    ),
    "one port for clients and backends": (
        {"containerPorts": {"public": 9000}},
        "containerPorts.public and containerPorts.internal are both 9000; they must differ",
    ),
    "no API key": (
        {"auth": {"apiKeys": {"existingSecret": ""}}},
        "auth.apiKeys.existingSecret is not set: the internal port, which the cluster reaches, needs an API key. "
        "Make one: kubectl create secret generic wigwag-api-keys",
    ),
    "no tokens": (
        {"auth": {"jwt": {"existingSecret": ""}}},
        "set auth.jwt.existingSecret or auth.jwks, or app to your application, or, for a try-out, auth.insecure: true",
    ),
    "a variable twice": (
        {
            "provider": {
                "name": "redis",
                "existingSecret": "redis",
                "env": {"WIGWAG_REDIS_URL": "redis://r"},
                "secretKeys": {"WIGWAG_REDIS_URL": "url"},
            }
        },
        "WIGWAG_REDIS_URL is said twice; leave it in one of",
    ),
    "two places for public keys": (
        {"auth": {"jwks": {"url": "https://id.example.com/keys", "existingConfigMap": "keys"}}},
        "set one of them",
    ),
    "a test without a token": (
        {"app": "main:app", "auth": {"jwt": {"existingSecret": ""}}, "tests": {"connect": "always"}},
        "name its Secret in tests.tokenSecret",
    ),
}

TYPOS: dict[str, tuple[dict[str, Any], str]] = {
    "a value": ({"replicaCuont": 2}, "additional properties 'replicaCuont' not allowed"),
    "within one": ({"drain": {"delay": 2}}, "at '/drain': additional properties 'delay' not allowed"),
    "a probe's": ({"livenessProbe": {"period": 2}}, "additional properties 'period' not allowed"),
    "a setting's value": ({"settings": {"WIGWAG_MAX_CONNECTIONS": "many"}}, "got string, want integer"),
    "a setting": ({"settings": {"WIGWAG_MAX_CONECTIONS": 2}}, "WIGWAG_MAX_CONECTIONS"),
    "of a provider": (
        {"provider": {"name": "redis", "env": {"WIGWAG_REDIS_URI": "redis://r"}}},
        "invalid propertyName 'WIGWAG_REDIS_URI'",
    ),
    "of another provider": (
        {"provider": {"name": "nats", "env": {"WIGWAG_REDIS_URL": "redis://r"}}},
        "invalid propertyName 'WIGWAG_REDIS_URL'",
    ),
    "a variable that is a value": (
        {"extraEnv": [{"name": "WIGWAG_PROVIDER", "value": "redis"}]},
        "at '/extraEnv/0/name'",
    ),
    "a label that selects": ({"podLabels": {"app.kubernetes.io/name": "x"}}, "app.kubernetes.io/name"),
    "a secret in a setting": (
        {"settings": {"WIGWAG_API_KEY": "k"}},
        "additional properties 'WIGWAG_API_KEY' not allowed",
    ),
    "a group with a wildcard, as only hosts have": (
        {"httpRoute": {"parentRefs": [{"name": "public", "group": "*.example.com"}]}},
        "at '/httpRoute/parentRefs/0/group'",
    ),
}


def refusal(values: dict[str, Any], *, schema: bool) -> str:
    with pytest.raises(Refused) as caught:
        render(merged(ACCESS, values), schema=schema)
    return str(caught.value)


@pytest.mark.parametrize("case", BY_BOTH)
def test_what_cannot_work_is_refused_by_schema_and_templates(case: str) -> None:
    values, by_schema, by_templates = BY_BOTH[case]
    assert by_schema in refusal(values, schema=True)
    said = refusal(values, schema=False)
    assert f"wigwag: {by_templates}" in said or by_templates in said


@pytest.mark.parametrize("case", BY_TEMPLATES)
@pytest.mark.parametrize("schema", [True, False])
def test_what_a_schema_cannot_say_the_templates_do(case: str, schema: bool) -> None:
    values, said = BY_TEMPLATES[case]
    assert said in refusal(values, schema=schema)


@pytest.mark.parametrize("case", TYPOS)
def test_a_typing_error_is_refused(case: str) -> None:
    values, said = TYPOS[case]
    assert said in refusal(values, schema=True)


def container(manifests: list[Manifest]) -> Manifest:
    (found,) = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("provider", ["memory", "local"])
def test_one_pod_alone_is_taken_and_never_overlaps_with_the_next(provider: str) -> None:
    values = LOCAL if provider == "local" else {}
    for more in ({}, {"replicaCount": 1}, {"replicaCount": 0}):
        spec = one(render(merged(ACCESS, values, more)), "Deployment")["spec"]
        assert spec["strategy"] == {"type": "Recreate"}
        assert spec["replicas"] == more.get("replicaCount", 1)


def test_a_broker_makes_it_two_and_none_is_missing_in_a_rollout() -> None:
    spec = one(render(merged(ACCESS, REDIS)), "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("case", ["envFrom", "extraEnv"])
def test_keys_may_come_by_variables_too(case: str) -> None:
    names = ("WIGWAG_API_KEY", "WIGWAG_JWT_SECRET")
    given: dict[str, Any] = {
        "envFrom": [{"secretRef": {"name": "all"}}],
        "extraEnv": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": "all", "key": "k"}}} for name in names
        ],
    }
    rendered = render({case: given[case]})
    assert given[case][0] in container(rendered)["envFrom" if case == "envFrom" else "env"]
    (test,) = one(rendered, "Pod")["spec"]["containers"]
    assert given[case][0] in test["envFrom" if case == "envFrom" else "env"]


def test_a_plugin_of_ones_own_has_its_variables() -> None:
    values = {"provider": {"name": "mqtt", "env": {"WIGWAG_MQTT_URL": "mqtt://m"}}}
    assert {"name": "WIGWAG_MQTT_URL", "value": "mqtt://m"} in container(render(merged(ACCESS, values)))[
        "env"
    ]


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("stop_s", [5.0, 7.5])
def test_the_grace_is_what_the_code_may_take_to_end(stop_s: float, workers: int | None) -> None:
    drain = {"delaySeconds": 3, "timeoutSeconds": 12, "perSecond": 100}
    values = {"drain": drain, "workers": workers, "settings": {"WIGWAG_STOP_TIMEOUT_S": stop_s}}
    spec = one(render(merged(ACCESS, REDIS, values)), "Deployment")["spec"]["template"]["spec"]
    service = ServiceSettings(drain_delay_s=3.0, drain_timeout_s=12.0)
    most_s = most_stop_s(service, ProviderSettings(stop_timeout_s=stop_s))
    assert most_s <= spec["terminationGracePeriodSeconds"] < most_s + 2
