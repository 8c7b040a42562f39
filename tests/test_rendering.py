"""A page that Stripe fails to render is divided: into smaller pages, then into the fields of one object. Time
is virtual, and the list is a function: no HTTP is needed."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Collection
from typing import Any, Final

import pytest

from source_stripe_native.errors import ConnectorError, StripeError, UnreachableError
from source_stripe_native.models import Prices
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.attempts import Attempt
from source_stripe_native.stripe.client import Json, StripeSession
from source_stripe_native.stripe.expansions import PARAM
from source_stripe_native.stripe.pages import Source, read_pages
from source_stripe_native.stripe.rate_limit import RateLimiter, Turn
from tests.cdk_task import run_on_virtual_time

LOG: Final = logging.getLogger("test")
PATH: Final = Prices.list_path()
FIELDS: Final = ("product", "tiers")
EXPAND: Final = [(PARAM, f"data.{name}") for name in FIELDS]
TOTAL: Final = 230

Fails = Callable[[float, Collection[int], Collection[str]], bool]
"""Whether Stripe fails to render objects, by their numbers, with the fields expanded, at a time."""


class Shop(StripeSession):
    """A session with a list of `TOTAL` objects, of which Stripe fails to render what `fails` says. All other
    requests are answered."""

    def __init__(self, fails: Fails, trouble: Exception) -> None:
        super().__init__("sk_test_1", base="http://127.0.0.1", rate_limiter=RateLimiter(1000, 1000))
        self.fails, self.trouble = fails, trouble
        self.sizes: list[int] = []

    async def _ask(self, attempt: Attempt, turn: Turn) -> Json:
        await asyncio.sleep(0.1)
        body: Json = {"id": "acct_1"}
        if attempt.request.path == PATH:
            asked = dict(attempt.request.params)
            first = int(asked.get("starting_after", "price_-1").removeprefix("price_")) + 1
            numbers = range(first, min(TOTAL, first + int(asked["limit"])))
            fields = [value.removeprefix("data.") for name, value in attempt.request.params if name == PARAM]
            self.sizes.append(int(asked["limit"]))
            if self.fails(self._time(), numbers, fields):
                raise self.trouble
            objects = [{"id": f"price_{each}", **dict.fromkeys(fields, "whole")} for each in numbers]
            body = {"data": objects, "has_more": first + len(objects) < TOTAL}
        self._outage.answered(self._time())
        return body


def read(fails: Fails, trouble: Exception, seconds: float = 100_000) -> tuple[dict[str, set[str]], Shop]:
    """The objects that the pages show, each with its fields, in that order."""

    async def main() -> tuple[dict[str, set[str]], Shop]:
        http = Shop(fails, trouble)
        source = Source(http, LOG, Prices, "acct_1", None)

        async def others() -> None:
            while True:
                await http.get(LOG, "/v1/account")

        asking = asyncio.ensure_future(others())
        shown: dict[str, set[str]] = {}
        async with asyncio.timeout(seconds):
            async for page in read_pages(source, PATH, EXPAND):
                for obj in page.objects:
                    assert obj["id"] not in shown
                    shown[obj["id"]] = obj.keys() - {"id"}
        asking.cancel()
        return shown, http

    return run_on_virtual_time(main())


ALL: Final = {f"price_{number}": {*FIELDS} for number in range(TOTAL)}
TROUBLE: Final = {
    "unavailable": StripeError(503, "no", should_retry=True),
    "no JSON": StripeError(200, "no JSON", should_retry=True),
    "timeout": TimeoutError(),
    "cut": ConnectionResetError("cut"),
}


def test_in_normal_weather_pages_are_whole() -> None:
    shown, http = read(lambda *_: False, TROUBLE["cut"])
    assert shown == ALL
    assert http.sizes == [100, 100, 100]


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize("most", [99, 30, 1])
def test_pages_shrink_until_stripe_renders_them(trouble: Exception, most: int) -> None:
    shown, http = read(lambda _, numbers, fields: len(numbers) > most, trouble)
    assert shown == ALL
    assert len(http.sizes) < 3 * TOTAL / most + 30
    assert not any(size > 2 * most for size in http.sizes[-3:]), "the size is remembered"


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_pages_grow_back_after_trouble_has_passed(trouble: Exception) -> None:
    shown, http = read(lambda now, numbers, _: now < 0.5 and len(numbers) > 1, trouble)
    assert shown == ALL
    assert http.sizes[-1] == DEFAULTS.page_size
    assert not http.page_sizes


def test_fields_that_cannot_be_rendered_together_are_asked_for_one_after_another() -> None:
    """One object after another: of each but the last field can be rendered with what was before it."""
    with_both = {7, 8, 150}
    shown, _ = read(
        lambda _, numbers, fields: len(fields) > 1 and not with_both.isdisjoint(numbers), TROUBLE["timeout"]
    )
    assert shown.keys() == ALL.keys()
    assert [id for id, fields in shown.items() if fields != {*FIELDS}] == [
        f"price_{n}" for n in sorted(with_both)
    ]


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize("bad", [0, 57, TOTAL - 1])
def test_an_object_that_cannot_be_rendered_lacks_that_field_alone_and_is_reported(
    caplog: pytest.LogCaptureFixture, trouble: Exception, bad: int
) -> None:
    shown, _ = read(lambda _, numbers, fields: bad in numbers and "tiers" in fields, trouble)
    assert shown == ALL | {f"price_{bad}": {"product"}}
    (line,) = [each.getMessage() for each in caplog.records if "is captured without" in each.getMessage()]
    assert f"price_{bad} of account acct_1 is captured without tiers" in line


@pytest.mark.parametrize(
    "fails",
    [
        lambda now, numbers, fields: True,
        lambda now, numbers, fields: "tiers" in fields,
        lambda now, numbers, fields: 5 in numbers,
    ],
    ids=["the list", "a field of all", "an object itself"],
)
@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_what_may_pass_leaves_nothing_out(fails: Fails, trouble: Exception) -> None:
    """The unit that reads the list is paused, and tries it again."""
    with pytest.raises(ConnectorError) as it:
        read(fails, trouble)
    assert isinstance(it.value, UnreachableError | StripeError)


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_a_list_that_fails_altogether_is_asked_for_one_object_and_no_other_sizes(trouble: Exception) -> None:
    sizes: list[int] = []

    def fails(_: float, numbers: Collection[int], __: Collection[str]) -> bool:
        sizes.append(len(numbers))
        return True

    with pytest.raises(ConnectorError):
        read(fails, trouble)
    assert [size for size, _ in itertools.groupby(sizes)] == [100, 1]


@pytest.mark.parametrize("seconds", [1, 40, 300])
def test_after_trouble_of_the_whole_list_everything_is_there(seconds: float) -> None:
    """As the unit does, the list is read again after an error."""

    def attempts() -> dict[str, set[str]]:
        begin = 0.0

        def fails(now: float, *_: Any) -> bool:
            return now + begin < seconds

        for _ in range(20):
            try:
                return read(fails, TROUBLE["unavailable"])[0]
            except ConnectorError:
                begin += 100
        raise AssertionError

    assert attempts() == ALL
