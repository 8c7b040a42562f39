"""The rate limits: how evenly requests leave, who goes first, what a refusal changes, and what counts as
one endpoint. Time is virtual, but for the one test that asks a local Stripe with its limits enforced."""

import asyncio
import contextlib
import heapq
import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import StripeServer, World
from sandbox.stripe.limits import RateLimit
from sandbox.stripe.paths import endpoint as stripes_shape
from source_stripe_native.api import fetch_backfill, fetch_incremental
from source_stripe_native.models import STREAMS, BaseStripeObject, Files, Prices
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.rate_limit import (
    Limit,
    Priority,
    RateLimiter,
    Turn,
    Urgency,
    favoured_priority,
    rate_limiter_for,
)
from tests.cdk_task import run_on_virtual_time
from tests.conftest import NOW
from tools.facts import stripe_facts

LOG: Final = logging.getLogger("test")
KEY: Final = "sk_test_Sandbox00000000000000000"
IN_FLIGHT: Final = DEFAULTS.max_in_flight
MANY: Final = [f"/v1/{number}" for number in range(10)]

Crowd = tuple[float, Sequence[str]]


async def times_of(
    limiter: RateLimiter,
    *crowds: Crowd,
    events: Sequence[Crowd] = (),
    background: Sequence[Crowd] = (),
) -> list[list[float]]:
    """When the rate limiter admits requests, each answered at once: for each crowd, which comes at a given
    second with its endpoints, in the order in which it came."""

    async def request(start: float, endpoint: str, priority: Priority) -> float:
        await asyncio.sleep(start)
        limiter.release(await limiter.acquire(endpoint, priority))
        return asyncio.get_running_loop().time()

    by_priority = ((Priority.EVENTS, events), (Priority.CHANGES, crowds), (Priority.BACKFILL, background))
    tasks = [
        [asyncio.ensure_future(request(start, each, priority)) for each in endpoints]
        for priority, crowds_of in by_priority
        for start, endpoints in crowds_of
    ]
    return [[await each for each in crowd] for crowd in tasks]


def busiest_second(times: Sequence[float]) -> int:
    return max(sum(1 for each in times if start <= each < start + 1) for start in times)


# How fast


@pytest.mark.parametrize(
    ("key", "total", "rate", "per_endpoint"),
    [
        ("sk_live_1", None, 80, 20),
        ("rk_live_1", None, 80, 20),
        ("sk_test_1", None, 20, 20),
        ("", None, 20, 20),
        ("sk_live_1", 100, 100, 25),
        ("sk_test_1", 10, 10, 10),
        ("sk_live_1", 0.5, 0.5, 0.5),
    ],
)
def test_no_second_has_more_requests_than_the_rate_and_almost_as_many(
    key: str, total: float | None, rate: float, per_endpoint: float
) -> None:
    (all_,) = run_on_virtual_time(times_of(rate_limiter_for(key, total), (0, MANY * max(1, int(rate)))))
    (one,) = run_on_virtual_time(
        times_of(rate_limiter_for(key, total), (0, MANY[:1] * 10 * max(1, int(rate))))
    )
    for times, allowed in ((all_, rate), (one, per_endpoint)):
        assert busiest_second(times) <= max(1, allowed)
        assert (len(times) - 1) / times[-1] >= 0.95 * allowed


@pytest.mark.parametrize("rate", [20, 25, 80, 100])
def test_late_wake_ups_cost_no_speed_and_crowd_no_second(rate: int) -> None:
    async def main() -> list[float]:
        loop, chance = asyncio.get_running_loop(), random.Random(rate)
        call_at = loop.call_at

        def late(when: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
            return call_at(when + chance.uniform(0, 0.015), callback, *args)

        loop.call_at = late  # type: ignore[method-assign, assignment]  # for this one loop
        (times,) = await times_of(RateLimiter(rate, rate), (0, MANY * rate))
        return times

    times = run_on_virtual_time(main())
    assert busiest_second(times) <= rate
    assert (len(times) - 1) / times[-1] >= 0.95 * rate


def test_timer_that_fires_a_hair_early_is_not_set_anew() -> None:
    timers = 0

    async def main() -> None:
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def early(when: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return call_at(when - 1e-6 if timers < 100 else when, callback, *args)

        loop.call_at = early  # type: ignore[method-assign, assignment]  # for this one loop
        await times_of(RateLimiter(10, 10), (0, MANY * 2))

    run_on_virtual_time(main())
    assert timers <= 60, "one for each request that comes, one for each that goes, one for each answer"


@given(
    rate=st.integers(1, 200),
    pauses=st.lists(st.floats(0, 2, allow_nan=False) | st.just(0.0) | st.floats(0, 0.02), max_size=300),
)
def test_no_second_has_more_than_the_rate_whenever_requests_come(rate: int, pauses: list[float]) -> None:
    limit, now = Limit(rate), 0.0
    times = []
    for pause in pauses:
        now = max(now + pause, limit.opens_time)
        limit.take(now)
        times.append(now)
    assert not times or busiest_second(times) <= rate


# Who goes first


def test_crowd_at_one_endpoint_holds_up_no_other() -> None:
    crowd, other = run_on_virtual_time(
        times_of(RateLimiter(80, 20), (0, ["/v1/prices"] * 400), (1, ["/v1/events"] * 5))
    )
    assert other[0] < 1.05
    assert other[-1] < 1.3, "at the endpoint's own pace"
    assert crowd[-1] > 19


def test_among_equals_the_first_to_come_is_the_first_to_go() -> None:
    (times,) = run_on_virtual_time(times_of(RateLimiter(20, 20), (0, MANY * 5)))
    assert times == sorted(times)


@pytest.mark.parametrize("path", ["/v1/prices", "/v1/events"])
def test_poll_waits_for_no_backfill_however_large(path: str) -> None:
    polls, backfill = run_on_virtual_time(
        times_of(RateLimiter(20, 20), (5, [path] * 3), background=[(0, ["/v1/prices", *MANY] * 60)])
    )
    assert polls[-1] < 5.4
    assert backfill[-1] > 30


def test_backfill_goes_on_while_polls_take_all_they_can() -> None:
    polls, backfill = run_on_virtual_time(
        times_of(RateLimiter(20, 20), (0, MANY * 60), background=[(0, MANY * 2)])
    )
    assert [sum(1 for each in backfill if each <= end) for end in (5, 10)] == [
        pytest.approx(end * 20 / DEFAULTS.least_share, abs=2) for end in (5, 10)
    ]
    assert polls[-1] < 34, "which costs the polls little"


@pytest.mark.parametrize("path", ["/v1/files", "/v1/events"])
def test_event_reading_waits_for_no_polled_list_however_many(path: str) -> None:
    events, lists, _ = run_on_virtual_time(
        times_of(
            RateLimiter(20, 20),
            (0, ["/v1/files", *MANY] * 60),
            events=[(5, [path] * 3)],
            background=[(0, MANY * 2)],
        )
    )
    assert events[-1] < 5.5
    assert lists[-1] > 30


def test_each_lower_priority_keeps_its_share_while_higher_ones_take_all_they_can() -> None:
    events, lists, backfill = run_on_virtual_time(
        times_of(RateLimiter(20, 20), (0, MANY * 3), events=[(0, MANY * 60)], background=[(0, MANY * 3)])
    )
    for low in (lists, backfill):
        assert [sum(1 for each in low if each <= end) for end in (5, 10)] == [
            pytest.approx(end * 20 / DEFAULTS.least_share, abs=2) for end in (5, 10)
        ]
    assert events[-1] < 36


@pytest.mark.parametrize("share", [3, 10])
@pytest.mark.parametrize("every", [1, 2, 3, 4, 5, 10])
def test_of_evenly_spaced_requests_each_lower_priority_has_its_share(every: int, share: int) -> None:
    turns = Counter(favoured_priority(number * every, share) for number in range(100 * share))
    assert turns[Priority.BACKFILL] == pytest.approx(100, abs=5)
    assert turns[Priority.CHANGES] == pytest.approx(100, abs=5)


@pytest.mark.parametrize("endpoints", [2, 3, 4, 5, 8])
def test_a_lower_priority_keeps_its_share_at_every_endpoint_however_regularly_they_alternate(
    endpoints: int,
) -> None:
    """Four endpoints at their own limits take all requests together, always in the same order."""

    async def main() -> Counter[str]:
        limiter, admitted = RateLimiter(80, 20), Counter[str]()

        async def ask(endpoint: str, priority: Priority) -> None:
            while True:
                limiter.release(await limiter.acquire(endpoint, priority))
                admitted[endpoint] += priority is Priority.BACKFILL

        crowds = [
            asyncio.ensure_future(ask(endpoint, priority))
            for endpoint in MANY[:endpoints]
            for priority in [Priority.CHANGES] * 30 + [Priority.BACKFILL] * 5
        ]
        await asyncio.sleep(100)
        for each in crowds:
            each.cancel()
        return admitted

    admitted, expected = run_on_virtual_time(main()), 100 * min(20, 80 / endpoints) / DEFAULTS.least_share
    assert [admitted[each] for each in MANY[:endpoints]] == [pytest.approx(expected, rel=0.25)] * endpoints


@pytest.mark.parametrize("hanging", [1, 2, 5])
def test_endpoints_that_do_not_answer_leave_places_to_the_others(hanging: int) -> None:
    async def main() -> list[float]:
        limiter, clock, times = RateLimiter(1000, 1000), asyncio.get_running_loop().time, list[float]()
        waiting = [
            asyncio.ensure_future(limiter.acquire(f"/v1/{number % hanging}", Priority.EVENTS))
            for number in range(300 * hanging)
        ]
        await asyncio.sleep(10)
        for _ in range(10):
            asked_time = clock()
            limiter.release(await limiter.acquire("/v1/other", Priority.BACKFILL))
            times.append(clock() - asked_time)
        for each in waiting:
            each.cancel()
        left = sum(each.done() for each in waiting)
        assert 0.8 * IN_FLIGHT <= left < IN_FLIGHT, "there are few of those that do not answer"
        return times

    assert max(run_on_virtual_time(main())) < 0.1


def test_what_takes_long_to_be_answered_is_bounded_and_does_not_delay_a_poll() -> None:
    async def main() -> None:
        limiter = RateLimiter(1000, 1000)
        waiting = [asyncio.ensure_future(limiter.acquire(each, Priority.BACKFILL)) for each in MANY * 30]
        await asyncio.sleep(10)
        gone = [each for each in waiting if each.done()]
        polls = [asyncio.ensure_future(limiter.acquire("/v1/events")) for _ in range(IN_FLIGHT)]
        await asyncio.sleep(1)
        polled = sum(each.done() for each in polls)
        assert len(gone) + polled == IN_FLIGHT
        limiter.release(gone[0].result())
        await asyncio.sleep(0.01)
        assert sum(each.done() for each in polls) == polled + 1, "the first place that is free is a poll's"
        for each in (*waiting, *polls):
            each.cancel()

    run_on_virtual_time(main())


def test_who_no_longer_waits_takes_no_place() -> None:
    async def main() -> float:
        limiter = RateLimiter(1, 1)
        await limiter.acquire("/v1/a")
        gone = [asyncio.ensure_future(limiter.acquire("/v1/a")) for _ in range(50)]
        await asyncio.sleep(0.1)
        for each in gone:
            each.cancel()
        await limiter.acquire("/v1/a")
        return asyncio.get_running_loop().time()

    assert run_on_virtual_time(main()) < 1.1


def test_who_is_stopped_just_as_it_may_go_gives_its_place_back() -> None:
    async def main() -> None:
        limiter = RateLimiter(1e6, 1e6)
        turns = [await limiter.acquire(f"/v1/{number}") for number in range(IN_FLIGHT)]
        stopped = asyncio.ensure_future(limiter.acquire("/v1/a"))
        await asyncio.sleep(0.01)
        limiter.release(turns[0])
        stopped.cancel()
        await asyncio.wait([stopped])
        assert stopped.cancelled()
        async with asyncio.timeout(1):
            await limiter.acquire("/v1/a")

    run_on_virtual_time(main())


@pytest.mark.parametrize("chain", [0, 1, 3], ids=lambda number: f"through {number} readings")
@pytest.mark.parametrize("low", [Priority.CHANGES, Priority.BACKFILL])
def test_who_waits_for_a_reading_lends_it_its_priority(low: Priority, chain: int) -> None:
    """A request of low priority, behind hundreds of its kind, is asked for by somebody that changes wait for:
    it leaves as that one's own would, in its order of arrival, however many readings lie between."""

    async def main() -> tuple[float, float]:
        limiter, reading = RateLimiter(10, 10), Urgency(low)
        crowd = [asyncio.ensure_future(limiter.acquire("/v1/a", low)) for _ in range(300)]
        wanted = asyncio.ensure_future(limiter.acquire("/v1/a", reading))
        await asyncio.sleep(1)
        with contextlib.ExitStack() as waits:
            for _ in range(chain):
                asker = Urgency(low)
                waits.enter_context(asker.lent_to(reading.raise_to))
                reading = asker
            reading.raise_to(Priority.EVENTS)
            await wanted
        raised_time = asyncio.get_running_loop().time()
        assert not reading._borrowers
        limiter_took = sum(task.done() for task in crowd)
        for task in crowd:
            task.cancel()
        return raised_time, limiter_took

    raised_time, admitted = run_on_virtual_time(main())
    assert raised_time < 1.3
    assert admitted <= 14


def test_a_raised_request_that_is_cancelled_or_admitted_takes_no_second_place() -> None:
    async def main() -> int:
        limiter, admitted, cancelled = RateLimiter(10, 10), *(Urgency(Priority.BACKFILL) for _ in range(2))
        turn = await limiter.acquire("/v1/a", admitted)
        gone = asyncio.ensure_future(limiter.acquire("/v1/a", cancelled))
        await asyncio.sleep(0)
        gone.cancel()
        for urgency in (admitted, cancelled):
            urgency.raise_to(Priority.EVENTS)
        await asyncio.sleep(1)
        limiter.release(turn)
        return limiter._in_flight.total()

    assert run_on_virtual_time(main()) == 0


class Recording(RateLimiter):
    def __init__(self) -> None:
        super().__init__(1e5, 1e5)
        self.asked: set[tuple[str, Priority]] = set()

    async def acquire(
        self, endpoint: str, priority: Priority | Urgency = Priority.CHANGES, account_id: str | None = None
    ) -> Turn:
        self.asked.add((endpoint, Urgency.of(priority).priority))
        return await super().acquire(endpoint, priority, account_id)


async def test_event_readings_go_first_and_backfills_last(server: StripeServer) -> None:
    server.world.create("price")
    limiter, at = Recording(), datetime.fromtimestamp(NOW, tz=UTC)
    async with StripeSession(KEY, base=server.url, rate_limiter=limiter) as stripe:
        start = at - timedelta(days=1)
        assert [each async for each in fetch_backfill(Prices, start, None, None, stripe, LOG, None, at)]
        for stream in (Prices, Files):
            assert [each async for each in fetch_incremental(stream, None, None, stripe, LOG, start)]
    assert limiter.asked == {
        ("/v1/prices", Priority.BACKFILL),
        ("/v1/events", Priority.EVENTS),
        ("/v1/files", Priority.CHANGES),
    }


# What a refusal changes


@pytest.mark.parametrize(
    ("reason", "concerned"),
    [
        ("global-rate", {"total"}),
        ("global-concurrency", {"total"}),
        ("", {"total"}),
        ("endpoint-rate", {"endpoint", "own"}),
        ("endpoint-concurrency", {"endpoint", "own"}),
    ],
)
def test_refusals_slow_what_they_name(reason: str, concerned: set[str]) -> None:
    async def main() -> set[str]:
        limiter = RateLimiter(40, 20)
        for number in range(30):
            turn = await limiter.acquire("/v1/0")
            limiter.answered(turn, reason if number % 2 else None)
            limiter.release(turn)
        now = asyncio.get_running_loop().time()
        limits = {"total": limiter._total, "endpoint": limiter._endpoints["/v1/0"], "own": turn.own}
        return {name for name, limit in limits.items() if limit.rate(now) < limit.ceiling}

    assert run_on_virtual_time(main()) == concerned


Refuses = Callable[[float, random.Random], bool]
"""Whether Stripe refuses a request that leaves at a time."""


def answers_of(
    limit: Limit,
    refuses: Refuses,
    seconds: float,
    seed: int,
    begin: float = 0.0,
) -> tuple[float, float]:
    """Requests a second that are answered from `begin` on, and the share that is refused, where always some
    wait to leave. An answer takes 80 to 120 ms. No loop is needed: the limit gets the times."""
    chance = random.Random(seed)
    answers: list[tuple[float, float, bool]] = []
    accepted = refused = 0
    now = 0.0
    while now < seconds:
        while answers and answers[0][0] <= now:
            _, asked_time, is_refusal = heapq.heappop(answers)
            limit.answered(asked_time, now, is_refusal=is_refusal, is_about=is_refusal)
            accepted += asked_time >= begin and not is_refusal
            refused += asked_time >= begin and is_refusal
        limit.take(now)
        heapq.heappush(answers, (now + chance.uniform(0.08, 0.12), now, refuses(now, chance)))
        now += 1 / (DEFAULTS.utilisation * limit.rate(now))
    return accepted / (seconds - begin), refused / (accepted + refused)


def bucket(rate: Callable[[float], float], burst: float) -> Refuses:
    """A token bucket that is filled by `rate` tokens a second, and holds `burst` at most."""
    tokens, filled_time = burst, 0.0

    def refuses(now: float, _: random.Random) -> bool:
        nonlocal tokens, filled_time
        tokens = min(burst, tokens + (now - filled_time) * rate(now))
        filled_time = now
        if tokens < 1:
            return True
        tokens -= 1
        return False

    return refuses


CEILINGS: Final = [80.0, 20.0]


@pytest.mark.parametrize("ceiling", CEILINGS)
@pytest.mark.parametrize("part", [0.0, 0.02, 0.1, 0.5, 0.75])
def test_refusals_that_do_not_depend_on_the_rate_take_no_more_than_their_part(
    ceiling: float, part: float
) -> None:
    limit = Limit(ceiling)
    answered, _ = answers_of(limit, lambda _, chance: chance.random() < part, 16_000 / ceiling, seed=1)
    assert answered >= 0.8 * (1 - part) * ceiling


@pytest.mark.parametrize("ceiling", CEILINGS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("burst", [5.0, 30.0])
def test_a_true_limit_is_found_and_kept_with_few_refusals(ceiling: float, part: float, burst: float) -> None:
    limit, true = Limit(ceiling), part * ceiling
    answered, refused = answers_of(limit, bucket(lambda _: true, burst), 400, seed=1, begin=100)
    assert answered >= 0.85 * true
    assert refused <= 0.05


@pytest.mark.parametrize("ceiling", CEILINGS)
def test_a_limit_that_other_traffic_changes_is_followed(ceiling: float) -> None:
    """Every five minutes others leave another part of the limit."""
    parts = [0.9, 0.3, 0.6, 0.15, 1.2, 0.5]

    def left(now: float) -> float:
        return ceiling * parts[int(now / 300) % len(parts)]

    answered, refused = answers_of(Limit(ceiling), bucket(left, 10), 1800, seed=1)
    assert answered >= 0.75 * ceiling * sum(min(part, 0.96) for part in parts) / len(parts)
    assert refused <= 0.06


def test_a_true_limit_is_kept_among_refusals_that_do_not_depend_on_the_rate() -> None:
    refuses_rate = bucket(lambda _: 30, 10)
    limit = Limit(80)
    answered, refused = answers_of(
        limit, lambda now, chance: chance.random() < 0.2 or refuses_rate(now, chance), 500, seed=1, begin=100
    )
    assert answered >= 0.8 * 30
    assert refused <= 0.35


@pytest.mark.parametrize("ceiling", [100.0, 0.2])
def test_where_nothing_is_accepted_few_requests_leave_until_something_is(ceiling: float) -> None:
    limit = Limit(ceiling)
    _, refused = answers_of(limit, lambda *_: True, 20_000, seed=1, begin=10_000)
    assert refused == 1
    assert limit.rate(20_000) == min(ceiling, DEFAULTS.min_rate)
    answered, _ = answers_of(Limit(ceiling), lambda now, _: now < 5_000, 5_600, seed=1, begin=5_300)
    assert answered >= 0.9 * ceiling


async def saturate(
    limiter: RateLimiter, limits: RateLimit, seconds: float, theirs: float = 0, seed: int = 0
) -> tuple[float, float]:
    """Requests a second that Stripe answers, and the part that it refuses, where always some wait to go, and
    others of the account make `theirs` a second. Requests arrive after 40 to 55 ms, answers after 50 more."""
    loop, chance = asyncio.get_running_loop(), random.Random(seed)
    answers: list[str | None] = []

    async def ask() -> None:
        for number in range(100_000):
            endpoint = MANY[number % len(MANY)]
            turn = await limiter.acquire(endpoint)
            await asyncio.sleep(chance.uniform(0.04, 0.055))
            answers.append(refused_by := limits.refuse("", endpoint, loop.time()))
            await asyncio.sleep(0.05)
            limiter.answered(turn, refused_by)
            limiter.release(turn)

    async def others() -> None:
        for number in range(100_000):
            await asyncio.sleep(1 / theirs)
            limits.refuse("", f"/v1/other/{number % 10}", loop.time())

    tasks = [asyncio.ensure_future(ask()) for _ in range(40)]
    if theirs:
        tasks.append(asyncio.ensure_future(others()))
    await asyncio.wait(tasks, timeout=seconds)
    for each in tasks:
        each.cancel()
    refused = sum(1 for each in answers if each is not None)
    return (len(answers) - refused) / seconds, refused / len(answers)


@pytest.mark.parametrize(
    ("key", "total", "rate"), [("sk_live_", None, 80), ("sk_live_", 100, 100), ("sk_test_", None, 20)]
)
def test_most_of_the_limit_is_used_and_hardly_a_request_refused(
    key: str, total: float | None, rate: int
) -> None:
    limits = RateLimit(total=25 if key == "sk_test_" else 100)
    answered, refused = run_on_virtual_time(saturate(rate_limiter_for(key, total), limits, 30))
    assert answered >= 0.9 * rate
    assert refused < 0.01


@pytest.mark.parametrize("theirs", [50, 80])
def test_what_others_leave_of_the_accounts_limit_is_found_and_kept_to(theirs: int) -> None:
    left = 100 - theirs
    answered, refused = run_on_virtual_time(saturate(RateLimiter(80, 20), RateLimit(), 120, theirs))
    assert answered >= 0.75 * left
    assert refused < 0.05


async def test_local_stripe_with_its_limits_answers_most_of_what_the_limits_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = [f"/v1/{each}" for each in ("charges", "customers", "prices", "products", "events", "refunds")]
    seconds = 2.0

    async def measure(limiter: RateLimiter, limits: RateLimit) -> tuple[float, float]:
        async with (
            StripeServer(World(now=NOW), latency=0.1, limits=limits) as server,
            StripeSession(KEY, base=server.url, rate_limiter=limiter) as stripe,
        ):

            async def ask(path: str) -> None:
                for _ in range(100):
                    await stripe.get(LOG, path)

            tasks = [asyncio.ensure_future(ask(path)) for path in paths * 4]
            await asyncio.wait(tasks, timeout=seconds)
            visits = list(server.journal)
            for each in tasks:
                each.cancel()
            await asyncio.wait(tasks)
        refused = sum(1 for each in visits if each.status == 429)
        return (len(visits) - refused) / (seconds - server.latency), refused / len(visits)

    live, test = await asyncio.gather(
        measure(rate_limiter_for("sk_live_"), RateLimit()),
        measure(rate_limiter_for("sk_test_"), RateLimit(total=25)),
    )
    # Less than on virtual time, as a busy machine holds up the client and the server.
    for (answered, refused), rate in ((live, 80), (test, 20)):
        assert answered >= 0.7 * rate
        assert refused < 0.03


# What one endpoint is

IDS: Final = ["cus_1Q2w3E", "summer", "charges", "25off", "search", "lines", "%2Fa%20b", "issuing"]


def templates(stream: type[BaseStripeObject]) -> list[str]:
    """Every path of a row with its ids in braces."""
    one = stream.RETRIEVE.replace("{SEARCH_NAME}", stream.SEARCH_NAME)
    nested = [f"{one}/{each.rpartition('.')[2]}" for each in stream.NESTED]
    return [each for each in (stream.SEARCH_NAME, one, stream.UNLISTED, *nested) if each]


def filled(template: str, value: Callable[[int], str], api: str = "v1") -> str:
    parts = template.split("/")
    return f"/{api}/" + "/".join(value(at) if each.startswith("{") else each for at, each in enumerate(parts))


def test_endpoint_of_a_streams_path_has_no_id_and_all_else() -> None:
    for api, template in sorted({(stream.API, each) for stream in STREAMS for each in templates(stream)}):
        shape = filled(template, lambda _: "{}", api)
        ids = [filled(template, lambda _, each=each: each, api) for each in IDS]  # type: ignore[misc]  # bound
        found = {path: endpoint_of(path) for path in (*ids, shape, f"/{api}/{template}")}
        assert found == dict.fromkeys(found, shape)


def test_endpoints_are_those_that_the_local_stripe_limits() -> None:
    for stream in (each for each in STREAMS if each.SEARCH_NAME):
        path = filled(stream.SEARCH_NAME, lambda _: "cus_1Q2w3E", stream.API)
        assert stripes_shape("GET", path) == f"GET {endpoint_of(path)}"


def test_no_path_that_stripe_has_leaves_an_id_in_its_endpoint() -> None:
    table = stripe_facts()["paths"]
    paths = [path for path, methods in table.items() if "get" in methods]
    assert len(paths) > 200
    used = [re.sub(r"{\w+}", "an_id", path) for path in paths]
    assert [each for each in used if "an_id" in endpoint_of(each)] == []


# Many accounts


async def times_by_account(limiter: RateLimiter, accounts: Sequence[str]) -> dict[str, list[float]]:
    """When the limiter admits requests to one endpoint for `accounts`, in that order and all at once."""
    times: dict[str, list[float]] = {each: [] for each in accounts}

    async def request(account: str) -> None:
        limiter.release(await limiter.acquire("/v1/events", Priority.EVENTS, account))
        times[account].append(asyncio.get_running_loop().time())

    await asyncio.gather(*map(request, accounts))
    return times


@settings(max_examples=30, deadline=None)
@given(accounts=st.lists(st.sampled_from("abcdefgh"), min_size=40, max_size=200))
def test_each_account_has_its_own_limit_to_an_endpoint_and_all_share_the_total(accounts: list[str]) -> None:
    times = run_on_virtual_time(times_by_account(RateLimiter(40, 10), accounts))
    assert busiest_second(sorted(each for own in times.values() for each in own)) <= 40
    for own in times.values():
        assert own == sorted(own)
        assert busiest_second(own) <= 10
    # The largest share decides, or the total.
    least = max(max(map(len, times.values())) / 10, len(accounts) / 40)
    assert max(each for own in times.values() for each in own) <= least / DEFAULTS.utilisation + 1


def test_an_endpoint_that_stripe_limits_for_all_accounts_together_is_asked_less_often() -> None:
    """Whatever Stripe counts a request for: what it refuses teaches the limiter."""

    async def main() -> tuple[float, float]:
        limiter, limits = RateLimiter(80, 20), RateLimit()
        loop, answers = asyncio.get_running_loop(), list[str | None]()

        async def ask(account: str) -> None:
            while True:
                turn = await limiter.acquire("/v1/events", Priority.EVENTS, account)
                await asyncio.sleep(0.05)
                answers.append(refused_by := limits.refuse("", "/v1/events", loop.time()))
                limiter.answered(turn, refused_by)
                limiter.release(turn)

        tasks = [asyncio.ensure_future(ask(f"acct_{number}")) for number in range(60)]
        await asyncio.wait(tasks, timeout=120)
        for each in tasks:
            each.cancel()
        refused = sum(each is not None for each in answers)
        return (len(answers) - refused) / 120, refused / len(answers)

    answered, refused = run_on_virtual_time(main())
    assert answered > 0.8 * 25
    assert refused < 0.07


def test_limits_of_accounts_that_are_not_in_use_are_forgotten() -> None:
    async def main() -> int:
        limiter = RateLimiter(1000, 20, replace(DEFAULTS, limits_kept=50))
        for number in range(500):
            limiter.release(await limiter.acquire("/v1/events", Priority.EVENTS, f"acct_{number}"))
        return len(limiter._own)

    # A limit is in use for the twentieth of a second after a request.
    assert run_on_virtual_time(main()) <= 50 + 1000 * 0.1
