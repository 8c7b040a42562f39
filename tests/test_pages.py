"""Pages of a list, one after the other to its end, whatever is deleted in between and whatever ids it has."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.errors import ConnectorError, Scope, StripeError, scope_of
from source_stripe_native.models import Prices
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Page, PageToken, Source, read_page, read_pages
from tests.capture import UNLIMITED
from tests.conftest import NOW

Json = dict[str, Any]
Params = list[tuple[str, str]]

LOG = logging.getLogger("test")
PATH = "/v1/prices"
RANGE = [("created[gte]", str(NOW - 1000)), ("created[lt]", str(NOW))]


@pytest.fixture
async def source(server: StripeServer) -> AsyncIterator[Source]:
    async with StripeSession(server.world.key, base=server.url, settings=UNLIMITED) as http:
        yield Source(http, LOG, Prices, PLATFORM, None)


@asynccontextmanager
async def answering(body: object | Callable[[int], object]) -> AsyncIterator[Source]:
    """A source whose every list is `body`, or what that makes of the number of the request."""
    asked = 0

    async def answer(_: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(body=orjson.dumps(body(asked) if callable(body) else body))

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with StripeSession("sk_test_1", base=f"http://127.0.0.1:{runner.addresses[0][1]}") as http:
            yield Source(http, LOG, Prices, "acct_1", None)
    finally:
        await runner.cleanup()


def stock(world: World, number: int) -> list[Json]:
    """As many prices as listed, newest first, three to a second."""
    for each in range(number):
        world.create("price", created=NOW - 500 + each // 3, event=False)
    return world.list_all("price")


async def rest(source: Source, token: PageToken | None, params: Params) -> list[Json]:
    """What a list has from `token` on, page by page through the text of the token, as a capture reads it."""
    found: list[Json] = []
    for _ in range(10):
        page = await read_page(source, PATH, params, token)
        found += page.objects
        if page.next is None:
            return found
        token = PageToken.parse(str(page.next))
    raise AssertionError("the list has no end")


@pytest.mark.parametrize(
    "number", [0, 1, DEFAULTS.page_size, DEFAULTS.page_size + 1, 2 * DEFAULTS.page_size, 250]
)
async def test_list_is_read_to_its_end_each_object_once(
    world: World, server: StripeServer, source: Source, number: int
) -> None:
    prices = stock(world, number)
    assert await rest(source, None, RANGE) == prices
    assert len(server.journal) == max(1, -(-number // DEFAULTS.page_size))
    assert {each.query["limit"] for each in server.journal} == {"100"}

    pages = [page.objects async for page in read_pages(source, PATH, RANGE)]
    assert [each for page in pages for each in page] == prices
    assert all(len(page) == DEFAULTS.page_size for page in pages[:-1])


async def test_parameters_are_sent_with_every_page(
    world: World, server: StripeServer, source: Source
) -> None:
    stock(world, 150)
    await rest(source, None, [*RANGE, ("active", "true")])
    queries = [dict(each.query) for each in server.journal]
    asked = {"created[gte]": str(NOW - 1000), "created[lt]": str(NOW), "active": "true", "limit": "100"}
    assert queries[0] == asked
    assert queries[1] == asked | {"starting_after": queries[1]["starting_after"]}


# An object that a list was to go on after, gone


async def test_list_goes_on_from_the_second_of_an_object_that_is_gone(
    world: World, server: StripeServer, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    prices = stock(world, 250)
    page = await read_page(source, PATH, RANGE, None)
    assert page.next is not None
    last = prices[DEFAULTS.page_size - 1]
    assert page.next == PageToken(last["id"], last["created"])
    world.delete("price", last["id"], event=False)
    found = await rest(source, page.next, RANGE)
    second = [each for each in prices if each["created"] == last["created"] and each != last]
    assert len(second) == 2, "the second is read again as a whole"
    assert found == [each for each in prices if each["created"] <= last["created"] and each != last]
    assert found[: len(second)] == second
    assert {each.query["created[gte]"] for each in server.journal} == {str(NOW - 1000)}
    assert [each.query["created[lt]"] for each in server.journal][2] == str(last["created"] + 1)
    assert last["id"] in str(caplog.records[-1].args)


async def test_list_may_begin_with_a_second_further_down(
    world: World, server: StripeServer, source: Source
) -> None:
    prices = stock(world, 250)
    below = int(prices[120]["created"])
    assert await rest(source, PageToken(None, below), RANGE) == [
        each for each in prices if each["created"] <= below
    ]
    assert {each.query["created[gte]"] for each in server.journal} == {str(NOW - 1000)}


@pytest.mark.parametrize("params", [RANGE, []])
async def test_list_is_read_again_from_the_top_where_the_time_of_the_gone_object_is_of_no_use(
    world: World, source: Source, params: Params
) -> None:
    prices = stock(world, 150)
    token = PageToken("price_gone") if params else PageToken("price_gone", prices[99]["created"])
    assert await rest(source, token, params) == prices


async def test_other_refusals_of_a_page_are_raised_and_name_the_stream(source: Source) -> None:
    with pytest.raises(StripeError, match=r"^Prices: .* Received unknown parameter: nonsense"):
        await read_page(source, PATH, [("nonsense", "1")], PageToken("price_gone", NOW))
    with pytest.raises(StripeError, match=r"^Prices: .* Unrecognized request URL"):
        await read_page(source, "/v1/nowhere", [], PageToken("price_gone", NOW))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(query="starting_after", status=400, code="resource_missing", message="No such price", times=1),
        Fault(query="starting_after", status=404, code="resource_missing", message="No such price", times=1),
        Fault(query="starting_after", status=403, message="No such luck", times=1),
    ],
)
async def test_refusal_that_only_looks_like_a_gone_object_is_raised(
    world: World, server: StripeServer, source: Source, fault: Fault
) -> None:
    prices = stock(world, 150)
    server.faults.set(fault)
    with pytest.raises(StripeError, match="No such"):
        await read_page(source, PATH, RANGE, PageToken.after_object(prices[0]))
    assert len(server.journal) == 1


# What a checkpoint keeps between two pages

ids = (
    st.text()
    | st.text(max_size=3).map("{".__add__)
    | st.sampled_from(
        [
            "price_1",
            "{odd",
            "{}",
            '{"after": "x", "created": 1}',
            ' {"after": "x", "created": 1}',
            "7",
            "null",
            '"x"',
        ]
    )
)


@given(
    st.builds(PageToken, ids, st.none() | st.integers(-(2**53), 2**53))
    | st.builds(PageToken, st.none(), st.integers(-(2**53), 2**53))
)
@example(PageToken('{"after": "x", "created": 1}'))
@example(PageToken('{"after":"x","created":null}'))
@example(PageToken("{odd"))
@example(PageToken("{odd", 0))
def test_token_is_read_as_it_was_written(token: PageToken) -> None:
    assert PageToken.parse(str(token)) == token


@given(ids.filter(lambda each: not each.startswith("{")))
def test_token_of_an_older_state_is_an_id_as_it_is(object_id: str) -> None:
    assert PageToken.parse(object_id) == PageToken(object_id)
    assert str(PageToken(object_id)) == object_id


@pytest.mark.parametrize(
    "text", ["{odd", "{}", "{", '{"a": 1}', '{"after": 7, "created": 1}', '{"after": "x"}', '{"created": 1}']
)
def test_text_that_only_looks_like_a_token_is_an_id(text: str) -> None:
    assert PageToken.parse(text) == PageToken(text)


@pytest.mark.parametrize(
    ("last", "token"),
    [
        ({"id": "price_1", "created": 7}, PageToken("price_1", 7)),
        ({"id": "acct_1"}, PageToken("acct_1")),
        ({"id": "acct_1", "created": None}, PageToken("acct_1")),
        ({"id": "ii_1", "created": "7"}, PageToken("ii_1")),
    ],
)
def test_token_keeps_the_time_where_the_object_tells_it(last: Json, token: PageToken) -> None:
    assert PageToken.after_object(last) == token


# What a list looks like


def envelope(**fields: object) -> Json:
    return {
        "object": "list",
        "url": PATH,
        "data": [{"id": "price_1", "created": 7}],
        "has_more": False,
    } | fields


async def test_new_fields_of_a_list_are_welcome_and_objects_pass_as_they_are() -> None:
    data = [{"id": "price_1", "created": 7, "new": {"deep": [None, 1.5, True]}}]
    async with answering(envelope(data=data, total_count=1, next_page_url=None)) as source:
        assert await read_page(source, PATH, [], None) == Page(data, None)
    async with answering(envelope(data=data, has_more=True)) as source:
        assert await read_page(source, PATH, [], None) == Page(data, PageToken("price_1", 7))


MALFORMED = {
    "no data": ({"has_more": False}, "data is missing or wrong"),
    "no has_more": ({"data": []}, "has_more is missing or wrong"),
    "an object": ({"id": "price_1", "object": "price"}, "data, has_more is missing or wrong"),
    "data is no list": (envelope(data={}), "data is missing or wrong"),
    "data is null": (envelope(data=None), "data is missing or wrong"),
    "has_more is a text": (envelope(has_more="false"), "has_more is missing or wrong"),
    "has_more is a number": (envelope(has_more=0), "has_more is missing or wrong"),
    "many wrong objects": (envelope(data=["a"] * 100), "as data.0, data.1, data.2 is missing or wrong"),
    "more after nothing": (envelope(data=[], has_more=True), "no new id at its end"),
}


@pytest.mark.parametrize(("body", "problem"), MALFORMED.values(), ids=MALFORMED)
async def test_answer_that_is_no_list_is_one_error_that_says_so(
    body: Json, problem: str, waits: list[float]
) -> None:
    async with answering(body) as source:
        with pytest.raises(ConnectorError) as it:
            await read_page(source, PATH, [], None)
    message = str(it.value)
    assert message.startswith(f"Prices: Stripe's answer to GET {PATH} for account acct_1 ")
    assert problem in message
    assert message.endswith("report this line if that does not help.")


NO_PAGE = {
    **{name: body for name, (body, _) in MALFORMED.items()},
    "more after the object before": envelope(has_more=True),
}


@pytest.mark.parametrize("odd", NO_PAGE.values(), ids=NO_PAGE)
@pytest.mark.parametrize("times", range(1, 4))
async def test_what_is_no_page_is_asked_for_again_a_few_times(
    waits: list[float], odd: Json, times: int
) -> None:
    def body(number: int) -> Json:
        return envelope(has_more=True) if number == 1 else odd if number < 2 + times else envelope(data=[])

    async with answering(body) as source:
        first = await read_page(source, PATH, [], None)
        if times < DEFAULTS.page_attempts:
            assert await read_page(source, PATH, [], first.next) == Page([], None)
        else:
            with pytest.raises(ConnectorError) as failure:
                await read_page(source, PATH, [], first.next)
            # Its stream is paused, and reads it again.
            assert scope_of(failure.value) is Scope.UNIT
    assert len(waits) == min(times, DEFAULTS.page_attempts - 1)
    assert all(0.5 <= wait <= 3 for wait in waits)


@pytest.mark.parametrize("has_more", [False, True])
@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        ({"created": 7}, "an object has no text as its id, but None"),
        ({"id": 7}, "an object has no text as its id, but 7"),
        ({"id": ""}, "an object has no text as its id, but ''"),
    ],
)
async def test_object_that_cannot_be_captured_is_one_error_that_says_so(
    odd: Json, problem: str, has_more: bool
) -> None:
    data = [{"id": "price_1", "created": 7}, odd, {"id": "price_3", "created": 7}]
    async with answering(envelope(data=data, has_more=has_more)) as source:
        with pytest.raises(ConnectorError) as it:
            await read_page(source, PATH, [], None)
    message = str(it.value)
    assert message.startswith(f"Prices: {problem}")
    assert f"in Stripe's answer to GET {PATH} for account acct_1." in message
    assert "report this line" in message


async def test_list_that_does_not_go_on_is_an_error_and_no_endless_loop(waits: list[float]) -> None:
    async with answering(envelope(has_more=True)) as source:
        pages = read_pages(source, PATH, [])
        assert (await anext(pages)).objects == envelope()["data"]
        with pytest.raises(ConnectorError, match="no new id at its end"):
            await anext(pages)


async def test_list_that_ends_where_it_began_is_at_its_end() -> None:
    async with answering(lambda number: envelope(has_more=number == 1)) as source:
        assert len([page async for page in read_pages(source, PATH, [])]) == 2
