"""A capture in this process: the real connector over its real protocol, against a sandbox over HTTP.

Only the pipe is ours: requests are handed to the connector, and what it writes counts as Flow counts it.
Documents are taken once a checkpoint follows them, state is merge-patched, and what no checkpoint covers when
a session is killed is gone.
"""

import asyncio
import io
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Self, cast

import json_merge_patch
import orjson
from estuary_cdk.capture import _emit
from estuary_cdk.logger import FlowLogger

from sandbox.stripe import Fault, StripeServer
from source_stripe_native import Connector
from source_stripe_native.flow.requests import StripeRequest, parse_request
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import Settings
from source_stripe_native.state.text import RequestText
from source_stripe_native.stripe.documents import get_path

Json = dict[str, Any]
UNLIMITED = Settings(
    requests_live=100_000,
    requests_test=100_000,
    requests_per_endpoint=100_000,
    flush_interval=timedelta(milliseconds=20),
    longest_poll_wait=timedelta(),
    key_patience=timedelta(),
)
"""The local Stripe has no rate limit to keep to. A test should not wait for one, nor for a list to be due."""
NAME = "acmeCo/source-stripe-native"


ROWS = {each.NAME: each for each in STREAMS}


class _Pipe(io.RawIOBase):
    """The connector's stdout: calls `take` with each line. `rest` is the line that has not ended yet."""

    stall: float = 0.0
    """Seconds for which nothing is taken, from the middle of the next write on."""

    def __init__(self, take: Callable[[Json], None]) -> None:
        self._take = take
        self.rest = b""
        self._is_stalled = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        # As of a pipe that is full: a part is taken, and the rest later.
        if self._is_stalled:
            time.sleep(self.stall)
            self.stall = 0.0
        self._is_stalled = self.stall > 0
        part = bytes(data[: len(data) // 2 + 1]) if self._is_stalled else bytes(data)
        *lines, self.rest = (self.rest + part).split(b"\n")
        for line in lines:
            self._take(orjson.loads(line))
        return len(part)


@dataclass
class Capture:
    """One capture task and all that Flow remembers of it. `documents` are (stream, document), in order."""

    server: StripeServer
    streams: list[str] = field(default_factory=lambda: ["Prices"])
    connected: bool = False
    key: str | None = None
    interval: str = "PT1S"
    schedule: str = ""
    config: Json = field(default_factory=dict)
    settings: Settings = UNLIMITED
    level: int = logging.INFO
    """What the connector logs."""
    keys: tuple[int, int] = (0, 0xFFFF_FFFF)
    """The range of keys that Flow opens the capture with, the last one included."""
    backfills: int = 0
    """How many backfills the user has requested of each binding."""
    state: Json = field(default_factory=dict)
    documents: list[tuple[str, Json]] = field(default_factory=list)
    checkpoints: int = 0
    is_open: bool = False
    """Whether the session that runs has been opened."""
    stall: float = 0.0
    """Seconds for which the reader of the output stalls, in the middle of a line, where a session is to
    end."""

    @property
    def endpoint_config(self) -> Json:
        return {
            "credentials": {"access_token": self.key or self.server.world.key},
            "start_date": "2020-01-01T00:00:00Z",
            "capture_connected_accounts": self.connected,
        } | self.config

    def binding(self, stream: str) -> Json:
        return {
            "resourceConfig": {"name": stream, "interval": self.interval, "schedule": self.schedule},
            "resourcePath": [stream],
            "stateKey": self.state_key(stream),
            "collection": {"name": f"acmeCo/{stream}", "key": ["/id"], "writeSchema": {}},
        }

    async def ask(self, verb: str, request: Json) -> Json:
        """The response to a unary request. Raises SystemExit, as the process would exit."""
        answers: list[Json] = []
        await self._serve({verb: request}, answers.append, asyncio.Event())
        (answer,) = answers
        return dict(answer[{"discover": "discovered", "validate": "validated"}.get(verb, verb)])

    async def discover(self) -> list[Json]:
        found = await self.ask("discover", {"connectorType": "LOCAL", "config": self.endpoint_config})
        return list(found["bindings"])

    async def validate(self, last: Json | None = None, backfill: int = 0) -> Json:
        bindings = [{**self.binding(each), "backfill": backfill} for each in self.streams]
        return await self.ask(
            "validate",
            {
                "name": NAME,
                "connectorType": "LOCAL",
                "config": self.endpoint_config,
                "bindings": bindings,
                "lastCapture": last,
            },
        )

    async def session(
        self,
        until: Callable[[], bool] = lambda: False,
        *,
        checkpoints: int | None = None,
        seconds: float = 60,
        stops: bool = False,
    ) -> bool:
        """Runs the connector until `until` holds at a checkpoint, or for so many `checkpoints`, and kills it
        there, or stops it as its 24 hours do; or until it exits by itself. Returns whether it exited. Raises
        SystemExit where it exits with an error, and TimeoutError after `seconds`."""
        pending: list[tuple[str, Json]] = []
        enough = asyncio.Event()
        loop = asyncio.get_running_loop()
        made, killed, stopped = 0, False, False
        self.is_open = False

        def take(response: Json) -> None:
            nonlocal made, killed, stopped
            if killed:
                return
            self.is_open |= "opened" in response
            if captured := response.get("captured"):
                pending.append((self.streams[captured["binding"]], captured["doc"]))
            elif checkpoint := response.get("checkpoint"):
                self.documents.extend(pending)
                pending.clear()
                self.state = json_merge_patch.merge(self.state, checkpoint["state"]["updated"])
                made += 1
                self.checkpoints += 1
                if not stopped and (until() or made == checkpoints):
                    # This is the thread that writes: the loop learns of it a little later.
                    killed, stopped = not stops, stops
                    loop.call_soon_threadsafe(self._stop if stops else enough.set)

        request = {
            "capture": {
                "name": NAME,
                "connectorType": "LOCAL",
                "config": self.endpoint_config,
                "intervalSeconds": 300,
                "bindings": [self.binding(each) for each in self.streams],
            },
            "version": "test",
            "range": {"keyBegin": self.keys[0], "keyEnd": self.keys[1]},
            "state": self.state,
        }
        if checkpoints == 0:
            return False
        async with asyncio.timeout(seconds):
            has_exited = await self._serve({"open": request}, take, enough)
        if has_exited and not killed:
            # Flow takes the end of the output in the middle of a checkpoint for a failure.
            assert not pending, f"the connector exited before the checkpoint of {len(pending)} documents"
        return has_exited

    def _stop(self) -> None:
        assert self._connector._stopping is not None
        self._pipe.stall = self.stall
        self._connector._stopping.event.set()

    async def _serve(self, request: Json, take: Callable[[Json], None], enough: asyncio.Event) -> bool:
        """Runs the connector until it exits, or until there is `enough`. Returns whether it exited."""
        # The CDK's lock on stdout belongs to one event loop, and each test has its own.
        _emit._emit_lock = asyncio.Lock()
        self._connector = connector = Connector(self.settings)
        self._pipe = pipe = _Pipe(take)
        connector.output = io.BufferedWriter(pipe, buffer_size=1)
        logging.setLoggerClass(FlowLogger)
        log = cast(FlowLogger, logging.getLogger("flow"))
        log.setLevel(self.level)
        unary = "open" not in request

        async def requests(cls: type[StripeRequest]) -> AsyncGenerator[StripeRequest, None]:
            yield parse_request(cls, RequestText([orjson.dumps(request)]))
            if not unary:
                await asyncio.Event().wait()

        serving = asyncio.create_task(_exit_code(connector.serve(log, requests)))
        killed = asyncio.create_task(enough.wait())
        try:
            await asyncio.wait([serving, killed], return_when=asyncio.FIRST_COMPLETED)
            if (has_exited := serving.done()) and (code := serving.result()):
                raise SystemExit(code)
            pipe.stall = self.stall
        finally:
            for each in (serving, killed):
                each.cancel()
            await asyncio.wait([serving, killed])
            _end_detached_tasks()
        assert not pipe.rest, "the last line is not whole"
        return has_exited

    # What came of it

    def last(self, stream: str = "Prices") -> dict[str, Json]:
        """The last document of each id, deleted ones left out: the table in the user's warehouse."""
        return {each["id"]: each for each in self.last_by_key(stream).values()}

    def last_by_key(self, stream: str) -> dict[str, Json]:
        """The same by all of the key: some ids are another object's too."""
        table: dict[str, Json] = {}
        for name, document in self.documents:
            if name == stream:
                table[ROWS[name].identity(document)] = document
        return {key: each for key, each in table.items() if each["_meta"]["op"] != "d"}

    def state_key(self, stream: str) -> str:
        return f"{stream}.v{self.backfills}" if self.backfills else stream

    def binding_state(self, stream: str = "Prices") -> Json:
        return dict(self.state.get("bindingStateV1", {}).get(self.state_key(stream), {}))

    def is_backfilled(self, *streams: str) -> bool:
        """Whether the backfills of these streams are complete, or of all."""
        states = [self.binding_state(each) for each in streams or self.streams]
        return all(state and not state.get("backfill") for state in states)

    def caught_up(self, *streams: str) -> bool:
        """Whether these streams, or all, are backfilled and every cursor is as far as may be."""
        horizon = self.server.world.clock.now() - self.settings.lag.total_seconds()
        for stream in streams or self.streams:
            inc = self.binding_state(stream).get("inc") or {}
            cursors = [inc] if "cursor" in inc else list(inc.values())
            if not cursors or not self.is_backfilled(stream):
                return False
            if any(datetime.fromisoformat(each["cursor"]).timestamp() < horizon for each in cursors):
                return False
        return True

    async def backfill(self, pause: float = 0) -> Self:
        """Runs a session until all is backfilled. What happens next does so `pause` seconds later."""
        await self.session(self.is_backfilled)
        self.server.world.clock.advance(pause)
        return self

    async def catch_up(self, seconds: float = 120, *, until: float | None = None) -> list[Json]:
        """What is captured of all that there is after `seconds`, or once the clock stands at `until`."""
        before, clock = len(self.documents), self.server.world.clock
        clock.advance(seconds if until is None else until - clock.time())
        await self.session(self.caught_up)
        return [document for _, document in self.documents[before:]]


async def _exit_code(serving: Coroutine[Any, Any, None]) -> Any:
    """What the process would exit with: as an exception of a task it would end the tests."""
    try:
        await serving
    except SystemExit as exit:
        return exit.code
    return 0


def _end_detached_tasks() -> None:
    """The tasks that the CDK starts beside a capture and leaves to the end of the process."""
    for task in asyncio.all_tasks():
        name = getattr(task.get_coro(), "__qualname__", "")
        if name.startswith(("BaseCaptureConnector.handle.", "ConnectorStatus.")):
            task.cancel()


def unstamped(document: Json) -> Json:
    """A document without what the connector stamped on it."""
    return {key: value for key, value in document.items() if key not in ("_meta", "account_id")}


def plain(document: Json) -> Json:
    """A document without what the connector added: what Stripe sends unasked. Tests of expansions compare the
    `unstamped` document."""
    found: Json = orjson.loads(orjson.dumps(unstamped(document)))
    for path in _expansions().get(str(found.get("object")), ()):
        *place, name = path.split(".")
        container = get_path(found, ".".join(place)) if place else found
        if "*" not in place and isinstance(container, dict):
            container.pop(name, None)
    return found


SECRETS = {
    "apps.install": ("auth_code",),
    "billing_portal.session": ("url",),
    "identity.verification_session": ("url",),
    "three_d_secure.authentication": ("challenge_url", "fingerprinting_url"),
    "webhook_endpoint": ("secret",),
}
"""The secrets that are called so in objects of a kind alone."""


def without_secrets(found: Any) -> Any:
    """An object, or any part of one, without the secrets of the local Stripe: looked for everywhere."""
    if isinstance(found, list):
        return [without_secrets(each) for each in found]
    if not isinstance(found, dict):
        return found
    kind = str(found.get("object"))
    secrets = {"client_secret", "confirmation_secret", "cryptogram", "signing_secret", *SECRETS.get(kind, ())}
    return {name: without_secrets(each) for name, each in found.items() if name not in secrets}


@cache
def _expansions() -> dict[str, list[str]]:
    """The paths of the rows' expansions, by what the object calls itself."""
    from sandbox.stripe.kinds import KINDS
    from tests.test_streams import HELD

    return {
        KINDS[HELD[each.NAME].kind].object_name: [one.path for one in each.EXPANSIONS]
        for each in STREAMS
        if each.EXPANSIONS
    }


def unknown_filter(path: str, name: str) -> Fault:
    """Stripe does not know the filter `name` of the list at `path`."""
    message = f"Received unknown parameter: {name}"
    return Fault(path, query=name, status=400, code="parameter_unknown", param=name, message=message)
