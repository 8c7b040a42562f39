"""The local Stripe over HTTP, on loopback by default: answers of the routes, with delays, faults, limits and
a journal.

Beside Stripe's paths it has its own under /_sandbox, which are neither limited nor recorded:
POST advance `{"seconds": N}`, POST faults `[rule, ...]`, GET journal.
"""

import asyncio
import itertools
import time
import zlib
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict
from email.utils import formatdate
from typing import Self
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from sandbox.stripe.errors import StripeError, rate_limited
from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.journal import Journal, Visit
from sandbox.stripe.limits import RateLimit
from sandbox.stripe.odd import ODD
from sandbox.stripe.paths import endpoint
from sandbox.stripe.routes import Api, Request, Response, acting_account
from sandbox.stripe.world import World

PIECES = 10
"""How many pieces a slow body comes in."""


class StripeServer:
    """`async with StripeServer(world) as server:` serves until the block ends; `server.url` is its address.

    `latency` is a delay of every answer in seconds; `limits` are enforced if given; `faults` and the world
    may be changed while it runs. Port 0 is any free port."""

    def __init__(
        self,
        world: World,
        *,
        faults: Iterable[Fault] = (),
        latency: float = 0.0,
        limits: RateLimit | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.world = world
        self.faults = Faults(faults)
        self.journal = Journal()
        self.latency = latency
        self.limits = limits
        self.url = ""
        self._host = host
        self._port = port
        self._api = Api(world)
        self._serial = itertools.count(1)
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        runner = web.ServerRunner(web.Server(self._serve))
        self._running.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, self._host, self._port).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self._running.aclose()

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        started = time.monotonic()
        body = await http.read()
        if http.path.startswith("/_sandbox/"):
            return self._control(http, body)
        request = Request(
            method=http.method,
            path=http.rel_url.raw_path,
            query=parse_qsl(http.rel_url.raw_query_string, keep_blank_values=True),
            headers={name.lower(): value for name, value in http.headers.items()},
            form=parse_qsl(body.decode(errors="replace"), keep_blank_values=True),
            id=f"req_{next(self._serial):014}",
        )
        account = acting_account(request.headers) or self.world.platform
        status = 0
        try:
            firing = self.faults.firing(request.method, http.path, http.query_string, account)
            await asyncio.sleep(self.latency + sum(fault.latency for fault in firing))
            if any(fault.reset for fault in firing):
                return _drop(http)
            answer = self._answer(request, account, firing)
            status = answer.status
            return await self._send(http, request.id, answer, firing)
        finally:
            query: dict[str, str] = {}
            for name, value in request.query:
                query[name] = f"{query[name]},{value}" if name in query else value
            version = request.headers.get("stripe-version", "")
            finished = time.monotonic()
            self.journal.add(
                Visit(request.method, http.path, query, account, version, status, started, finished)
            )

    def _answer(self, request: Request, account: str, firing: list[Fault]) -> Response:
        extra = {name: value for fault in firing for name, value in fault.headers.items()}
        for fault in firing:
            if fault.status is not None:
                error = StripeError(
                    fault.status, fault.message, code=fault.code, type=fault.type, param=fault.param
                )
                return Response(fault.status, error.body(), extra)
        if self.limits:
            shape = endpoint(request.method, request.path)
            if reason := self.limits.refuse(account, shape, time.monotonic()):
                error = rate_limited(request.headers.get("stripe-version", self.world.api_version))
                return Response(error.status, error.body(), {"stripe-rate-limited-reason": reason})
        answer = self._api.answer(request)
        body = answer.body
        # The first one, as with a status: what it makes may be no JSON that another one could change.
        odd = next((fault.odd for fault in firing if fault.odd), "")
        if odd and answer.status == 200:
            body = ODD[odd](body)
        return Response(answer.status, body, {**answer.headers, **extra})

    async def _send(
        self, http: web.BaseRequest, request_id: str, answer: Response, firing: list[Fault]
    ) -> web.StreamResponse:
        headers = {
            "Content-Type": "application/json",
            "Date": formatdate(self.world.clock.time() + sum(fault.date for fault in firing), usegmt=True),
            "Request-Id": request_id,
            **answer.headers,
        }
        body = answer.body
        if "gzip" in http.headers.get("Accept-Encoding", ""):
            body = _zipped(body)
            headers["Content-Encoding"] = "gzip"
        slow = sum(fault.slow for fault in firing)
        truncate = any(fault.truncate for fault in firing)
        if not slow and not truncate:
            return web.Response(status=answer.status, body=body, headers=headers)
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(http)
        sent = body[: len(body) // 2] if truncate else body
        step = -(-len(sent) // PIECES) or 1
        for start in range(0, len(sent), step):
            await asyncio.sleep(slow / PIECES)
            await response.write(sent[start : start + step])
        if truncate:
            return _drop(http)
        await response.write_eof()
        return response

    def _control(self, http: web.BaseRequest, body: bytes) -> web.Response:
        verb = f"{http.method} {http.path.removeprefix('/_sandbox/')}"
        try:
            match verb:
                case "POST advance":
                    self.world.clock.advance(orjson.loads(body)["seconds"])
                    return _json({"now": self.world.clock.now()})
                case "POST faults":
                    self.faults.set(*(Fault.from_json(rule) for rule in orjson.loads(body)))
                    return _json({"faults": len(self.faults.rules)})
                case "GET journal":
                    return _json([asdict(visit) for visit in self.journal])
        except (ValueError, TypeError, KeyError) as error:
            return _json({"error": f"{verb}: {error!r}"}, 400)
        return _json({"error": f"no such control: {verb}"}, 404)


def _zipped(body: bytes) -> bytes:
    """As gzip, with little memory: to clear more of it would take longer than to pack a small body."""
    packer = zlib.compressobj(level=1, wbits=31, memLevel=1)
    return packer.compress(body) + packer.flush()


def _drop(http: web.BaseRequest) -> web.Response:
    """Close the connection at once; what is returned goes nowhere."""
    if http.transport is not None:
        http.transport.abort()
    return web.Response()


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
