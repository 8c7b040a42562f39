"""Ids in paths. Users chose the ids of old customers, plans, coupons and products freely: whatever an id has
in it, it is one segment of a path."""

import re
from typing import Final
from urllib.parse import quote, unquote

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.stripe import StripeServer, World
from sandbox.stripe.kind import Kind
from source_stripe_native.models import Accounts, BaseStripeObject, Cards
from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.streams.row import segment
from source_stripe_native.stripe.documents import get_path, list_request
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import Capture, Json
from tests.conftest import NOW
from tests.test_catalogue import BEFORE_BASIL, kind_of
from tests.test_client import LOG, serving, session
from tests.test_documents import CONTROLLED, DAY
from tests.test_streams import HELD, ONE_BY_ONE, one_of_each, rows

NASTY: Final = ["a#b", "team/7", "50%25off", "who?", "..", ".", "cards", "a b+c&d=e", "é", "/", "%2e%2e"]
ACCOUNTS: Final = [f"acct_{each}" for each in NASTY if each.isascii()]
"""Accounts' ids begin so, and are sent in a header too."""
CHILDREN: Final = 12
"""More than Stripe shows inside an object."""


WITH_PARENT: Final = [each for each in ONE_BY_ONE if "{parent}" in each.SEARCH_NAME]
EVENTED: Final = [each for each in ONE_BY_ONE if each.EVENT_TYPES and each is not Accounts]
"""Of accounts only the key's own has events that the key reads, and it has no such id."""
WITH_ID: Final = [
    each for each in ONE_BY_ONE if each in WITH_PARENT or (each.RETRIEVE and each.EVENT_TYPES) or each.NESTED
]
"""Streams that are read at some path with an id in it."""


def shape(row: type[BaseStripeObject]) -> tuple[object, ...]:
    """How a path with an id comes about."""
    lists = (row.NESTED, row.EXPANSIONS, row.EMBEDDINGS, row.INCLUDES)
    return (row.RETRIEVE, row.PARENT is None, *map(bool, lists), HELD[row.NAME].scope, row.API)


def fill(world: World, kind: Kind) -> None:
    """Objects with every nasty id, and children under parents with every nasty id, more than Stripe shows."""
    old: Json = {"at": NOW - DAY, "event": False}
    link = kind.parent
    # For which Stripe keeps usage records.
    world.create("price", recurring={"interval": "month", "usage_type": "metered", "meter": None}, **old)
    shown: Json = {each.field: CHILDREN for each in kind.nested if each.shown}
    if kind.name == "account" or (link and link.kind == "account"):
        for account in ACCOUNTS:
            world.connect(id=account, controller=CONTROLLED, created=NOW - DAY)
            for _ in range(CHILDREN):
                world.create("external_card" if kind.name == "account" else kind.name, account, **old)
        return
    for number, nasty in enumerate(NASTY):
        parent = {link.argument: world.create(link.kind, id=nasty, **old)["id"]} if link else {}
        for _ in range(CHILDREN if link else 0):
            world.create(kind.name, **old, **parent)
        world.create(kind.name, id=f"{nasty}{number}" if link else nasty, **old, **parent, **shown)


@pytest.mark.parametrize(
    ("stream", "escaped_urls"),
    [
        *((row, False) for row in one_of_each(WITH_ID, shape)),
        # Only the lists inside an object are read at the url that the object names.
        *((row, True) for row in WITH_ID if row.NESTED),
    ],
)
async def test_objects_and_children_of_any_id_are_captured_whole(
    stream: type[BaseStripeObject], escaped_urls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, held = World(now=NOW, escaped_urls=escaped_urls), HELD[stream.NAME]
    fill(world, kind_of(stream))
    config = {"advanced": {"api_version": BEFORE_BASIL}} if stream.UNTIL_VERSION else {}
    async with StripeServer(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        capture = await Capture(
            server, [stream.NAME], connected=held.scope != "own", config=config
        ).backfill()
        refused = [each for each in server.journal if each.status == 404]
    captured = capture.last(stream.NAME)
    assert refused == []
    accounts = ACCOUNTS if held.scope == "connected" else [world.platform]
    assert captured.keys() == {
        each["id"] for account in accounts for each in world.list_all(held.kind, account)
    }
    assert len(captured) >= len(ACCOUNTS)
    for nested in stream.NESTED:
        lists = [get_path(each, nested) for each in captured.values()]
        assert all(not each["has_more"] for each in lists if each)


def tell_in_another_version(world: World, stream: type[BaseStripeObject]) -> None:
    """An event of each object, which carries it as another API version shows it."""
    told = next(each for each, op in stream.EVENT_TYPES.items() if op != "d")
    kind = kind_of(stream).name
    for account in world.accounts:
        for each in world.list_all(kind, account):
            world.tell(told, kind, each["id"], account, api_version="2022-11-15")


@pytest.mark.parametrize("stream", rows(one_of_each(EVENTED, shape)))
async def test_an_object_of_any_id_is_read_again(
    stream: type[BaseStripeObject], world: World, server: StripeServer
) -> None:
    fill(world, kind_of(stream))
    capture = await Capture(server, [stream.NAME], connected=HELD[stream.NAME].scope != "own").backfill(
        pause=10
    )
    tell_in_another_version(world, stream)
    server.journal.clear()
    before = capture.last(stream.NAME)
    documents = await capture.catch_up()
    assert {each["id"] for each in documents if each["_meta"]["op"] != "d"} == before.keys()
    assert [each.path for each in server.journal if each.status == 404] == []


# Paths themselves

TEXTS: Final = (
    st.text(min_size=1) | st.text("./%?#&=+ \\aé2e", min_size=1, max_size=6) | st.sampled_from(NASTY)
)


def ids_in(path: str, template: str) -> list[str]:
    """The decoded ids of a path that was made from `template`."""
    parts, names = path.split("/")[2:], template.split("/")
    assert len(parts) == len(names), "each id is one segment"
    assert not {".", ".."} & set(parts), "no segment leads out of the path"
    assert all(part == name or name.startswith("{") for part, name in zip(parts, names, strict=True))
    return [unquote(part) for part, name in zip(parts, names, strict=True) if name.startswith("{")]


@given(st.sampled_from(WITH_PARENT), TEXTS)
def test_the_path_of_children_names_their_parent_in_one_segment(
    stream: type[BaseStripeObject], parent: str
) -> None:
    path = stream.list_path(parent)
    assert ids_in(path, stream.SEARCH_NAME) == [parent]
    assert endpoint_of(path) == endpoint_of(stream.list_path("x"))


@given(
    st.sampled_from(EVENTED), st.dictionaries(st.sampled_from(["id", "customer", "account", "fee"]), TEXTS)
)
def test_the_path_of_an_object_names_it_in_one_segment(
    stream: type[BaseStripeObject], found: dict[str, str]
) -> None:
    template = stream.RETRIEVE.replace("{SEARCH_NAME}", stream.SEARCH_NAME)
    fields = re.findall(r"{(\w+)}", template)
    path = stream.object_path(found)
    if not fields or not found.keys() >= set(fields):
        assert path is None
        return
    assert path is not None
    assert ids_in(path, template) == [found[name] for name in fields]
    assert endpoint_of(path) == endpoint_of(f"/{stream.API}/{template}")


@pytest.mark.parametrize("value", [None, "", 7, {"id": "cus_1"}])
def test_an_object_without_the_id_of_its_owner_has_no_path(value: object) -> None:
    assert Cards.object_path({"id": "card_1", "customer": value}) is None


@given(TEXTS)
@example("v1/customers")
@example("sources")
@example("x/sources")
@example("50%off")
def test_the_url_of_a_list_leads_to_its_owner_whether_its_id_is_escaped_or_not(owner: str) -> None:
    path, query = f"/v1/customers/{segment(owner)}/sources", f"/v1/file_links?file={quote(owner, safe='')}"
    for url in (f"/v1/customers/{owner}/sources", path):
        assert list_request(url, owner) == (path, [])
    for url in (f"/v1/file_links?file={owner}", query):
        assert list_request(url, owner) == ("/v1/file_links", [("file", owner)])


@pytest.mark.parametrize(
    "url", ["/v1/%2e%2e/v2/x", "/v1/a%23c/sources", "/v1/x%2Fy", "/v2/a#b/x", "/v1/a#b/../x", "/v2/a#b/../x"]
)
def test_no_other_segment_of_a_url_may_have_an_escape(url: str) -> None:
    assert list_request(url, "a#b") is None


@pytest.mark.parametrize(
    "path", ["/v1/customers/%2E%2E/cards", "/v1/x/a%2Fb%25%3F%23%C3%A9", "/v1/x/a%20b+c"]
)
async def test_a_path_is_sent_as_it_is(path: str) -> None:
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.raw_path)
        return web.json_response({})

    async with serving(answer) as base, session(base) as stripe:
        await stripe.get(LOG, path, [("limit", "1")])
    assert asked == [f"{path}?limit=1"]
