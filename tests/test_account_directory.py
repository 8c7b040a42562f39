"""Which accounts a capture reads: all that are connected, each once, found by ranges of their creation time
however that is spread, and those that connect later."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.errors import StripeError
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.stripe.account_directory import (
    LAUNCH,
    connected_account_ids,
    find_accounts,
)
from source_stripe_native.stripe.attempts import Request
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.expansions import RefusedParams
from tests.capture import UNLIMITED
from tests.conftest import NOW

LOG = logging.getLogger("test")
YEAR = 365 * 86_400
Json = dict[str, Any]


@dataclass
class Directory:
    """A session that answers lists of accounts as Stripe does, at once, and counts. `created` None is an
    account that tells no creation time: no range finds it, and where it was made is as given by `made`."""

    accounts: list[tuple[str, int | None, int]] = field(default_factory=list)
    """(id, created, made), in any order."""
    requests: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    time: int = NOW
    settings: Settings = DEFAULTS
    refused_params: RefusedParams = field(default_factory=lambda: RefusedParams(0.0))
    page_sizes: dict[tuple[str | None, str], int] = field(default_factory=dict)
    connects_at: int | None = None
    """Another account connects with this request."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, tz=UTC)

    async def ask(self, log: logging.Logger, request: Request) -> Json:
        assert request.path == "/v1/accounts"
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.requests == self.connects_at:
            self.accounts.append(("acct_late", self.time, self.time))
        # Later requests may be answered earlier.
        for _turn in range(10 + self.requests * 7 % 5):
            await asyncio.sleep(0)
        self.in_flight -= 1
        query = dict(request.params)
        low, high = int(query.get("created[gte]", 0)), int(query.get("created[lt]", 0))
        bare = "created[gte]" not in query
        found = [
            (made, id, created)
            for id, created, made in self.accounts
            if bare or (created is not None and low <= created < high)
        ]
        found.sort(reverse=True)
        if after := query.get("starting_after"):
            place = next(place for place, each in enumerate(found) if each[1] == after)
            found = found[place + 1 :]
        page = found[: int(query["limit"])]
        data: list[Json] = [
            {"id": id} if created is None else {"id": id, "created": created} for _, id, created in page
        ]
        return {"object": "list", "data": data, "has_more": len(found) > len(page)}

    @classmethod
    def of(cls, times: list[int]) -> "Directory":
        return cls([(f"acct_{number}", created, created) for number, created in enumerate(times)])

    @property
    def newest_first(self) -> list[int]:
        return sorted((created for _, created, _ in self.accounts if created is not None), reverse=True)

    @property
    def session(self) -> StripeSession:
        return cast(StripeSession, self)


BURST = st.builds(
    lambda at, number, apart: [at - place * apart for place in range(number)],
    at=st.integers(LAUNCH + 3 * YEAR, NOW),
    number=st.sampled_from([1, 99, 100, 101, 250, 700]),
    apart=st.sampled_from([0, 1, 60, 86_400]),
)
SPREADS = st.lists(BURST | st.lists(st.integers(LAUNCH - YEAR, NOW), max_size=150), max_size=6).map(
    lambda parts: [at for part in parts for at in part]
)


@settings(max_examples=60, deadline=None)
@given(times=SPREADS)
@example(times=[NOW] * 1500)
@example(times=[NOW - year * YEAR for year in range(20)] * 10)
@example(times=[LAUNCH - 5 * YEAR - each for each in range(400)])
@example(times=[*range(NOW - 300, NOW), *range(LAUNCH, LAUNCH + 300)])
@example(times=[0] * 150)
async def test_every_account_is_found_once_newest_first_however_they_are_spread(times: list[int]) -> None:
    directory = Directory.of(times)
    found = await connected_account_ids(directory.session, LOG, PLATFORM)
    created = {id: at for id, at, _ in directory.accounts}
    assert sorted(found) == sorted(created)
    assert [created[each] for each in found] == directory.newest_first
    assert directory.most_in_flight <= DEFAULTS.account_ranges
    least = -(-len(times) // DEFAULTS.page_size)
    assert directory.requests <= 2 * least + 2 + 5 * DEFAULTS.account_ranges


@pytest.mark.parametrize("number", [0, 1, DEFAULTS.page_size])
async def test_accounts_that_fit_a_page_take_one_request(number: int) -> None:
    directory = Directory.of(list(range(NOW - number, NOW)))
    assert len(await connected_account_ids(directory.session, LOG, PLATFORM)) == number
    assert directory.requests == 1


@pytest.mark.parametrize("growth", [1.0, 1.5])
async def test_many_accounts_take_few_more_pages_than_they_fill_several_at_once(growth: float) -> None:
    span = NOW - LAUNCH
    directory = Directory.of([LAUNCH + int(span * (each / 6000) ** (1 / growth)) for each in range(6000)])
    assert len(await connected_account_ids(directory.session, LOG, PLATFORM)) == 6000
    assert directory.requests <= 1.3 * 60 + 1
    assert directory.most_in_flight == DEFAULTS.account_ranges


async def test_accounts_that_tell_no_creation_time_are_found_too() -> None:
    directory = Directory.of(list(range(NOW - 250 * 60, NOW, 60)))
    directory.accounts += [(f"acct_untold{each}", None, NOW - each) for each in range(3)]
    found = await connected_account_ids(directory.session, LOG, PLATFORM)
    assert sorted(found) == sorted(id for id, _, _ in directory.accounts)


async def test_the_platform_itself_is_none_of_the_connected_accounts() -> None:
    directory = Directory.of(list(range(NOW - 250, NOW)))
    directory.accounts.append((PLATFORM, NOW - 7, NOW - 7))
    assert PLATFORM not in await connected_account_ids(directory.session, LOG, PLATFORM)
    assert await connected_account_ids(directory.session, LOG, PLATFORM, known=set(), since=NOW - 10) == [
        id for id, _, _ in reversed(directory.accounts) if id != PLATFORM
    ]


@settings(max_examples=40, deadline=None)
@given(
    known=st.integers(0, 400),
    new=st.integers(0, 400),
    apart=st.sampled_from([0, 1, 30]),
    ago=st.integers(0, 4000),
)
async def test_accounts_that_are_new_since_the_last_look_are_found(
    known: int, new: int, apart: int, ago: int
) -> None:
    directory = Directory.of([NOW - 5000 - each for each in range(known)])
    directory.time = NOW - 4500
    before = await connected_account_ids(directory.session, LOG, PLATFORM)
    directory.accounts += [(f"acct_new{each}", NOW - ago // (1 + apart * each), NOW) for each in range(new)]
    directory.time = NOW
    found = await connected_account_ids(directory.session, LOG, PLATFORM, known=set(before), since=NOW - 4500)
    assert sorted(found) == sorted(f"acct_new{each}" for each in range(new))


async def test_a_look_for_new_accounts_costs_by_what_is_recent_and_not_by_all() -> None:
    directory = Directory.of([NOW - 10 * 86_400 - 60 * each for each in range(5000)])
    assert await connected_account_ids(directory.session, LOG, PLATFORM, known={"acct_0"}, since=NOW - 3600)
    assert directory.requests == 2


async def test_new_accounts_that_tell_no_creation_time_are_found() -> None:
    directory = Directory.of(list(range(NOW - 250, NOW)))
    known = {id for id, _, _ in directory.accounts}
    directory.accounts.append(("acct_untold", None, NOW))
    assert await connected_account_ids(directory.session, LOG, PLATFORM, known=known, since=NOW - 10) == [
        "acct_untold"
    ]


@pytest.mark.parametrize("connects_at", range(1, 12))
async def test_an_account_that_connects_during_the_list_is_found_then_or_at_the_next_look(
    connects_at: int,
) -> None:
    directory = Directory.of([NOW - 60 * each for each in range(400)])
    directory.connects_at = connects_at
    began_at = directory.time
    found = await connected_account_ids(directory.session, LOG, PLATFORM)
    assert len(found) == len(set(found)) >= 400
    for _ in range(2):
        directory.time += 3600
        found += await connected_account_ids(
            directory.session, LOG, PLATFORM, known=set(found), since=began_at
        )
        began_at = directory.time
    assert sorted(found) == sorted(id for id, _, _ in directory.accounts)


# Over HTTP


@pytest.fixture
async def http(server: StripeServer) -> AsyncIterator[StripeSession]:
    async with StripeSession(server.world.key, base=server.url, settings=UNLIMITED) as session:
        yield session


async def test_the_accounts_of_a_platform_are_its_own_and_the_connected_ones(
    world: World, server: StripeServer, http: StripeSession
) -> None:
    for each in range(420):
        world.connect(created=NOW - each // 3 * 86_400)
    server.latency = 0.005
    accounts = await find_accounts(http, LOG, connected=True)
    assert (accounts.platform_id, accounts.connected_ids) == (PLATFORM, [])
    connected = await connected_account_ids(http, LOG, PLATFORM)
    assert sorted([PLATFORM, *connected]) == sorted(world.accounts)
    visits = server.journal.visits("/v1/accounts")
    assert len(visits) <= 5 + DEFAULTS.account_ranges
    assert {each.status for each in visits} == {200}
    alone = await find_accounts(http, LOG, connected=False)
    assert (alone.connected_ids, alone.all_ids) == (None, [PLATFORM])


async def test_no_accounts_are_connected_to_a_platform_without_any(
    server: StripeServer, http: StripeSession
) -> None:
    assert await connected_account_ids(http, LOG, PLATFORM) == []


async def test_a_list_that_fails_in_a_range_fails_as_a_whole_and_leaves_nothing_behind(
    world: World, server: StripeServer, http: StripeSession
) -> None:
    for each in range(420):
        world.connect(created=NOW - each * 86_400)
    server.faults.set(Fault("/v1/accounts", after=4, status=400, message="Not now"))
    before = asyncio.all_tasks()
    with pytest.raises(StripeError, match="Not now"):
        await connected_account_ids(http, LOG, PLATFORM)
    await asyncio.sleep(0.05)
    names = [getattr(each.get_coro(), "__qualname__", "") for each in asyncio.all_tasks() - before]
    assert "read_page" not in names
    server.faults.set()
    assert len(await connected_account_ids(http, LOG, PLATFORM)) == 420
