"""The command ``wigwag``."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from wigwag.errors import SettingsError, WigwagError
from wigwag.factory import PREFIX, load_core_settings, load_plugin, provider_of_workers
from wigwag.logs import JsonFormatter
from wigwag.plugins import INSTALLABLE, distribution_of, installed, load
from wigwag.provider import ProviderSettings
from wigwag.settings import Listen, Secret, ServiceSettings, load_settings, variables

FAILURE = 1
USAGE = 2


def main() -> None:
    """Run the command; an error of ours is one line on standard error, and exit code 1 or 2."""
    try:
        cli(prog_name="wigwag", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except SettingsError as exc:
        _fail(exc, USAGE)
    except WigwagError as exc:
        _fail(exc, FAILURE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)  # as a shell says of what SIGINT ended


def _fail(exc: Exception, code: int) -> None:
    text = " ".join(str(exc).split())
    if any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers):
        logging.getLogger("wigwag").critical(text)
    else:
        click.echo(f"wigwag: {text}", err=True)
    sys.exit(code)


def _address(ctx: click.Context, param: click.Parameter, value: str | None) -> Listen | None:
    try:
        return None if value is None else Listen.parse(value)
    except ValueError:
        accepted = "HOST:PORT, [HOST]:PORT or :PORT, with a port from 0 to 65535"
        raise click.BadParameter(f"{value!r} is not {accepted}") from None


def _help_of(name: str) -> str:
    """The help of a setting of the service, with its variable and default."""
    for variable in variables(ServiceSettings, PREFIX):
        if variable.name == f"{PREFIX}{name.upper()}":
            text = variable.help.replace("`", "")
            return f"{text}  [{variable.name}; {variable.default}]"
    raise LookupError(name)


_SERVE_EPILOG = """\b
Examples:
  wigwag serve                       the stock service, with a page on http://127.0.0.1:8000/
  wigwag serve main:app              your Starlette or FastAPI application
  wigwag serve main:app --listen 127.0.0.1:8080
  wigwag serve main:app --workers 4  four processes on one port, that hear each other

\b
docs/settings.md lists every setting.
"""
_PUBLISH_EPILOG = """\b
Examples:
  wigwag publish lobby hello
  wigwag publish incidents '{"id": 7}' --name incident.created
"""
_TYPEGEN_EPILOG = """\b
Examples:
  wigwag typegen main:app                        on standard output
  wigwag typegen main:app -o web/src/messages.ts
  wigwag typegen main:app -o web/src/messages.ts --check

\b
docs/guide/typescript-types.md shows what to do with the file.
"""
_ASYNCAPI_EPILOG = """\b
Examples:
  wigwag asyncapi main:app                       on standard output
  wigwag asyncapi main:app -o asyncapi.yaml
"""
_CHECK_EPILOG = """\b
Examples:
  wigwag check
  wigwag check main:app --json
  wigwag check --replicas 6 --connections 50000 --grace 60
"""
_TOKEN_EPILOG = """\b
Examples:
  wigwag token --sub ann --topics 'orders:*'
  wigwag token --sub ann --topics 'user:{sub},news:**' --publish 'chat:*' --ttl 15m

\b
A pattern is a topic in which a whole segment (between colons) may be * for any one, {sub} for the user, and
the last one ** for all that follow:
  orders:*      orders:7, but neither orders nor orders:7:items
  orders:**     orders:7 and orders:7:items
  user:{sub}    user:ann, for ann

\b
A client brings it as ws://…/ws?token=…, as `Authorization: Bearer …`, or in a subprotocol.
"""
_SMOKE_EPILOG = """\b
Examples:
  wigwag smoke 10.0.0.5 10.0.0.6
  wigwag smoke wigwag-replicas --replicas 3     a name with an address for each, as a headless Service has

\b
It brings the API key of WIGWAG_API_KEY or WIGWAG_API_KEY_FILE, and connects with a token that it signs with
WIGWAG_JWT_SECRET or WIGWAG_JWT_SECRET_FILE, with that of --token-file, or with none. The token's topics
must have wigwag-smoke:*.
"""
_LISTEN_EPILOG = """\b
Examples:
  wigwag listen lobby
  wigwag listen lobby incidents | jq .data
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wigwag", message="wigwag %(version)s")
def cli() -> None:
    """Delivers a message, once, to every WebSocket that asked for its topic.

    Begin with `wigwag serve`, and open the page that it names.
    """


@cli.command(epilog=_SERVE_EPILOG)
@click.argument("app", required=False)
@click.option("--listen", metavar="HOST:PORT", callback=_address, help=_help_of("listen"))
@click.option(
    "--internal-listen",
    metavar="HOST:PORT",
    callback=_address,
    help=_help_of("internal_listen"),
)
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help=_help_of("workers"))
@click.option("--insecure", is_flag=True, default=None, help=_help_of("insecure"))
@click.option(
    "--log-level",
    type=click.Choice(["critical", "error", "warning", "info", "debug"]),
    help=_help_of("log_level"),
)
@click.option("--app-dir", metavar="DIR", help="Where APP is looked for; the current directory.")
def serve(app: str | None, app_dir: str | None, **options: Any) -> None:
    """Serve WebSockets, and the internal API beside them.

    APP is MODULE:NAME of an ASGI application, like main:app. Without it the stock service runs: clients join
    topics, and backends publish over HTTP.
    """
    # Until the server itself hears it, which comes after the application's import: the first process of a container
    # would not be ended by it at all, and be killed when the grace is over.
    signal.signal(signal.SIGTERM, _end)
    core = load_core_settings()
    load_settings(ProviderSettings, PREFIX, os.environ)
    settings = load_settings(ServiceSettings, PREFIX, os.environ)
    settings = replace(settings, **{name: value for name, value in options.items() if value is not None})
    # uvicorn is not for the other commands to load.
    if settings.workers is None:
        from wigwag.service.server import serve as run

        load_plugin(core.provider, os.environ)
        run(settings, core, app=app, app_dir=app_dir)
    else:
        from wigwag.service.workers.serving import serve_with_workers

        load_plugin(provider_of_workers(os.environ), os.environ)
        serve_with_workers(settings, settings.workers, os.environ, app=app, app_dir=app_dir)


def _end(*_: object) -> None:
    """What a signal does before anything serves."""
    sys.exit(0)


@cli.command()
@click.option("--path", type=click.Path(path_type=Path), help="The Unix socket to make.  [WIGWAG_LOCAL_PATH]")
def hub(path: Path | None) -> None:
    """Join processes of this machine that were started one by one, or by another server.

    Each of them has WIGWAG_PROVIDER=local and the same WIGWAG_LOCAL_PATH. `wigwag serve --workers` needs no such
    hub: it has its own.
    """
    from wigwag.cli.hub import hub as run

    run(path, dict(os.environ))


@cli.command()
def providers() -> None:
    """List the providers that are installed, and how to get the others of ours.

    Only the chosen one, marked with *, is loaded.
    """
    found = installed()
    chosen = load_core_settings().provider
    for name, entry in found.items():
        mark = "*" if name == chosen else " "
        summary = f"  {load(name).summary}" if name == chosen else ""
        click.echo(f"{mark} {name:<10} {distribution_of(entry)}{summary}")
    for name in INSTALLABLE:
        if name not in found:
            click.echo(f"  {name:<10} not installed: {INSTALLABLE[name]}")
    click.echo("\nWIGWAG_PROVIDER chooses one; memory unless set.")
    load_plugin(chosen, os.environ)  # says what is wrong with the choice, if anything


@cli.command(epilog=_CHECK_EPILOG)
@click.argument("app", required=False)
@click.option("--replicas", metavar="N", type=click.IntRange(min=1), help="How many there are to be; 1.")
@click.option(
    "--connections",
    metavar="N",
    type=click.IntRange(min=1),
    help="How many clients at once, on all replicas.",
)
@click.option(
    "--grace",
    "grace_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="How long there is from SIGTERM to SIGKILL, as terminationGracePeriodSeconds or TimeoutStopSec say.",
)
@click.option("--app-dir", metavar="DIR", help="Where APP is looked for; the current directory.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(app: str | None, app_dir: str | None, as_json: bool, **plan: Any) -> None:
    """Look at settings, machine and broker before a deploy, and say what will hurt.

    It reads the same variables as `wigwag serve`, looks at what this machine lets a process have, connects, looks at
    the broker's version and limits, and sends itself a message. Run it where the service is to run: in its
    container, as its user. Exit code 1 if something is an error, 2 if `wigwag serve` would not start.
    """
    from wigwag.cli.check import check as run
    from wigwag.cli.outlook import Plan

    if not run(os.environ, Plan(app=app, **plan), app_dir=app_dir, as_json=as_json):
        sys.exit(FAILURE)


@cli.command("new-provider")
@click.argument("name")
@click.option(
    "--directory", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where to write it."
)
def new_provider(name: str, directory: Path) -> None:
    """Begin a provider of your own: a distribution wigwag-NAME that runs as it is.

    Its test is the conformance suite, which fails and says what there is to write.
    """
    from wigwag.cli.new_provider import new_provider as run

    root = run(name, directory)
    package = next(root.glob("src/*"))
    click.echo(f"""Made {root}: {package.relative_to(root)}/broker.py is where the work is.

  cd {root}
  pip install -e '.[test]'
  WIGWAG_PROVIDER={package.name.removeprefix("wigwag_")} wigwag check
  pytest                         what fails says what to mend

docs/writing-a-provider.md goes through it, method by method.""")


@cli.command(epilog=_PUBLISH_EPILOG)
@click.argument("topic")
@click.argument("message")
@click.option("--name", help="Publish an event of this name; MESSAGE is its data, in JSON.")
@click.option("--url", default="http://127.0.0.1:9000", show_default=True, help="The internal port's URL.")
@click.option("--key", metavar="KEY", help="The API key.  [WIGWAG_API_KEY]")
def publish(topic: str, message: str, name: str | None, url: str, key: str | None) -> None:
    """Publish MESSAGE to TOPIC, through a running service.

    MESSAGE is a text, or, with --name, JSON.
    """
    from wigwag.cli.publish import publish as run

    run(topic, message, name=name, url=url, key=_key(key, os.environ))


def _key(given: str | None, environ: Mapping[str, str]) -> str | None:
    if given is None:
        from wigwag.service.access import api_keys_of

        keys = api_keys_of(load_settings(ServiceSettings, PREFIX, environ))
        return None if keys is None else keys.first.reveal()
    try:
        return Secret.parse(given).reveal()
    except ValueError:
        raise click.UsageError(f"--key must be {Secret.accepted}") from None


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> int:
    from wigwag.cli.token import duration_s

    try:
        return duration_s(value)
    except ValueError:
        accepted = "a duration from 1s to ten years, like 90s, 15m, 1h or 7d"
        raise click.BadParameter(f"{value!r} is not {accepted}") from None


def _patterns(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    return [text for value in values for part in value.split(",") if (text := part.strip())]


@cli.command(epilog=_TOKEN_EPILOG)
@click.option("--sub", metavar="USER", required=True, help="Who it is for.")
@click.option(
    "--topics",
    metavar="PATTERN,…",
    multiple=True,
    callback=_patterns,
    help="Topics that may be joined; none unless given.",
)
@click.option(
    "--publish",
    metavar="PATTERN,…",
    multiple=True,
    callback=_patterns,
    help="Topics that the client may publish to; none unless given.",
)
@click.option(
    "--ttl",
    metavar="DURATION",
    default="1h",
    show_default=True,
    callback=_duration,
    help="How long it is good.",
)
@click.option("--stats", is_flag=True, help="Let it see the numbers of a node, and the names of its topics.")
def token(sub: str, topics: list[str], publish: list[str], ttl: int, stats: bool) -> None:
    """Print a token for a client of the stock service (a JWT, HS256).

    It is signed with WIGWAG_JWT_SECRET, or the first line of WIGWAG_JWT_SECRET_FILE, and has the audience and issuer
    that WIGWAG_JWT_AUDIENCE and WIGWAG_JWT_ISSUER ask for. Whoever has that secret can make tokens.
    """
    from wigwag.cli.token import token as make

    click.echo(make(os.environ, sub, topics=topics, publish=publish, ttl_s=ttl, stats=stats))


@cli.command(epilog=_SMOKE_EPILOG)
@click.argument("hosts", nargs=-1, required=True, metavar="HOST...")
@click.option(
    "--replicas",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many there are to be at least.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Public port.")
@click.option(
    "--internal-port", type=click.IntRange(1, 65535), default=9000, show_default=True, help="Internal port."
)
@click.option("--path", default="/ws", show_default=True, help="Where sockets are, on the public port.")
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A token to connect with.",
)
@click.option(
    "--no-sockets",
    is_flag=True,
    help="Don't connect as a client; see that all nodes hear each other, over the broker.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    help="How long to try.",
)
def smoke(
    hosts: tuple[str, ...], no_sockets: bool, token_file: Path | None, timeout: float, **how: Any
) -> None:
    """Publish on each replica of a service, and receive on each.

    HOST is a replica, or a name that has the addresses of all. Ends with 0 as soon as each message has arrived on
    each replica, and with 1 and what was missing where that does not happen in time.
    """
    from wigwag.cli.smoke import Plan, authorization_of
    from wigwag.cli.smoke import smoke as run

    authorization = None if no_sockets else authorization_of(os.environ, token_file)
    plan = Plan(hosts=hosts, key=_key(None, os.environ), authorization=authorization, **how)
    run(plan, timeout_s=timeout, connects=not no_sockets)


@cli.command(epilog=_LISTEN_EPILOG)
@click.argument("topics", nargs=-1, required=True, metavar="TOPIC...")
@click.option("--url", default="ws://127.0.0.1:8000/ws", show_default=True, help="The service's socket.")
def listen(topics: tuple[str, ...], url: str) -> None:
    """Print what is published to the topics, one line of JSON for each message, until Ctrl-C.

    An event has name, data and timestamp; a text message is {"text": …}, a binary one {"base64": …}.
    """
    from wigwag.cli.listen import listen as run

    run(topics, url)


def _describes(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of the commands that write down what an application says."""
    arguments = [
        click.argument("targets", nargs=-1, required=True, metavar="MODULE:NAME..."),
        click.option(
            "-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output."
        ),
        click.option(
            "--check",
            is_flag=True,
            help="Write nothing; exit with 1, and show the difference, if FILE is not up to date. For CI.",
        ),
        click.option(
            "--messages",
            metavar="MODULE",
            multiple=True,
            help="A module with more messages that the server emits, and those below it. May be given again.",
        ),
        click.option("--app-dir", metavar="DIR", help="Where MODULE is looked for; the current directory."),
    ]
    for argument in reversed(arguments):
        command = argument(command)
    return command


@cli.command(epilog=_TYPEGEN_EPILOG)
@_describes
def typegen(targets: tuple[str, ...], **options: Any) -> None:
    """Write TypeScript of an application's messages.

    Each is defined once, in Python, and the page no longer compiles when it does not fit the server.

    MODULE:NAME is an ASGI application, a Sockets, a SocketRouter or a MessageRegistry, like main:app; MODULE alone
    is all that is in a module. What clients may ask is taken from the routes, with the handlers' annotations. What
    the server emits is each SocketMessage that a module of the application names; modules of the application are
    those that it imports from its own package, or from the directory that it is in.
    """
    from wigwag.cli.typegen import write_typescript

    write_typescript(targets, **options)


@cli.command(epilog=_ASYNCAPI_EPILOG)
@_describes
@click.option("--title", help="The document's title; FastAPI's, or MODULE:NAME.")
@click.option("--api-version", metavar="VERSION", help="The API's version; FastAPI's, or 0.1.0.")
def asyncapi(targets: tuple[str, ...], **options: Any) -> None:
    """Write AsyncAPI 3.0 of an application's messages.

    The messages are found as `wigwag typegen` finds them. FILE may end in .json or .yaml.
    """
    from wigwag.cli.typegen import write_asyncapi

    write_asyncapi(targets, **options)
