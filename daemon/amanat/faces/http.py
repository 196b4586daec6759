"""``/metrics /healthz /readyz /status`` on loopback: Starlette on uvicorn, in a thread of its own."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from amanat.app import App
from amanat.domain.doctor import Check
from amanat.domain.errors import ConfigurationError
from amanat.observability import metrics
from amanat.services.status import status as current_status

Checks = Callable[[], list[Check]]


def bind(address: tuple[str, int]) -> socket.socket:
    """A listening socket; ConfigurationError when the port cannot be had (fatal before READY)."""
    host, port = address
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {exc.strerror or exc}",
            hint="choose another address with AMANAT_HTTP, or off",
        ) from exc


@contextlib.contextmanager
def served(listening: socket.socket, app: App, collector: Collector, checks: Checks) -> Iterator[None]:
    """Serve until the block ends."""
    config = uvicorn.Config(application(app, collector, checks), log_config=None, access_log=False, lifespan="off")
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join(timeout=5)
        listening.close()


class _Server(uvicorn.Server):
    """Comes round once a second, to set the time of the header Date; uvicorn's own does so ten times."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), timeout=1)

    def stop(self) -> None:
        """From another thread; at once."""
        self.should_exit = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._stopped.set)


def application(app: App, collector: Collector, checks: Checks) -> Starlette:
    """Handlers are plain functions: Starlette runs them in threads, so a slow one blocks nobody."""

    def show_metrics(_: Request) -> Response:
        return Response(metrics.render(collector), media_type=metrics.CONTENT_TYPE)

    def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_: Request) -> Response:
        found = checks()
        ready = all(check.ok for check in found)
        body = {
            "ready": ready,
            "checks": [
                {"name": item.name, "ok": item.ok, "detail": item.found, "hint": item.remedy} for item in found
            ],
        }
        return JSONResponse(body, status_code=200 if ready else 503)

    def status(_: Request) -> Response:
        return JSONResponse(current_status(app.ports, app.configuration))

    return Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/status", status),
        ]
    )
