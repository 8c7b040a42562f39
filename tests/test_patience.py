"""How long a request is asked again: only the time spent asking counts, a refusal for rate is the rate
limiter's affair, and a Stripe that is silent to everybody is another matter than one list that fails. Time is
virtual, and what Stripe answers is a function: no HTTP is needed."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from source_stripe_native.errors import ConnectorError, StripeError, UnreachableError
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.attempts import Attempt, Request
from source_stripe_native.stripe.client import Json, StripeSession
from source_stripe_native.stripe.rate_limit import RateLimiter, Turn, rate_limiter_for
from tests.cdk_task import run_on_virtual_time

LOG: Final = logging.getLogger("test")
PATIENCE: Final = DEFAULTS.patience.total_seconds()
SILENCE: Final = DEFAULTS.outage_patience.total_seconds()
LATENCY: Final = 0.1

Answer = Callable[[str, float], Exception | None]
"""What Stripe answers to a path at a time: None for a success."""


class Told(StripeSession):
    """A session whose Stripe is a function."""

    def __init__(self, answer: Answer, limiter: RateLimiter | None = None, **options: Any) -> None:
        super().__init__("sk_test_1", base="http://127.0.0.1", rate_limiter=limiter, **options)
        self.answer = answer
        self.asked: list[float] = []
        self.failed = 0

    async def _ask(self, attempt: Attempt, turn: Turn) -> Json:
        self.asked.append(attempt.asked_time)
        await asyncio.sleep(LATENCY)
        error = self.answer(attempt.request.path, self._time())
        if isinstance(error, StripeError) and error.status == 429:
            attempt.refused_by = ""
        if not isinstance(error, OSError):
            self._rate_limiter.answered(turn, attempt.refused_by)
        if error is None or (isinstance(error, StripeError) and error.status < 500):
            self._outage.answered(self._time())
        if error is not None:
            self.failed += 1
            raise error
        return {}


def down(status: int) -> Exception:
    return StripeError(status, "no", should_retry=True) if status else ConnectionResetError("cut")


def until(seconds: float, status: int, path: str = "") -> Answer:
    return lambda asked, now: down(status) if asked.startswith(path) and now < seconds else None


async def failure_of(asking: Awaitable[Any]) -> tuple[Exception | None, float]:
    """How a request ends, and when."""
    try:
        await asking
    except ConnectorError as error:
        return error, asyncio.get_running_loop().time()
    return None, asyncio.get_running_loop().time()


def of(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run_on_virtual_time(main())


async def keep_asking(http: StripeSession, path: str = "/v1/account") -> None:
    while True:
        await asyncio.sleep(5)
        await http.get(LOG, path)


PASSING: Final = [500, 503, 0]


@pytest.mark.parametrize("status", PASSING)
@pytest.mark.parametrize("seconds", [5, 40, SILENCE - 60])
def test_what_passes_is_answered_however_long_stripe_was_silent_to_everybody(
    status: int, seconds: float
) -> None:
    async def main() -> None:
        error, end = await failure_of(Told(until(seconds, status)).get(LOG, "/v1/charges"))
        assert error is None
        assert seconds <= end < seconds + 35

    of(main)


@pytest.mark.parametrize("status", PASSING)
def test_a_silence_to_everybody_ends_all_requests_after_one_time_and_says_so(status: int) -> None:
    async def main() -> None:
        http = Told(until(1e9, status))

        async def late(seconds: float) -> tuple[Exception | None, float]:
            await asyncio.sleep(seconds)
            return await failure_of(http.get(LOG, f"/v1/{seconds}"))

        for error, end in await asyncio.gather(*(late(start) for start in (0, 300, 1700))):
            assert isinstance(error, StripeError if status else UnreachableError)
            assert SILENCE <= end < SILENCE + 35
        assert http.silence >= http.settings.outage_patience

    of(main)


@pytest.mark.parametrize("status", [*PASSING, 409])
def test_one_list_that_fails_is_given_up_after_a_minute_while_others_are_answered(status: int) -> None:
    async def main() -> None:
        http = Told(until(1e9, status, "/v1/charges"))
        others = asyncio.ensure_future(keep_asking(http))
        error, end = await failure_of(http.get(LOG, "/v1/charges"))
        assert error is not None
        assert PATIENCE <= end < PATIENCE + 35
        assert http.silence < http.settings.outage_patience
        assert not others.done()

    of(main)


@pytest.mark.parametrize("status", PASSING)
def test_a_request_that_can_be_divided_is_given_up_at_once_while_others_are_answered(status: int) -> None:
    async def main() -> None:
        http = Told(until(1e9, status, "/v1/charges"))
        asked = asyncio.ensure_future(http.ask(LOG, Request("/v1/charges", None, is_divisible=True)))
        await asyncio.sleep(LATENCY / 4)
        other = asyncio.ensure_future(http.get(LOG, "/v1/account"))
        error, _ = await failure_of(asked)
        await other
        assert error is not None
        assert len(http.asked) <= 3

    of(main)


@pytest.mark.parametrize("status", [*PASSING, 409])
@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("most", [1, 4])
def test_a_request_whose_caller_asks_again_later_has_few_attempts(
    status: int, others: bool, most: int
) -> None:
    """Refusals for rate do not count."""
    given: list[int] = []

    def answer(path: str, now: float) -> Exception | None:
        if path != "/v1/charges":
            return None
        given.append(429 if now < 1 else status)
        return down(given[-1])

    async def main() -> None:
        http = Told(answer)
        asked = [asyncio.ensure_future(keep_asking(http))] if others else []
        error, end = await failure_of(http.ask(LOG, Request("/v1/charges", None, most_attempts=most)))
        assert isinstance(error, StripeError if status else UnreachableError)
        assert end < 10
        assert [each for each in given if each != 429] == [status] * most
        assert not any(task.done() for task in asked)

    of(main)


@pytest.mark.parametrize("crowd", [0, 40])
def test_the_wait_for_the_rate_limiter_costs_no_patience(crowd: int) -> None:
    """Forty others wait before each attempt: as many attempts are made as by oneself."""

    async def main() -> None:
        http = Told(until(1e9, 500, "/v1/charges"), RateLimiter(2, 2))

        async def others() -> None:
            while True:
                await http.get(LOG, "/v1/customers")

        waiting = [asyncio.ensure_future(others()) for _ in range(crowd)]
        if not crowd:
            waiting.append(asyncio.ensure_future(keep_asking(http)))
        await asyncio.sleep(10)
        http.asked.clear()
        _, end = await failure_of(http.get(LOG, "/v1/charges"))
        assert http.failed in range(6, 10)
        assert end > (PATIENCE if not crowd else 2 * PATIENCE)

    of(main)


@pytest.mark.parametrize("part", [0.3, 0.75])
@pytest.mark.parametrize("patience", [None, timedelta(seconds=10)], ids=["capture", "discover"])
def test_refusals_for_rate_use_up_no_patience_and_cost_their_part_alone(
    part: float, patience: timedelta | None
) -> None:
    """A page after another: with 75 % of all requests refused one in four attempts is answered."""

    async def main() -> None:
        chance = random.Random(1)
        http = Told(
            lambda *_: down(429) if chance.random() < part else None,
            rate_limiter_for("sk_test_1"),
            patience=patience,
        )
        for number in range(40):
            error, _ = await failure_of(http.get(LOG, f"/v1/list{number % 3}"))
            assert error is None
        pages_per_second = 40 / asyncio.get_running_loop().time()
        assert pages_per_second > 0.8 * (1 - part) / (LATENCY + 1 / 20)

    of(main)


@pytest.mark.parametrize("others", [True, False])
def test_a_request_of_which_stripe_accepts_none_for_half_an_hour_fails(others: bool) -> None:
    async def main() -> None:
        http = Told(until(1e9, 429, "/v1/charges"), rate_limiter_for("sk_test_1"))
        asked = [asyncio.ensure_future(keep_asking(http))] if others else []
        error, end = await failure_of(http.get(LOG, "/v1/charges"))
        assert isinstance(error, StripeError)
        assert error.status == 429
        assert SILENCE <= end < SILENCE + 35
        assert len(http.asked) < 2 * SILENCE, "slowly"
        assert not http.silence
        assert not any(task.done() for task in asked)

    of(main)


def test_a_pause_that_stripe_names_is_kept() -> None:
    async def main() -> None:
        refusal = StripeError(429, "slow down", should_retry=True, retry_after=7)
        http = Told(lambda _, now: refusal if now < 1 else None)
        await http.get(LOG, "/v1/charges")
        first, second = http.asked
        assert second - first == pytest.approx(7 + LATENCY, abs=0.1)

    of(main)


def test_patience_given_holds_for_everything() -> None:
    async def main() -> None:
        for answer in (until(1e9, 500), until(1e9, 0), until(1e9, 429)):
            start = asyncio.get_running_loop().time()
            http = Told(answer, patience=timedelta(seconds=10), settings=replace(DEFAULTS, min_rate=20))
            error, end = await failure_of(http.get(LOG, "/v1/charges"))
            assert error is not None
            assert 9 <= end - start < 25

    of(main)


@pytest.mark.parametrize("status", [0, 429, 503])
@pytest.mark.parametrize("seconds", [LATENCY / 2, 0.3, 1.0, 7.0])
def test_a_request_that_is_asked_again_ends_once_it_is_cancelled(status: int, seconds: float) -> None:
    """Whatever it waits for: its answer, its turn or the end of a pause."""

    async def main() -> float:
        http = Told(until(SILENCE, status))
        asking = asyncio.create_task(http.get(LOG, "/v1/prices"))
        await asyncio.sleep(seconds)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        return asyncio.get_running_loop().time()

    assert run_on_virtual_time(main()) == pytest.approx(seconds)
