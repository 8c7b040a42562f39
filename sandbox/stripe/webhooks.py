"""Posts of the world's events to its webhook endpoints, signed as Stripe signs them.

An endpoint posts the events of its own account; with `connect`, those of the accounts that are connected to
it instead. A post that is not answered with 2xx is tried again, each time after twice as long. Posts come in
any order."""

import asyncio
import hmac
from collections import Counter
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Final, Self

import aiohttp
import orjson

from sandbox.stripe.filters import Json
from sandbox.stripe.world import World

SECRET: Final = "whsec_Sandbox0000000000000000000000000"
"""The signing secret of the endpoints that `register` makes, as the local Stripe's key is always the same."""
ANY_ORDER: Final = 0.05
"""Seconds within which posts come in any order."""
FIRST_RETRY: Final = 1.0
TRIES: Final = 8


@dataclass(frozen=True)
class WebhookFaults:
    """What goes wrong with posts. The shares are from 0 to 1, of all posts."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    late_seconds: float = 5.0
    forged: float = 0.0
    """Another post beside the true one, signed with another secret."""

    @classmethod
    def from_json(cls, given: Any) -> Self:
        """Raises ValueError and TypeError for what is no such object."""
        unknown = {*given} - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        return cls(**{name: float(value) for name, value in given.items()})


def register(world: World, url: str, events: tuple[str, ...] = ("*",)) -> None:
    """Makes two endpoints at `url`: for the platform's own events, and for those of its connected
    accounts."""
    for connect in (False, True):
        endpoint = world.create(
            "webhook_endpoint", url=url, enabled_events=list(events), secret=SECRET, event=False
        )
        world.kept[str(endpoint["id"])] = {"connect": connect}


def sign(secret: str, body: bytes, at: int) -> str:
    """The `Stripe-Signature` of a body."""
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + body, 'sha256').hexdigest()}"


class Webhooks:
    """`async with Webhooks(world):` posts the events that are made until the block ends. `faults` may be
    changed meanwhile. `answers` counts the answers by status, 0 where there was none."""

    def __init__(self, world: World, faults: WebhookFaults | None = None, seed: int = 0) -> None:
        self.faults = faults or WebhookFaults()
        self.answers: Counter[int] = Counter()
        self._world = world
        self._rng = Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._world.listeners.append(self._tell)
        return self

    async def __aexit__(self, *_raised: object) -> None:
        self._world.listeners.remove(self._tell)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    def _tell(self, account: str, event: Json) -> None:
        """Starts the posts of an event to every endpoint that wants it."""
        for owner, connect in ((account, False), (self._world.platform, True)):
            if connect and account == self._world.platform:
                continue
            for endpoint in self._world.list_all("webhook_endpoint", owner):
                wants_connected = bool(self._world.kept.get(str(endpoint["id"]), {}).get("connect"))
                types = endpoint["enabled_events"]
                if wants_connected is connect and ("*" in types or event["type"] in types):
                    # By its name in the event's version.
                    name = "account" if event["api_version"] >= "2017-05-25" else "user_id"
                    self._start(endpoint, {**event, name: account} if connect else event)

    def _start(self, endpoint: Json, event: Json) -> None:
        rng, faults = self._rng, self.faults
        url, secret = str(endpoint["url"]), str(endpoint["secret"])
        delay = rng.random() * ANY_ORDER
        if rng.random() < faults.forged:
            self._spawn(url, "whsec_forged", {**event, "id": "evt_forged"}, delay, 1)
        if endpoint["status"] != "enabled" or rng.random() < faults.lost:
            return
        if rng.random() < faults.late:
            delay += faults.late_seconds * rng.random()
        for _ in range(1 + (rng.random() < faults.doubled)):
            self._spawn(url, secret, event, delay, TRIES)

    def _spawn(self, url: str, secret: str, event: Json, delay: float, tries: int) -> None:
        task = asyncio.get_running_loop().create_task(self._post(url, secret, event, delay, tries))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, url: str, secret: str, event: Json, delay: float, tries: int) -> None:
        body = orjson.dumps(event, option=orjson.OPT_INDENT_2)
        for number in range(tries):
            await asyncio.sleep(delay if number == 0 else FIRST_RETRY * 2 ** (number - 1))
            signature = sign(secret, body, int(self._world.clock.time()))
            headers = {"Stripe-Signature": signature, "Content-Type": "application/json; charset=utf-8"}
            try:
                async with self._session.post(url, data=body, headers=headers) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError):
                status = 0
            self.answers[status] += 1
            if 200 <= status < 300:
                return
