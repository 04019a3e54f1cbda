"""Whatever values the schema takes are rendered, and Kubernetes takes what is rendered; or one line says why not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from charts.programs.schemas import NEWEST, OLDEST, validate
from charts.rendering import ACCESS, CHART, SCHEMA, Manifest, Refused, merged, one, render

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

#: What is passed on as it is, an example of each.
OPAQUE: dict[str, list[Any]] = {
    "affinity": [{}, {"nodeAffinity": {}}],
    "egress": [{}, {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
    "envFrom": [
        {"secretRef": {"name": "s"}},
        {"prefix": "A_", "configMapRef": {"name": "c", "optional": True}},
    ],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-own"}},
    ],
    "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
    "extraVolumes": [{"name": "v", "emptyDir": {}}],
    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}],
    "internalFrom": [{"podSelector": {}}],
    "metricRelabelings": [{"action": "drop", "sourceLabels": ["a"]}],
    "publicFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "relabelings": [{"targetLabel": "a"}],
    "valueFrom": [{"fieldRef": {"fieldPath": "metadata.name"}}],
    "global": [{}, {"a": 1}],
}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def strategy(schema: dict[str, Any], name: str) -> st.SearchStrategy[Any]:
    """What a schema of ours takes; its conditions are for who draws from it."""
    if schema.get("$ref") == "#/definitions/kubernetes" or name == "global":
        return st.sampled_from(OPAQUE[name])
    schema = resolved(schema)
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if "anyOf" in schema:
        return st.one_of([strategy(each, name) for each in schema["anyOf"]])
    if "allOf" in schema and "type" not in schema:
        return strategy(schema["allOf"][0], name)
    return BY_TYPE[schema["type"]](schema, name)


def strings(schema: dict[str, Any], _: str) -> st.SearchStrategy[str]:
    most = schema.get("maxLength", 4096)
    # What YAML and Kubernetes take; the values of a chart are text that somebody wrote.
    letters = st.characters(codec="utf-8", exclude_categories=["C"], include_characters="\n\t")
    found = (
        st.from_regex(
            schema["pattern"], fullmatch=True, alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E)
        )
        if "pattern" in schema
        else st.text(letters, max_size=60)
    )
    return found.filter(
        lambda text: schema.get("minLength", 0) <= len(text) <= most and not text.endswith("\n")
    )


def objects(schema: dict[str, Any], name: str) -> st.SearchStrategy[dict[str, Any]]:
    if "properties" not in schema:
        keys = strategy({"type": "string", **resolved(schema["propertyNames"])}, name)
        return st.dictionaries(keys, strategy(schema["additionalProperties"], name), max_size=2)
    each = {key: strategy(value, key) for key, value in schema["properties"].items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {key: value for key, value in each.items() if key in required},
        optional={key: value for key, value in each.items() if key not in required},
    )


BY_TYPE: dict[str, Callable[[dict[str, Any], str], st.SearchStrategy[Any]]] = {
    "null": lambda *_: st.none(),
    "boolean": lambda *_: st.booleans(),
    "integer": lambda schema, _: st.integers(schema["minimum"], schema.get("maximum", 10**9)),
    "number": lambda schema, _: st.one_of(
        st.integers(1, 300), st.floats(0.125, 300, width=32, allow_nan=False), st.integers(1, 10**9)
    ),
    "string": strings,
    "array": lambda schema, name: st.lists(strategy(schema["items"], name), max_size=2),
    "object": objects,
}

#: Providers matter most, and letters in any order are none.
PROVIDERS = st.sampled_from(["memory", "local", "redis", "nats", "kafka", "mqtt"])
TOP = {name: strategy(schema, name) for name, schema in SCHEMA["properties"].items() if name != "provider"}


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """A few values at a time, of all that there are, beside a provider and keys."""
    provider = {"name": draw(PROVIDERS)}
    if draw(st.booleans()):
        provider |= draw(strategy(SCHEMA["properties"]["provider"], "provider")) | provider
    names = draw(st.lists(st.sampled_from(sorted(TOP)), max_size=8, unique=True))
    drawn = {name: draw(TOP[name]) for name in names}
    if provider["name"] == "local":
        drawn.setdefault("workers", 2)
    found: dict[str, Any] = merged(ACCESS if draw(st.booleans()) else {}, {"provider": provider}, drawn)
    assume(VALIDATOR.is_valid(merged(DEFAULTS, found)))
    return found


def expected_refusal(values: dict[str, Any]) -> str | None:
    """Which line the templates have for values that the schema takes; their order is the templates'."""
    all_ = merged(DEFAULTS, values)
    for scaler in ("autoscaling", "keda"):
        if all_[scaler]["enabled"] and all_[scaler]["minReplicas"] > all_[scaler]["maxReplicas"]:
            return f"{scaler}.minReplicas"
    flush = 2 * math.ceil(all_["settings"].get("WIGWAG_STOP_TIMEOUT_S", 5)) + 5
    least = math.ceil(all_["drain"]["delaySeconds"]) + math.ceil(all_["drain"]["timeoutSeconds"]) + flush
    grace = all_["terminationGracePeriodSeconds"]
    if grace is not None and grace < least:
        return "terminationGracePeriodSeconds"
    provider = all_["provider"]
    said = [*provider["env"], *provider["secretKeys"], *all_["settings"]]
    said += [each["name"] for each in all_["extraEnv"]]
    if len(set(said)) < len(said):
        return "is said twice"
    if all_["containerPorts"]["public"] == all_["containerPorts"]["internal"]:
        return "they must differ"
    given_ = {each["name"] for each in all_["extraEnv"]}
    auth = all_["auth"]
    if not (auth["apiKeys"]["existingSecret"] or all_["envFrom"] or "WIGWAG_API_KEY" in given_):
        return "auth.apiKeys.existingSecret is not set"
    jwks = auth["jwks"]["url"], auth["jwks"]["existingConfigMap"]
    if all(jwks):
        return "are both set"
    asks = auth["jwt"]["existingSecret"] or any(jwks) or all_["envFrom"] or "WIGWAG_JWT_SECRET" in given_
    if not (all_["app"] or auth["insecure"] or asks):
        return "without tokens anyone may join"
    token = all_["tests"]["tokenSecret"]["name"] or auth["jwt"]["existingSecret"]
    if all_["tests"]["enabled"] and all_["tests"]["connect"] == "always" and all_["app"] and not token:
        return "tests.connect: always needs a token"
    return None


@pytest.mark.needs("charts")
@pytest.mark.timeout(300)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(values())
def test_what_the_schema_takes_kubernetes_takes(given_: dict[str, Any]) -> None:
    if refusal := expected_refusal(given_):
        with pytest.raises(Refused, match=f"wigwag: .*{re.escape(refusal)}"):
            render(given_)
        return
    rendered = render(given_)
    for manifest in rendered:
        for version in (OLDEST, NEWEST):
            validate(manifest, version)
    holds_together(rendered)


def holds_together(rendered: list[Manifest]) -> None:
    """What no schema says: names are looked up, and lists have keys."""
    pod = one(rendered, "Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts <= {volume["name"] for volume in pod["spec"]["volumes"]} | {"v"}
    for manifest in rendered:
        selector = manifest.get("spec", {}).get("selector", {})
        if manifest["kind"] == "Service":
            assert selector.items() <= pod["metadata"]["labels"].items()
            assert {port["targetPort"] for port in manifest["spec"]["ports"]} <= ports
        if manifest["kind"] in ("Deployment", "PodDisruptionBudget"):
            assert selector["matchLabels"].items() <= pod["metadata"]["labels"].items()
        if manifest["kind"] in ("Pod", "Job"):
            server = one(rendered, "Deployment")["spec"]["selector"]["matchLabels"]
            of_hook = manifest["spec"].get("template", manifest)["metadata"]["labels"]
            assert not server.items() <= of_hook.items()
        assert len(manifest["metadata"]["name"]) <= 63
    names = [variable["name"] for variable in container["env"]]
    own = [name for name in names if name.startswith("WIGWAG_")]
    assert len(set(own)) == len(own)
