"""The container image, without an engine: the steps of its Dockerfile run on this machine, into an empty folder.

The base image is not here: a copy of this machine's Python stands for it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from documents import ROOT, blocks
from servers.nats import NatsServer
from servers.process import wait_until
from servers.redis import RedisServer
from serving import LIMIT_S

USER = 10001
PROVIDERS = ("redis", "nats", "kafka")
PAGE = ROOT / "docs/operations/container.md"

pytestmark = pytest.mark.timeout(300)  # what the image holds is downloaded


@dataclass(frozen=True)
class Step:
    """An instruction of a Dockerfile."""

    word: str
    rest: str

    @property
    def arguments(self) -> list[str]:
        """Those of a form like JSON, or its words."""
        if self.rest.startswith("["):
            arguments: list[str] = json.loads(self.rest)
            return arguments
        return shlex.split(self.rest)


def stages(dockerfile: str) -> list[list[Step]]:
    """The instructions, stage by stage; those before the first ``FROM`` are left out."""
    lines = "\n".join(line for line in dockerfile.splitlines() if line and not line.startswith("#"))
    found: list[list[Step]] = []
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append(Step(word, rest.strip()))
    return found


BUILD, FINAL = stages((ROOT / "Dockerfile").read_text())


def steps(word: str, stage: list[Step] = FINAL) -> list[Step]:
    return [step for step in stage if step.word == word]


def variables() -> dict[str, str]:
    """What the image sets."""
    found = dict(word.split("=", 1) for step in steps("ENV") for word in step.arguments)
    return {name: value.replace("$PATH", os.defpath) for name, value in found.items()}


@dataclass(frozen=True)
class Image:
    """What the steps have made, in a folder that stands for the image's root."""

    root: Path

    def there(self, text: str) -> str:
        """A command or a value of the image, with its folders below the root."""
        return re.sub(r"(?<![\w./])/(?=opt/|usr/local/|source\b|app\b)", f"{self.root}/", text)

    def environment(self, **more: str) -> dict[str, str]:
        libraries = {"LD_LIBRARY_PATH": f"{self.root}/usr/local/lib"}  # an image's own are in no other place
        return libraries | {name: self.there(value) for name, value in variables().items()} | more

    def as_user(self, *command: str) -> list[str]:
        """A command as the image's user, where this is root."""
        if os.geteuid():
            return list(command)
        number = str(USER)
        return ["setpriv", "--reuid", number, "--regid", number, "--clear-groups", "--no-new-privs", *command]

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.as_user(*command),
            cwd=self.root / "app",
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def files(self) -> dict[str, int]:
        """Each file, and when it was changed."""
        return {str(path): path.lstat().st_mtime_ns for path in self.root.rglob("*")}


@pytest.fixture(scope="module")
def image() -> Generator[Image]:
    root = Path(tempfile.mkdtemp(prefix="wigwag-image-"))
    root.chmod(0o755)  # another user is to reach it
    made = Image(root)
    try:
        build(made)
        (root / "app").mkdir()
        subprocess.run(["chmod", "-R", "a-w", root], check=True)
        yield made
    finally:
        subprocess.run(["chmod", "-R", "u+w", root], check=True)
        shutil.rmtree(root)


def build(image: Image) -> None:
    """Do what the Dockerfile says, up to what the image is to be started with."""
    lay_base(image)
    folder = image.root
    kept = {
        name: os.environ[name] for name in os.environ if not name.startswith(("WIGWAG_", "PYTHON", "COV"))
    }
    environment = kept | {
        "PATH": f"{image.root}/usr/local/bin:{os.defpath}",
        "LD_LIBRARY_PATH": f"{image.root}/usr/local/lib",
    }
    for step in [*BUILD, *steps("RUN")]:
        match step.word:
            case "WORKDIR":
                folder = Path(image.there(step.rest))
                folder.mkdir()
            case "COPY":
                *sources, target = step.arguments
                for source in sources:
                    copy(source, folder / target)
            case "ENV":
                set_here = dict(word.split("=", 1) for word in step.arguments)
                del set_here["PIP_NO_CACHE_DIR"]  # here a download is to be one only the first time
                environment |= set_here
            case "RUN":
                sh(image.there(step.rest), folder, environment)
            case other:
                assert other == "FROM", f"{other}: this test does not know it"


def lay_base(image: Image) -> None:
    """Copy this machine's Python to where the base image has its own, with pip; another user can't reach ours."""
    stdlib, local = Path(sysconfig.get_path("stdlib")), image.root / "usr/local"
    (local / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), local / "bin/python")
    for library in (stdlib.parent).glob("libpython3*.so*"):
        (local / "lib").mkdir(exist_ok=True)
        shutil.copy(library, local / "lib")
    there = local / "lib" / stdlib.name
    shutil.copytree(
        stdlib, there, ignore=shutil.ignore_patterns("test", "site-packages", "__pycache__", "config-*")
    )
    (there / "site-packages").mkdir()
    sh(f"{local}/bin/python -m ensurepip --default-pip", image.root, {"LD_LIBRARY_PATH": f"{local}/lib"})


def sh(command: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def copy(source: str, target: Path) -> None:
    """Copy as an engine does: without what .dockerignore names."""
    if (ROOT / source).is_file():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, target)
    else:
        ignored = [line.removeprefix("**/") for line in DOCKERIGNORE if line.startswith("**/")]
        shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns(*ignored))


DOCKERIGNORE = (ROOT / ".dockerignore").read_text().splitlines()


class Container:
    """The image, running: a process of its user, on addresses of this machine."""

    def __init__(
        self, image: Image, *arguments: str, entry: Sequence[str] | None = None, **more: str
    ) -> None:
        where = {"WIGWAG_LISTEN": f"127.0.0.1:{free_port()}", "WIGWAG_INTERNAL_LISTEN": f":{free_port()}"}
        self.image = image
        self.environment = image.environment(**(where | {"WIGWAG_API_KEY": "a-key"} | more))
        if entry is None:
            entry = tuple(steps("ENTRYPOINT")[0].arguments)
        arguments = arguments or tuple(steps("CMD")[0].arguments)
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - __exit__ closes it
        self.process = subprocess.Popen(
            image.as_user(*entry, *arguments),
            cwd=image.root / "app",
            env=self.environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Container:
        try:
            wait_until(lambda: self.process.poll() is not None or self.health() == 0, "healthy")
            assert self.process.poll() is None, self.said()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def health(self) -> int:
        """The exit code of the image's own health check."""
        (check,) = steps("HEALTHCHECK")
        command = json.loads(check.rest.partition("CMD ")[2])
        run = self.image.as_user(*map(self.image.there, command))
        return subprocess.run(
            run, env=self.environment, capture_output=True, timeout=30, check=False
        ).returncode

    def is_ready(self) -> bool:
        return self.get("/readyz", internal=True)[0] == 200

    def get(self, path: str, *, internal: bool = False) -> tuple[int, bytes]:
        name = "WIGWAG_INTERNAL_LISTEN" if internal else "WIGWAG_LISTEN"
        connection = http.client.HTTPConnection("127.0.0.1", int(self.environment[name].rpartition(":")[2]))
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def replica(image: Image, redis_server: RedisServer) -> Generator[Container]:
    settings = {"WIGWAG_PROVIDER": "redis", "WIGWAG_REDIS_URL": redis_server.url}
    with Container(image, **settings) as container:
        yield container


@pytest.mark.needs("redis-server")
def test_it_serves_as_a_user_who_can_write_nothing(image: Image, replica: Container) -> None:
    before = image.files()
    assert replica.health() == 0
    wait_until(replica.is_ready, "ready")
    assert b"<html" in replica.get("/")[1].lower()
    if not os.geteuid():
        assert os.stat(f"/proc/{replica.process.pid}").st_uid == USER
    assert image.files() == before


@pytest.mark.needs("redis-server")
def test_it_ends_well_on_sigterm_and_is_not_healthy_then(replica: Container) -> None:
    replica.process.terminate()
    assert replica.process.wait(LIMIT_S) == 0, replica.said()
    assert replica.health() == 1


@pytest.mark.needs("nats-server")
def test_the_provider_is_picked_by_a_variable(image: Image, nats_server: NatsServer) -> None:
    settings = {"WIGWAG_PROVIDER": "nats", "WIGWAG_NATS_SERVERS": nats_server.url}
    with Container(image, **settings) as container:
        assert b'provider="nats"' in container.get("/metrics", internal=True)[1]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_and_what_it_runs_on_is_there(image: Image, provider: str) -> None:
    done = image.run("python", "-c", f"import wigwag_{provider}.broker, uvloop, httptools, jwt, cryptography")
    assert done.returncode == 0, done.stderr
    listed = image.run("wigwag", "providers", WIGWAG_PROVIDER=provider)
    assert f"{provider}" in listed.stdout


def test_what_it_holds_installs_nothing(image: Image) -> None:
    assert not list((image.root / "opt/wigwag/bin").glob("pip*"))
    assert image.run("python", "-m", "pip", "--version").returncode != 0
    base = image.there("/usr/local/bin/python")
    assert image.run(base, "-c", "import pip").returncode != 0
    assert image.run(base, "-c", "import ensurepip").returncode != 0


def test_an_application_of_ones_own_is_found_in_its_working_directory(image: Image, tmp_path: Path) -> None:
    (alone, _) = [stages(block.text) for block in blocks(PAGE, "dockerfile")]
    (readme,) = [b for b in blocks(ROOT / "README.md", "python") if b.title == "app.py"]
    derived(image, alone[-1], {"app.py": readme.text})


def test_what_an_application_needs_is_installed_beside_wigwag(image: Image) -> None:
    """The page's steps, on a copy of what the image holds; the application's package is made here, not fetched."""
    (_, (_, build, final)) = [stages(block.text) for block in blocks(PAGE, "dockerfile")]
    (install,) = steps("RUN", build)
    root = Path(tempfile.mkdtemp(prefix="wigwag-image-"))
    root.chmod(0o755)
    (root / "tmp").mkdir()
    try:
        shutil.copytree(image.root / "opt/wigwag", root / "opt/wigwag", symlinks=True)
        (root / "usr").symlink_to(image.root / "usr")
        subprocess.run(["chmod", "-R", "u+w", root / "opt"], check=True)
        (root / "tmp/requirements.txt").write_text(f"{greeting(root)}\n")
        command = install.rest.replace(" /", f" {root}/").replace("pip ", f"{sys.executable} -m pip ", 1)
        sh(command, root, {"LD_LIBRARY_PATH": f"{root}/usr/local/lib"})
        derived(Image(root), final, {"app.py": "from greeting import app\n"})
    finally:
        shutil.rmtree(root)


def greeting(root: Path) -> Path:
    """A package as a wheel, which needs wigwag."""
    source = root / "greeting"
    source.mkdir()
    (source / "greeting.py").write_text(
        "from starlette.applications import Starlette\nfrom wigwag import Sockets\n"
        "sockets = Sockets()\napp = Starlette(routes=[sockets.route('/ws')], lifespan=sockets.lifespan)\n"
    )
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "greeting"\nversion = "1"\ndependencies = ["wigwag", "starlette"]\n'
    )
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--outdir",
        root,
        source,
    ]
    subprocess.run(command, capture_output=True, check=True)
    (wheel,) = root.glob("*.whl")
    return wheel


def derived(image: Image, stage: list[Step], files: dict[str, str]) -> None:
    """Start an image that was made FROM ours: its files in the working directory, its command."""
    app = image.root / "app"
    app.mkdir(exist_ok=True)
    copied = [source for step in steps("COPY", stage) for source in step.arguments[:-1]]
    try:
        for name, text in files.items():
            assert name in copied
            (app / name).write_text(text)
        command = ("python", "-m", "wigwag", *steps("CMD", stage)[0].arguments)
        with Container(image, *command, entry=()) as container:
            wait_until(container.is_ready, "ready")
    finally:
        for name in files:
            (app / name).unlink(missing_ok=True)


# What is written in the files


def lint(*command: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("hadolint")
def test_the_dockerfile_is_clean() -> None:
    lint("hadolint", "Dockerfile")


@pytest.mark.needs("hadolint")
def test_the_dockerfiles_of_the_page_are_clean(tmp_path: Path) -> None:
    for block in blocks(PAGE, "dockerfile"):
        (tmp_path / "Dockerfile").write_text(block.text)
        # `FROM wigwag` is what the reader has just built, without a tag.
        lint("hadolint", "--ignore=DL3006", str(tmp_path / "Dockerfile"))


def test_it_runs_as_a_number_that_is_not_roots() -> None:
    assert steps("USER")[-1].rest == f"{USER}:{USER}"


def test_its_label_has_the_version_of_wigwag() -> None:
    version = tomllib.loads((ROOT / "core/pyproject.toml").read_text())["project"]["version"]
    assert Step("ARG", f"VERSION={version}") in FINAL


def test_only_what_is_copied_is_sent_to_the_engine() -> None:
    copied = {source.partition("/")[0] for step in steps("COPY", BUILD) for source in step.arguments[:-1]}
    assert DOCKERIGNORE[1] == "*"
    assert {line[1:] for line in DOCKERIGNORE if line.startswith("!")} == copied


def test_the_page_is_about_this_base_image() -> None:
    base = re.findall(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    text = PAGE.read_text()
    assert len(base) == 1
    assert set(re.findall(r"python:[\w.-]+", text)) == set(base)


# Compose

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_compose_file_is_one() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_each_broker_has_a_profile_and_what_waits_for_it() -> None:
    services = COMPOSE["services"]
    brokers = {name for name, service in services.items() if "profiles" in service}
    assert brokers == set(PROVIDERS) == set(services["check"]["depends_on"])
    for name in brokers:
        assert services[name]["profiles"] == [name]
        assert "healthcheck" in services[name]
        assert services["check"]["depends_on"][name] == {"condition": "service_healthy", "required": False}
    for replica in ("wigwag-1", "wigwag-2"):
        assert services[replica]["depends_on"] == {"check": {"condition": "service_completed_successfully"}}
        assert all(port.startswith("127.0.0.1:") for port in services[replica]["ports"])


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param("redis", marks=pytest.mark.needs("redis-server")),
        pytest.param("nats", marks=pytest.mark.needs("nats-server")),
        pytest.param("kafka", marks=pytest.mark.needs("kafka")),
    ],
)
def test_its_check_passes_with_what_compose_sets(
    image: Image, provider: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(f"{provider}_server")
    where = re.compile(rf"\b{provider}:\d+")
    given = COMPOSE["services"]["check"]["environment"]
    settings = {name: where.sub(f"127.0.0.1:{server.port}", value) for name, value in given.items()}
    settings |= {"WIGWAG_PROVIDER": provider, "WIGWAG_API_KEY": "to-try-out"}
    done = image.run("wigwag", *COMPOSE["services"]["check"]["command"], **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a message came back" in done.stdout
    with Container(image, **settings) as container:  # a setting that is unknown would end it
        wait_until(container.is_ready, "ready")
