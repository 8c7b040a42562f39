"""Connected accounts by the thousand: requests, checkpoints and memory of rounds in which nothing happens,
and of the backfill and the listing of many accounts."""

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta

from bench.run import Json, Written, capture
from sandbox.stripe import StripeServer, World
from source_stripe_native.models import STREAMS

ALL = [each.NAME for each in STREAMS if not each.GATED and not each.UNTIL_VERSION]
FOLLOWED = [each.NAME for each in STREAMS if each.NAME in ALL and each.PER_ACCOUNT]


def platform(accounts: int, prices: int = 0) -> World:
    world = World(seed=1)
    now = world.clock.now()
    for number in range(accounts):
        account = world.connect(created=now - 86_400 * 365 + number * 3_000)["id"]
        for each in range(prices):
            world.create("price", account, active=each % 3 != 0, created=now - 86_400 + each, event=False)
    return world


def followed_since(world: World, cursor: datetime) -> Json:
    """The state of a capture that has backfilled everything and follows each account since `cursor`."""
    at = cursor.strftime("%Y-%m-%dT%H:%M:%SZ")
    many = {account: {"cursor": at} for account in world.accounts}
    return {
        "bindingStateV1": {
            name: {"inc": many if name in FOLLOWED else {"cursor": at}, "last_initialized": at}
            for name in ALL
        }
    }


async def quiet_round(accounts: int) -> None:
    world = platform(accounts)
    since = datetime.now(tz=UTC) - timedelta(minutes=10)
    mark = (since + timedelta(minutes=5)).isoformat()
    async with StripeServer(world) as server:

        def done(written: Written) -> bool:
            return written.checkpoints % 20 == 0 and all(
                each["cursor"] > mark for name in FOLLOWED for each in written.of(name)["inc"].values()
            )

        written = await capture(
            server, ALL, done, connected=True, state=followed_since(world, since), at_most=500
        )
        events = len(list(server.journal.visits("/v1/events")))
        print(
            f"quiet round, {accounts} accounts x {len(ALL)} bindings: {events / len(world.accounts):.2f} event requests "
            f"per account, {len(server.journal)} requests in all, {written.checkpoints} checkpoints, "
            f"{written.peak / 1e6:.0f} MB, {written.cpu:.1f} CPU s, {written.seconds:.1f} s"
        )


async def backfill(accounts: int) -> None:
    world = platform(accounts, prices=6)
    async with StripeServer(world) as server:
        written = await capture(
            server,
            ["Prices"],
            lambda written: (
                written.documents.get("Prices", 0) >= accounts * 6
                and not written.of("Prices").get("backfill")
            ),
            connected=True,
            at_most=500,
        )
        least = 2 * (accounts + 1) + math.ceil(accounts / 100)
        print(
            f"{accounts} accounts x Prices: {written.documents} documents, {len(server.journal)} requests = "
            f"{len(server.journal) / least:.3f} of the least, {written.peak / 1e6:.0f} MB, {written.seconds:.1f} s"
        )


async def listing(accounts: int) -> None:
    from logging import getLogger

    from source_stripe_native.accounts import connected_account_ids
    from source_stripe_native.http import Budget, StripeSession

    world = platform(accounts)
    async with StripeServer(world, latency=0.02) as server:
        async with StripeSession(world.key, base=server.url, budget=Budget(1e6, 1e6)) as http:
            started = time.monotonic()
            found = await connected_account_ids(http, getLogger(), world.platform)
        visits = list(server.journal)
        in_flight = max(sum(o.started_at <= v.started_at < o.finished_at for o in visits) for v in visits)
        least = math.ceil(accounts / 100)
        print(
            f"{len(found)} accounts listed: {len(visits)} requests ({least} at least), {in_flight} in flight at most, "
            f"{time.monotonic() - started:.1f} s"
        )


if __name__ == "__main__":
    #
    asyncio.run(quiet_round(2_000))
    #    asyncio.run(backfill(5_000))
