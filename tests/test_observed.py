"""Log lines and traces of ``wigwag serve`` as a process: one, several workers, and two replicas on Redis."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from servers.process import wait_until
from servers.redis import RedisServer
from serving import ANYWHERE, LIMIT_S, WIGWAG, Service, environment, run, serving

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"

APP = """
import logging
import warnings
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from wigwag import SocketContext, Sockets

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
logger = logging.getLogger("shop")

async def opened(ctx: SocketContext) -> None:
    await ctx.subscribe("lobby")
    await ctx.send("welcome")

async def said(ctx: SocketContext, message: str | bytes) -> None:
    logger.info("a message", extra={"size": len(message)})
    if message == "fail":
        raise RuntimeError("a defect\\nof two lines")
    await ctx.send("done")

async def order(request):
    with trace.get_tracer("shop").start_as_current_span("order"):
        logger.info("an order")
        await sockets.emitter.publish("lobby", "ordered")
    return JSONResponse({})

async def spans(request):
    return JSONResponse([
        {
            "name": span.name,
            "trace": f"{span.context.trace_id:032x}",
            "id": f"{span.context.span_id:016x}",
            "parent": span.parent and f"{span.parent.span_id:016x}",
        }
        for span in exporter.get_finished_spans()
    ])

async def warn(request):
    warnings.warn("an old way")
    return JSONResponse({})

sockets = Sockets(open=opened, message=said)
app = Starlette(
    routes=[Route("/order", order), Route("/spans", spans), Route("/warn", warn), sockets.route("/ws")],
    lifespan=sockets.lifespan,
)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def publish(service: Service, **headers: str) -> None:
    body = json.dumps({"topic": "lobby", "text": "hello"}).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"{service.internal}/api/publish", body, headers), timeout=LIMIT_S
    ) as answer:
        assert answer.status == 202


def lines(service: Service) -> Iterator[dict[str, Any]]:
    """All that it has said, when it has ended: each line is an object."""
    code, out, err = service.end()
    assert (code, out) == (0, "")
    for line in "".join(service.said).splitlines() + err.splitlines():
        found = json.loads(line)
        assert found["timestamp"].endswith("Z")
        assert {"level", "logger", "message"} <= found.keys()
        yield found


def await_ready(service: Service) -> None:
    wait_until(lambda: service.get(f"{service.internal}/readyz")[0] == 200, "it is ready", LIMIT_S)


def talk(service: Service) -> None:
    with connect(f"{service.ws}?token=s3cret") as client:
        assert client.recv(LIMIT_S) == "welcome"
        client.send("hi")
        assert client.recv(LIMIT_S) == "done"
        client.send("fail")
        assert b"Internal error" in str(client.recv(LIMIT_S)).encode()
    assert service.get(f"{service.public}/warn")[0] == 200
    assert service.get(f"{service.public}/order")[0] == 200


def check_lines(found: list[dict[str, Any]], *, has_worker: bool) -> None:
    by_message = {line["message"]: line for line in found}
    said = by_message["a message"]
    assert (said["logger"], said["level"], said["size"]) == ("shop", "info", len("fail"))
    assert said["socket"].startswith(said["node"])
    failed = next(line for line in found if "exception" in line)
    assert failed["logger"] == "wigwag.sockets"
    assert failed["socket"] == said["socket"]
    assert failed["exception"].endswith("RuntimeError: a defect\nof two lines")
    ordered = by_message["an order"]
    assert len(ordered["trace_id"]) == 32
    assert ordered["node"]
    assert any(line["logger"] == "py.warnings" and "an old way" in line["message"] for line in found)
    assert any(line["logger"] == "uvicorn.error" for line in found)
    assert has_worker == all(
        "worker" in line for line in found if line["logger"] in ("shop", "wigwag.sockets", "wigwag.provider")
    )
    assert "s3cret" not in json.dumps(found)


def test_each_line_is_an_object_the_applications_and_uvicorns_too(shop: Path) -> None:
    with serving("shop:app", cwd=shop, WIGWAG_LOG_FORMAT="json", WIGWAG_LOG_LEVEL="debug") as service:
        talk(service)
        check_lines(list(lines(service)), has_worker=False)


def test_each_line_of_a_worker_has_its_number(shop: Path) -> None:
    variables = {"WIGWAG_LOG_FORMAT": "json", "WIGWAG_LOG_LEVEL": "debug"}
    with serving("shop:app", "--workers", "1", cwd=shop, **variables) as service:
        talk(service)
        with connect(service.ws) as client:
            assert client.recv(LIMIT_S) == "welcome"
            publish(service, traceparent=TRACEPARENT)  # to the supervisor, who asks a worker
            assert client.recv(LIMIT_S) == "hello"
        found = list(lines(service))
    check_lines(found, has_worker=True)
    (delivered,) = [line for line in found if line.get("trace_id") == TRACE_ID]
    assert (delivered["worker"], delivered["message"]) == (1, "a message of 5 bytes on 'lobby'")
    assert {line["worker"] for line in found if "worker" in line} == {1}
    assert any("worker" not in line for line in found)  # the supervisor's


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_an_application_that_logs_in_its_own_way_goes_on_to(shop: Path, workers: tuple[str, ...]) -> None:
    setup = "import logging\nlogging.basicConfig(format='own: %(message)s', level='INFO')\n"
    (shop / "shop.py").write_text(setup + APP)
    with serving("shop:app", *workers, cwd=shop) as service:
        assert service.get(f"{service.public}/order")[0] == 200
        assert "own: an order\n" in service.end()[2]


def spans_of(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(service.get(f"{service.public}/spans")[2])
    return found


@pytest.mark.needs("redis-server")
def test_a_trace_goes_through_the_broker_to_each_replica(shop: Path) -> None:
    with RedisServer() as redis:
        variables = {
            "WIGWAG_PROVIDER": "redis",
            "WIGWAG_REDIS_URL": redis.url,
            "WIGWAG_LOG_FORMAT": "json",
            "WIGWAG_LOG_LEVEL": "debug",
        }
        with (
            serving("shop:app", cwd=shop, **variables) as one,
            serving("shop:app", cwd=shop, **variables) as two,
        ):
            await_ready(one)
            await_ready(two)
            with connect(two.ws) as client:
                assert client.recv(LIMIT_S) == "welcome"
                publish(one, traceparent=TRACEPARENT, tracestate="vendor=1")
                assert client.recv(LIMIT_S) == "hello"
                one.get(f"{one.public}/order")
                assert client.recv(LIMIT_S) == "ordered"
                wait_until(lambda: len(spans_of(two)) == 2, "both deliveries have ended", LIMIT_S)
                first, second = spans_of(two)
                (order,) = spans_of(one)  # nobody there wants the topic
            assert (first["name"], first["trace"], first["parent"]) == (
                "wigwag deliver",
                TRACE_ID,
                TRACEPARENT[36:52],
            )
            assert (second["trace"], second["parent"]) == (order["trace"], order["id"])
            delivered = [line for line in lines(two) if line.get("trace_id") == TRACE_ID]
            assert [line["message"] for line in delivered] == ["a message of 5 bytes on 'lobby'"]
            assert delivered[0]["node"]


def test_a_hub_alone_logs_in_the_same_way(tmp_path: Path) -> None:
    command: list[str | Path] = [WIGWAG, "hub", "--path", str(tmp_path / "hub")]
    with subprocess.Popen(
        command, env=environment(WIGWAG_LOG_FORMAT="json"), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        process.terminate()
    assert line["message"].startswith("wigwag hub")
    assert process.returncode == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_why_it_could_not_start_is_a_line_too(tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    done = run("serve", *ANYWHERE, *workers, "broken:app", cwd=tmp_path, WIGWAG_LOG_FORMAT="json")
    assert done.returncode == 2
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert "ZeroDivisionError: division by zero" in found[-1]["message"]
    assert found[-1]["level"] == "critical"
    (failed,) = [line for line in found if "exception" in line]
    assert failed["message"] == "broken:app can't be imported"
    assert failed["exception"].startswith("Traceback")
