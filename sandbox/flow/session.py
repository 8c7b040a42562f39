"""A capture as Flow runs it: the protocol's verbs in their order, transactions, state, restarts.

    capture = Capture(load_catalog(Path("test.flow.yaml")))
    await capture.validate()                           # spec, validate
    async with capture.session(timeout=2) as session:  # apply, open
        async for transaction in session:              # committed: capture.state has moved on
            ...
    capture.state                                      # what the next session opens with

Leaving the `async with` kills the connector with SIGKILL, in the middle of whatever it does; so does
`session.kill()`. What it had not checkpointed, and the checkpoints that were not yet given out as a
transaction, are lost: the next session opens with the state of the last transaction given out. That is
Flow's at-least-once delivery.

A capture may be a shard: one part of the range of keys that Flow spreads over several processes. Shards of
one capture run side by side, each with a state of its own. One that is split goes on as two:

    left, right = capture.split()                      # each with half the keys and a copy of the state
"""

import asyncio
import copy
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from sandbox.flow.catalog import Binding, CaptureModel, Catalog
from sandbox.flow.connector import Connector, Json, OnLog, Program, call
from sandbox.flow.document import KeyLocation, located
from sandbox.flow.errors import CatalogError, ProtocolError
from sandbox.flow.schema import Schema
from sandbox.flow.sops import decrypted
from sandbox.flow.standing import Standing, resumed_cursors, standings
from sandbox.flow.state import state_key
from sandbox.flow.transaction import Accumulator, Target, Transaction

_TYPE = {"connectorType": "LOCAL"}
_VERSION = "local"
_DISCOVERED = {"recommendedName", "resourceConfig", "documentSchema", "key"}
_CLOCKS = {"rClockBegin": 0, "rClockEnd": 0xFFFFFFFF}

Keys = tuple[int, int]
"""The first and the last key of a shard, both included."""
ALL_KEYS: Keys = (0, 0xFFFFFFFF)


class Capture:
    """One capture of a catalog, or the shard of it with these `keys`, and the state that it has come to.
    CatalogError: it can't run here."""

    def __init__(
        self,
        catalog: Catalog,
        name: str | None = None,
        *,
        state: Json | None = None,
        keys: Keys = ALL_KEYS,
        on_log: OnLog = lambda _: None,
        log_level: str | None = None,
    ) -> None:
        """`log_level` is what the connector logs at, whatever the environment and the catalog say."""
        self.catalog = catalog
        self.keys = keys
        self.name = catalog.capture_name(name)
        self.model: CaptureModel = catalog.captures[self.name]
        self.bindings: Sequence[Binding] = [b for b in self.model.bindings if not b.disable]
        local = self.model.endpoint.local
        if local is None:
            raise CatalogError(
                f"{self.name} is an image, which flowctl can run: here, use an endpoint of `local`"
            )
        log_level = log_level or os.environ.get("LOG_LEVEL") or self.model.shards.log_level or "info"
        self._program = Program(local.command, {"LOG_LEVEL": log_level, **local.env})
        self._config = local.config
        self._on_log = on_log
        self._state = copy.deepcopy(state or {})
        self._resumed_from: Sequence[datetime | None] = ()
        """The cursor of each binding in the state that the capture begins with."""
        self._targets: Sequence[Target] = []
        self._task: Json | None = None

    @property
    def state(self) -> Json:
        return copy.deepcopy(self._state)

    def split(self) -> "tuple[Capture, Capture]":
        """The two shards, of half the keys each, that go on from this one's state. They are as valid as this
        one is. Raises ValueError for a single key."""
        first, last = self.keys
        if first == last:
            raise ValueError(f"the shard of the key {first} cannot be split")
        middle = (first + last) // 2
        left, right = (
            Capture(self.catalog, self.name, state=self._state, keys=keys, on_log=self._on_log)
            for keys in ((first, middle), (middle + 1, last))
        )
        for each in (left, right):
            each._task, each._targets, each._resumed_from = self._task, self._targets, self._resumed_from
        return left, right

    @property
    def config(self) -> Json:
        """The endpoint config as the catalog has it: what sops has encrypted is not decrypted."""
        return self._config

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the connector."""
        return self._program.environment()

    def standings(self) -> Iterator[tuple[str, str, Standing]]:
        """The name, the collection and the standing of each binding; none before `validate`."""
        bindings = self._task["bindings"] if self._task else []
        found = standings(self._state, (binding["stateKey"] for binding in bindings))
        for binding, standing, cursor in zip(bindings, found, self._resumed_from, strict=True):
            name, collection = "/".join(binding["resourcePath"]), binding["collection"]["name"]
            yield name, collection, replace(standing, resumed_from=cursor)

    @property
    def collection_keys(self) -> Mapping[str, Sequence[KeyLocation]]:
        """The key of each collection that the capture writes to."""
        return {target.collection: target.key for target in self._targets}

    async def spec(self) -> Json:
        return await self._call("spec", _TYPE, "spec")

    async def pointers(self) -> list[str]:
        """Where in a resource config is what names the resource: JSON pointers."""
        pointers: list[str] = (await self.spec()).get("resourcePathPointers", [])
        if not pointers:
            raise ProtocolError("the connector's spec has no resourcePathPointers")
        return pointers

    async def discover(self) -> list[Json]:
        """The bindings that the connector finds, each with what `_DISCOVERED` names."""
        body = await self._call("discover", {**_TYPE, "config": await decrypted(self._config)}, "discovered")
        bindings: list[Json] = body.get("bindings", [])
        for binding in bindings:
            if missing := _DISCOVERED - binding.keys():
                raise ProtocolError(
                    f"the connector discovered a binding without {', '.join(sorted(missing))}"
                )
        return bindings

    async def validate(self) -> None:
        """Asks the connector for its spec, and has it check the config and the enabled bindings."""
        pointers = await self.pointers()
        paths = [resource_path(binding.resource, pointers) for binding in self.bindings]
        for path in paths:
            if paths.count(path) > 1:
                raise CatalogError(
                    f"{self.name} has more than one binding of {'/'.join(path)}: leave one enabled"
                )
        self._targets = [self._target(binding) for binding in self.bindings]
        bindings: list[Json] = [
            {"resourceConfig": b.resource, "collection": self._collection(b.target), "backfill": b.backfill}
            for b in self.bindings
        ]
        task = {"name": self.name, **_TYPE, "config": await decrypted(self._config), "bindings": bindings}
        answer = await self._call("validate", task, "validated")
        validated = [binding.get("resourcePath") for binding in answer.get("bindings", [])]
        if validated != paths:
            raise ProtocolError(
                f"the connector validated the resource paths {validated}, where {paths} were given"
            )
        opened = [
            {**binding, "resourcePath": path, "stateKey": state_key(path, binding["backfill"])}
            for binding, path in zip(bindings, paths, strict=True)
        ]
        self._resumed_from = resumed_cursors(self._state, [binding["stateKey"] for binding in opened])
        self._task = {**task, "intervalSeconds": int(self.model.interval), "bindings": opened}

    def session(self, *, delay: float = 0.0, timeout: float | None = None) -> "Session":
        """A run of the capture from its state on, to be entered once, after `validate`.

        Args:
            delay: seconds for which a transaction gathers checkpoints; with 0, each checkpoint is a
            transaction.
            timeout: seconds of silence after which the session's iteration ends; without one it never ends.
        """
        return Session(self, delay, timeout)

    async def apply(self) -> str:
        """What the connector says that it did to be ready; often nothing."""
        applied = await self._call("apply", {"capture": self._validated(), "version": _VERSION}, "applied")
        return str(applied.get("actionDescription", ""))

    async def open(self) -> tuple[Connector, bool]:
        """A connector that captures from the state on, and whether it wants checkpoints acknowledged."""
        connector = await Connector.start(self._program, self._on_log)
        try:
            keys = {"keyBegin": self.keys[0], "keyEnd": self.keys[1], **_CLOCKS}
            body = {"capture": self._validated(), "version": _VERSION, "range": keys, "state": self._state}
            await connector.send("open", body)
            match await connector.receive():
                case "opened", opened:
                    return connector, bool(opened.get("explicitAcknowledgements"))
                case other:
                    raise ProtocolError(
                        f"the connector answered open with {str(other)[:200]}, where 'opened' is due"
                    )
        except BaseException:
            await connector.kill()
            raise

    def accumulator(self) -> Accumulator:
        return Accumulator(self._targets)

    def commit(self, transaction: Transaction) -> None:
        for update in transaction.updates:
            self._state = update.apply(self._state)

    async def _call(self, verb: str, body: Json, expected: str) -> Json:
        return await call(self._program, self._on_log, verb, body, expected)

    def _validated(self) -> Json:
        if self._task is None:
            raise RuntimeError("call validate() first")
        return self._task

    def _collection(self, name: str) -> Json:
        if name not in self.catalog.collections:
            raise CatalogError(f"{self.name} writes to {name}, which is in no file: see raw discover")
        collection = self.catalog.collections[name]
        read_schema = {} if collection.read_schema is None else {"readSchema": collection.read_schema}
        return {"name": name, "key": collection.key, "writeSchema": collection.write_schema, **read_schema}

    def _target(self, binding: Binding) -> Target:
        collection = self._collection(binding.target)
        schema = Schema(binding.target, collection["writeSchema"])
        key = [KeyLocation(pointer, schema.default(pointer)) for pointer in collection["key"]]
        # Flow makes up a salt for each task. Here a task has the same at each run.
        return Target(binding.target, key, schema, self.model.redact_salt or self.name.encode())


class Session:
    """Transactions, each committed as it is given out.

    A connector that exits with 0 is started again once the capture's interval has passed since it opened.
    The iteration raises ConnectorFailed, InvalidDocument or ProtocolError; what was not given out is lost.
    """

    def __init__(self, capture: Capture, delay: float, timeout: float | None) -> None:
        self._capture, self._delay = capture, delay
        self._timeout = math.inf if timeout is None else timeout
        self._pending = capture.accumulator()
        self._connector: Connector | None = None
        self._acknowledges = False
        self._unacknowledged = 0
        self._ended = False
        self._reopens_at = 0.0
        self._silent_at = math.inf
        self.applied = ""
        """What the connector said to apply."""

    @property
    def pid(self) -> int | None:
        """The process id of the connector, while one runs."""
        return self._connector.pid if self._connector else None

    async def __aenter__(self) -> Self:
        self.applied = await self._capture.apply()
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Transaction:
        if self._ended:
            raise StopAsyncIteration
        await self._acknowledge()
        closes_at = _now() + self._delay
        self._silent_at = _now() + self._timeout
        while not (self._pending.checkpoints and (_now() >= closes_at or self._connector is None)):
            until = min(self._silent_at, closes_at) if self._pending.checkpoints else self._silent_at
            try:
                async with asyncio.timeout_at(None if until == math.inf else until):
                    await self._step()
            except TimeoutError:
                if self._pending.checkpoints:
                    break
                raise StopAsyncIteration from None
        # No await from here on: a cancellation must not come between the state's change and the documents.
        transaction = self._pending.take()
        self._capture.commit(transaction)
        self._unacknowledged = transaction.checkpoints
        return transaction

    async def kill(self) -> None:
        """Kills the connector and ends the iteration; the rest is lost. Not to be called amid `anext`."""
        self._ended = True
        if self._connector:
            await self._connector.kill()
            self._connector = None

    async def _open(self) -> None:
        self._connector, self._acknowledges = await self._capture.open()
        self._reopens_at = _now() + self._capture.model.interval

    async def _step(self) -> None:
        """Takes one response, or starts a connector that has exited again when it is time."""
        if self._connector is None:
            await asyncio.sleep(self._reopens_at - _now())
            await self._open()
            return
        response = await self._connector.receive()
        if response is None:
            await self._connector.kill()
            self._connector = None
            self._pending.end()
            return
        self._silent_at = _now() + self._timeout
        self._pending.add(*response)

    async def _acknowledge(self) -> None:
        if self._connector and self._acknowledges and self._unacknowledged:
            await self._connector.send("acknowledge", {"checkpoints": self._unacknowledged})
        self._unacknowledged = 0


def resource_path(resource: Json, pointers: Sequence[str]) -> list[str]:
    """What names a binding among those of its capture: the values at the spec's pointers."""
    path = [located(resource, pointer) for pointer in pointers]
    if not all(isinstance(part, str) for part in path):
        raise CatalogError(f"the resource {resource} must have a string at each of {', '.join(pointers)}")
    return path


def _now() -> float:
    return asyncio.get_running_loop().time()
