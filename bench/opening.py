"""What the opening of a capture of very many connected accounts takes, and what they cost from then on: CPU
until the first event request, the longest time that the loop is held, peak memory, bytes for each account
and binding, and the state that is written a minute."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import orjson

from bench.accounts import ALL, PAGE, followed_since, platform
from bench.connector import HELD
from bench.figures import Figures
from bench.run import Json, Task, cpu, lines, peak, python, resident
from sandbox.stripe import StripeServer

FEW: Final = 10
"""Accounts of the capture that the bytes for each account and binding are counted against."""
MINUTE: Final = 60.0
HOUR: Final = 3_600
LAST_KEY: Final = 0xFFFF_FFFF
CHECKPOINT: Final = b'{"checkpoint"'


@dataclass
class Opened:
    """A capture from its start on: CPU seconds until the first event request, the longest turn of the loop
    until then in CPU seconds, peak and last resident memory in bytes, each checkpoint's time and bytes."""

    started: float = 0.0
    held: float = 0.0
    peak: int = 0
    resident: int = 0
    written: list[tuple[float, int]] = field(default_factory=list)

    def most_a_minute(self) -> int:
        """The most bytes of state within a minute."""
        return max(
            (
                sum(size for at, size in self.written if since <= at < since + MINUTE)
                for since, _ in self.written
            ),
            default=0,
        )


async def quiet(figures: Figures, accounts: int = 10_000) -> None:
    """A capture that goes on with a state in which everything is backfilled."""
    few, many = await _open(FEW, 5, resumed=True), await _open(accounts, 75, resumed=True)
    about = f"open {accounts:,} quiet accounts x {len(ALL)} bindings"
    figures.add(about, "CPU until the first event request", many.started, 5, "s")
    figures.add(about, "longest turn of the loop until then", 1e3 * many.held, 100, "ms")
    figures.add(about, "peak memory", many.peak / 1e6, 350, "MB")
    each = (many.resident - few.resident) / (accounts - FEW) / len(ALL)
    figures.add(about, "bytes/account and binding", each, 300)
    figures.add(about, "state written a minute, at most", many.most_a_minute() / 1e6, 3, "MB")


async def very_many(figures: Figures, accounts: int = 50_000) -> None:
    """Accounts whose cursors differ from binding to binding, as flushes leave them; and the first opening of
    one of two shards, which has the state of both."""
    one = await _open(accounts, 60, resumed=True, spread=HOUR)
    about = f"open {accounts:,} accounts x {len(ALL)} bindings, with other cursors in each"
    figures.add(about, "CPU until the first event request", one.started, 4, "s")
    figures.add(about, "longest turn of the loop until then", 1e3 * one.held, 100, "ms")
    figures.add(about, "peak memory", one.peak / 1e6, 200, "MB")
    half = await _open(2 * accounts, 10, resumed=True, spread=HOUR, last_key=LAST_KEY // 2)
    about = f"open one of two shards of {2 * accounts:,} accounts"
    figures.add(about, "peak memory", half.peak / 1e6, 200, "MB")


async def new(figures: Figures, accounts: int = 10_000) -> None:
    """A new capture, in its first half minute: everything is to be backfilled."""
    many = await _open(accounts, 30, resumed=False)
    about = f"open {accounts:,} new accounts x {len(ALL)} bindings"
    figures.add(about, "CPU until the first event request", many.started, 5, "s")
    figures.add(about, "longest turn of the loop until then", 1e3 * many.held, 100, "ms")
    figures.add(about, "peak memory", many.peak / 1e6, 350, "MB")


async def _open(
    accounts: int, seconds: float, *, resumed: bool, spread: int = 0, last_key: int = LAST_KEY
) -> Opened:
    """Runs a capture for so many seconds after its first event request, and kills it. Its cursors are up to
    `spread` seconds older. The shard has the accounts whose keys are not after `last_key`."""
    world = platform(accounts)
    since = datetime.now(tz=UTC) - timedelta(minutes=10)
    found = Opened()
    with TemporaryDirectory() as folder:
        held = Path(folder) / "held"
        async with (
            StripeServer(world) as server,
            python(
                *("-m", "bench.connector"),
                environment={"STRIPE_API_BASE": server.url, "LOG_LEVEL": "WARN", HELD: str(held)},
            ) as process,
        ):
            assert process.stdin is not None
            state: Json = followed_since(world, since, spread) if resumed else {}
            request = Task(ALL, connected=True, state=state).request(world.key)
            request["open"]["range"] = {"keyBegin": 0, "keyEnd": last_key}
            process.stdin.write(orjson.dumps(request) + b"\n")
            del state, request
            drain = asyncio.create_task(_drain(process, found))
            try:
                async with asyncio.timeout(240):
                    while not server.journal.visits("/v1/events", limit=str(PAGE)):
                        if drain.done():
                            assert process.stderr is not None
                            raise RuntimeError((await process.stderr.read()).decode()[-2000:])
                        await asyncio.sleep(0.02)
                found.started, found.held = cpu(process.pid), float(held.read_text())
                await asyncio.wait([drain], timeout=seconds)
                found.peak, found.resident = peak(process.pid), resident(process.pid)
            finally:
                # Only one may read from the process, which is drained at the end of the block.
                drain.cancel()
                await asyncio.wait([drain])
    return found


async def _drain(process: asyncio.subprocess.Process, found: Opened) -> None:
    async for line in lines(process):
        if line.startswith(CHECKPOINT):
            found.written.append((time.monotonic(), len(line)))
