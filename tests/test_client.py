"""The way to Stripe: where the key may go, what is tried again and for how long, how fast, and what time it
is. No test waits between attempts: the waits are recorded."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.errors import ConnectorError, StripeError
from source_stripe_native.stripe.attempts import MAX_RETRY_AFTER, Attempt, Request, Traffic
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.rate_limit import Priority, RateLimiter, Turn, Urgency
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE, api_base
from source_stripe_native.stripe.wire import json_object
from tests.capture import UNLIMITED, Capture
from tests.conftest import NOW

LOG = logging.getLogger("test")
PATH = "/v1/prices"

# For a test without a loop, looptime asks for the current one, which Python would make and nobody close.
asyncio.set_event_loop(None)


def session(
    server: StripeServer | str, key: str = "sk_test_Sandbox00000000000000000", **options: Any
) -> StripeSession:
    base = server if isinstance(server, str) else server.url
    return StripeSession(key, base=base, **{"settings": UNLIMITED, **options})


@asynccontextmanager
async def serving(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """The address of a server that answers what the local Stripe never would."""
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# Where the key may go


@pytest.mark.parametrize(
    ("address", "base"),
    [
        ("", "https://api.stripe.com"),
        ("  ", "https://api.stripe.com"),
        ("https://api.stripe.com", "https://api.stripe.com"),
        ("https://api.stripe.com/", "https://api.stripe.com"),
        (" https://api.stripe.com\n", "https://api.stripe.com"),
        ("HTTPS://API.STRIPE.COM", "HTTPS://API.STRIPE.COM"),
        ("https://stripe.example.com:8443", "https://stripe.example.com:8443"),
        ("https://10.0.0.7", "https://10.0.0.7"),
        ("http://127.0.0.1:12111", "http://127.0.0.1:12111"),
        ("http://127.8.8.8", "http://127.8.8.8"),
        ("http://localhost:65535/", "http://localhost:65535"),
        ("http://LocalHost", "http://LocalHost"),
        ("http://[::1]:12111", "http://[::1]:12111"),
    ],
)
def test_base_address_is_https_or_this_machine(address: str, base: str) -> None:
    assert api_base({API_BASE_VARIABLE: address, "HOME": "/"}) == base


def test_base_address_is_stripes_own_where_none_is_set() -> None:
    assert api_base({}) == "https://api.stripe.com"


@pytest.mark.parametrize(
    "address",
    [
        "http://api.stripe.com",
        "http://10.0.0.7",
        "http://0.0.0.0:80",
        "http://192.168.0.1",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.1",
        "http://[::2]",
        "http://127.0.0.1@example.com",
        "https://user:hunter2@example.com",
        "https://hunter2@example.com",
        "https://api.stripe.com/v1",
        "https://api.stripe.com?x=1",
        "https://api.stripe.com#x",
        "https://api.stripe.com:70000",
        "https://api.stripe.com:https",
        "https://api.stripe.com:-1",
        "https://",
        "https://:443",
        "https:///v1",
        "https://exa mple.com",
        "https://exam\nple.com",
        "https://[::1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "api.stripe.com",
        "localhost:12111",
        "yes",
    ],
)
def test_any_other_base_address_is_refused_in_a_line_that_says_what_to_set(address: str) -> None:
    with pytest.raises(
        ConnectorError, match="STRIPE_API_BASE must be https://HOST, or http://HOST for this"
    ) as it:
        api_base({API_BASE_VARIABLE: address})
    assert "hunter2" not in str(it.value)
    assert len(it.value.errors) == 1
    assert "\n" not in str(it.value)


@pytest.mark.parametrize(
    "key", ["", " ", "sk_test_1234 ", "sk_test_1234\n", "sk_test_12\r\nX: y", "sk_test_ü"]
)
def test_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConnectorError, match=r"credentials\.access_token is empty or has") as it:
        StripeSession(key, base="http://127.0.0.1")
    assert "1234" not in str(it.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_an_error_and_takes_the_key_nowhere(status: int, waits: list[float]) -> None:
    visits = []

    async def elsewhere(request: web.BaseRequest) -> web.Response:
        visits.append(request.path)
        return web.json_response({})

    async with serving(elsewhere) as other:

        async def redirect(_: web.BaseRequest) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{other}{PATH}"})

        async with serving(redirect) as base, session(base) as stripe:
            with pytest.raises(StripeError, match="Redirects are not followed") as it:
                await stripe.get(LOG, PATH)
    assert it.value.status == status
    assert visits == []
    assert waits == []


INVALID_KEY = Fault(status=401, message="Invalid API Key provided: sk_test_************0000")


@pytest.mark.parametrize(
    ("key", "fault", "is_local"),
    [
        ("sk_test_Sandbox00000000000000000", INVALID_KEY, True),
        ("rk_live_Sandbox00000000000000001", INVALID_KEY, True),
        ("sk_test_51AbcSandbox", INVALID_KEY, False),
        ("sk_test_Sandbox00000000000000000", Fault(status=401, code="api_key_expired"), False),
    ],
)
async def test_key_of_a_local_stripe_that_another_does_not_know_gets_a_hint(
    server: StripeServer, key: str, fault: Fault, is_local: bool
) -> None:
    server.faults.set(fault)
    async with session(server, key) as stripe:
        with pytest.raises(StripeError) as it:
            await stripe.get(LOG, PATH)
    hint = f"one of the local Stripe, which {server.url} does not know: set STRIPE_API_BASE to the address"
    assert (hint in str(it.value)) == is_local
    assert it.value.stripe_message in str(it.value)
    assert key not in str(it.value)


# What is sent


async def test_requests_act_as_the_account_named_under_the_version_pinned(server: StripeServer) -> None:
    account = server.world.connect()["id"]
    async with session(server) as stripe:
        await stripe.get(LOG, PATH)
        assert stripe.account_version == server.world.api_version
        stripe.version = "2020-08-27"
        await stripe.get(LOG, PATH, account_id=account)
        assert stripe.account_version == server.world.api_version, "what is pinned is not the account's own"
    assert [(each.account, each.version) for each in server.journal] == [
        (PLATFORM, ""),
        (account, "2020-08-27"),
    ]


@pytest.mark.parametrize("value", ["a b", "a+b", "a&b=c", "50%25", "a/b?c#d", "ключ", "{odd", '"'])
async def test_parameters_arrive_as_they_are(value: str) -> None:
    async def echo(request: web.BaseRequest) -> web.Response:
        return web.json_response(dict(parse_qsl(request.rel_url.raw_query_string)))

    params = [("starting_after", value), ("created[gte]", "7")]
    async with serving(echo) as base, session(base) as stripe:
        assert await stripe.get(LOG, PATH, params) == dict(params)


# What is tried again

PASSING = {
    "rate limit": Fault(status=429, code="rate_limit", message="Request rate limit exceeded."),
    "rate limit before 2015-09-08": Fault(status=400, code="rate_limit"),
    "lock timeout": Fault(status=429, code="lock_timeout", message="This object cannot be accessed"),
    "conflict": Fault(status=409),
    "request timeout": Fault(status=408),
    "dependency failed": Fault(status=424),
    "too early": Fault(status=425),
    "internal error": Fault(status=500),
    "bad gateway": Fault(status=502),
    "unavailable": Fault(status=503),
    "no answer": Fault(reset=True),
    "half a body": Fault(truncate=True),
    "told not to after a 500": Fault(status=500, headers={"Stripe-Should-Retry": "false"}),
    "a limit of one object": Fault(status=429, headers={"Stripe-Rate-Limited-Reason": "resource-specific"}),
    "told to": Fault(status=400, headers={"Stripe-Should-Retry": "true"}),
}


def twice(fault: Fault) -> Fault:
    return Fault(**{**vars(fault), "times": 2})


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_failure_that_may_pass_is_tried_again_with_backoff(
    server: StripeServer, waits: list[float], caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    price = server.world.create("price")
    server.faults.add(twice(fault))
    async with session(server) as stripe:
        found = await stripe.get(LOG, PATH)
    assert found["data"] == [price]
    assert len(server.journal) == 3
    if fault.code == "rate_limit":
        assert not waits, "the request queues again"
        return
    assert [0.5 * 2**number <= wait <= 0.5 * 2**number + 1 for number, wait in enumerate(waits)] == [True] * 2
    warned = [each.args for each in caplog.records if each.levelno == logging.WARNING]
    assert [each["attempt"] for each in warned if isinstance(each, dict)] == [2]


PERMANENT = {
    "bad request": Fault(status=400),
    "card declined": Fault(status=402),
    "forbidden": Fault(status=403),
    "not found": Fault(status=404),
    "teapot": Fault(status=418),
    "not modified": Fault(status=304),
    "told not to after a 429": Fault(status=429, headers={"Stripe-Should-Retry": "false"}),
    "told not to after a 409": Fault(status=409, headers={"Stripe-Should-Retry": "false"}),
    "told neither": Fault(status=404, headers={"Stripe-Should-Retry": "perhaps"}),
}


@pytest.mark.parametrize("fault", PERMANENT.values(), ids=PERMANENT)
async def test_failure_that_will_not_pass_is_raised_at_once(
    server: StripeServer, waits: list[float], fault: Fault
) -> None:
    server.faults.add(fault)
    async with session(server) as stripe:
        with pytest.raises(StripeError) as it:
            await stripe.get(LOG, PATH)
    assert it.value.status == fault.status
    assert len(server.journal) == 1
    assert waits == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Sign in to the airport's network</html>", b"[]", b'"text"', b'{"object": "list", "da'],
)
async def test_body_that_is_no_json_object_is_asked_for_again(waits: list[float], body: bytes) -> None:
    asked = 0

    async def answer(_: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(body=body if asked < 3 else b'{"id": "acct_1"}')

    async with serving(answer) as base, session(base) as stripe:
        assert await stripe.get(LOG, "/v1/account") == {"id": "acct_1"}
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (rb'"Zo\ud83d"', "Zo\ufffd"),
        (rb'"\udc00\ud83d\ude00\ud83d!"', "\ufffd\U0001f600\ufffd!"),
        (rb'"a\\ud83d"', "a\\ud83d"),
        (rb'{"\ud83dk": ["\udfff"]}', {"\ufffdk": ["\ufffd"]}),
        (b'"caf\xe9 \xed\xa0\xbd"', "caf\ufffd \ufffd\ufffd\ufffd"),
        (b'"tab\there"', "tab\there"),
        (b"[NaN, Infinity, -Infinity, 1e999]", [None] * 4),
        (b"[NaN, 1.5, 18446744073709551615, -9223372036854775808]", [None, 1.5, 2**64 - 1, -(2**63)]),
        (b"[NaN, 18446744073709551616, -9223372036854775809]", [None, 2.0**64, -(2.0**63)]),
        (b"[18446744073709551616, -9223372036854775809]", [2.0**64, -(2.0**63)]),
        (b"9" * 5000, None),
    ],
)
async def test_body_that_a_lenient_parser_reads_is_read_and_can_be_written(
    waits: list[float], body: bytes, read: object
) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b'{"value": %b}' % body)

    async with serving(answer) as base, session(base) as stripe:
        found = await stripe.get(LOG, PATH)
    assert found == {"value": read}
    assert repr(found) == repr({"value": read}), "doubles stay doubles"
    assert orjson.loads(orjson.dumps(found)) == found
    assert waits == []


async def test_byte_order_mark_is_skipped() -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b'\xef\xbb\xbf{"id": "acct_1"}')

    async with serving(answer) as base, session(base) as stripe:
        assert await stripe.get(LOG, PATH) == {"id": "acct_1"}


json_texts = st.text(st.characters(codec=None, exclude_categories=[]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | json_texts,
    lambda inner: st.lists(inner) | st.dictionaries(json_texts, inner),
    max_leaves=20,
)


@settings(max_examples=25)
@given(st.dictionaries(json_texts, json_values), st.booleans())
def test_any_json_is_read_so_that_it_can_be_written_and_any_cut_of_it_is_refused(
    value: dict[str, object], escaped: bool
) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    read = json_object(body)
    assert read is not None
    assert json_object(orjson.dumps(read)) == read
    assert all(json_object(body[:end]) is None for end in range(len(body)))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "an empty body"),
        (b"<h1>\nBad gateway</h1>", "<h1> Bad gateway</h1>"),
        (b'{"error": "no object"}', '{"error": "no object"}'),
        (b'{"error": {"message": null, "code": 7}}', '{"error": {"message": null, "code": 7}}'),
        (b"\xff\xfe", "��"),
        (b'["sk_live_0123456789"]', '["sk_live_..."]'),
    ],
)
async def test_error_that_is_not_as_stripe_writes_them_is_shown_as_it_came(body: bytes, message: str) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=404, body=body)

    async with serving(answer) as base, session(base) as stripe:
        with pytest.raises(StripeError) as it:
            await stripe.get(LOG, PATH)
    assert it.value.stripe_message == message


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("60", 60.0),
        ("86400", MAX_RETRY_AFTER),
        ("0", None),
        ("-5", None),
        ("nan", None),
        ("soon", None),
        ("Fri, 31 Dec 2027 23:59:59 GMT", None),
    ],
)
async def test_retry_after_is_honoured_within_bounds(
    server: StripeServer, waits: list[float], header: str, wait: float | None
) -> None:
    server.faults.add(Fault(status=429, headers={"Retry-After": header}, times=1))
    async with session(server) as stripe:
        await stripe.get(LOG, PATH)
    assert waits == ([wait] if wait else []), "the request queues again"


async def test_retry_after_does_not_outlast_the_patience(server: StripeServer, waits: list[float]) -> None:
    server.faults.add(Fault(status=429, headers={"Retry-After": "60"}, times=1))
    async with session(server, patience=timedelta(seconds=10)) as stripe:
        await stripe.get(LOG, PATH)
    assert waits == [10.0]


async def test_backoff_grows_to_half_a_minute(server: StripeServer, waits: list[float]) -> None:
    server.faults.add(Fault(status=500, times=9))
    async with session(server) as stripe:
        await stripe.get(LOG, PATH)
    floors = [min(30.0, 0.5 * 2**number) for number in range(9)]
    assert all(low <= wait <= min(30.0, low + 1) for low, wait in zip(floors, waits, strict=True))


# A key that is replaced

EXPIRED = Fault(status=401, code="api_key_expired", message="Expired API Key provided: sk_test_***")
LIFTED = timedelta(minutes=1)


@pytest.mark.parametrize(
    "message", ["Expired API Key provided: sk_test_***", "Invalid API Key provided: x", ""]
)
async def test_key_that_worked_before_is_tried_again(
    server: StripeServer, waits: list[float], message: str
) -> None:
    async with session(server, settings=replace(UNLIMITED, key_patience=LIFTED)) as stripe:
        await stripe.get(LOG, PATH)
        server.faults.add(Fault(status=401, message=message, times=3))
        await stripe.get(LOG, PATH)
    assert len(server.journal) == 5
    assert len(waits) == 3


async def test_key_that_stays_refused_is_an_error_after_its_patience(
    server: StripeServer, waits: list[float]
) -> None:
    began = time.monotonic()
    async with session(server, settings=replace(UNLIMITED, key_patience=timedelta(seconds=0.1))) as stripe:
        await stripe.get(LOG, PATH)
        server.faults.add(EXPIRED)
        with pytest.raises(StripeError, match=r"^The API key was revoked or has expired: create a new key"):
            await stripe.get(LOG, PATH)
    assert waits
    assert 0.1 <= time.monotonic() - began < 10


async def test_key_that_never_worked_is_refused_at_once(server: StripeServer, waits: list[float]) -> None:
    server.faults.add(EXPIRED)
    async with session(server, settings=replace(UNLIMITED, key_patience=LIFTED)) as stripe:
        for _ in range(2):
            with pytest.raises(StripeError):
                await stripe.get(LOG, PATH)
    assert waits == []


async def test_refusals_that_are_not_about_the_key_itself_are_raised_at_once(
    server: StripeServer, waits: list[float]
) -> None:
    message = "The provided key 'rk_live_***' does not have the required permissions for this endpoint"
    async with session(server, settings=replace(UNLIMITED, key_patience=LIFTED)) as stripe:
        await stripe.get(LOG, PATH)
        for fault in (Fault(status=401, message=message), Fault(status=403)):
            server.faults.set(fault)
            with pytest.raises(StripeError):
                await stripe.get(LOG, PATH)
    assert waits == []


@pytest.mark.parametrize("verb", ["discover", "validate"])
async def test_key_is_refused_at_once_where_a_person_waits(
    server: StripeServer, waits: list[float], verb: str
) -> None:
    server.faults.add(Fault(**{**vars(EXPIRED), "after": 1}))
    key = server.world.restrict({"account", "event", "price"})
    capture = Capture(server, settings=replace(UNLIMITED, key_patience=LIFTED), key=key)
    with pytest.raises(SystemExit):
        await getattr(capture, verb)()
    assert waits == []


async def test_running_capture_outlives_a_key_that_is_replaced(
    server: StripeServer, waits: list[float]
) -> None:
    server.world.create("price", event=False)
    server.faults.add(Fault("/v1/prices", status=401, message="Invalid API Key provided: x", times=2))
    capture = await Capture(server, settings=replace(UNLIMITED, key_patience=LIFTED)).backfill()
    assert len(capture.last()) == 1


# For how long

# Far longer than an answer takes on a busy machine.
IMPATIENT = timedelta(seconds=1)


async def test_refusals_without_end_are_one_error_that_names_them(
    server: StripeServer, waits: list[float]
) -> None:
    account = server.world.connect()["id"]
    server.faults.add(Fault(status=503, message="Try later"))
    began = time.monotonic()
    async with session(server, patience=IMPATIENT) as stripe:
        with pytest.raises(StripeError) as it:
            await stripe.get(LOG, PATH, account_id=account)
    assert IMPATIENT.total_seconds() <= time.monotonic() - began < 10
    assert str(it.value) == (
        "Stripe fails to answer: see its status page. "
        f"Stripe answered 503 to GET {PATH} for account {account}: Try later (request {it.value.request_id})"
    )
    assert it.value.request_id == f"req_{len(server.journal):014}"
    assert len(server.journal) > 1
    assert waits


async def test_broken_connections_without_end_are_one_error_that_names_them(
    server: StripeServer, waits: list[float]
) -> None:
    account = server.world.connect()["id"]
    server.faults.add(Fault(reset=True))
    async with session(server, patience=IMPATIENT) as stripe:
        with pytest.raises(ConnectorError) as it:
            await stripe.get(LOG, PATH, account_id=account)
    assert str(it.value).startswith(f"Stripe could not be reached at {server.url} for 1 second: check the")
    assert f"GET {PATH} for account {account} failed: Server disconnected" in str(it.value)
    assert len(server.journal) > 1


async def test_nobody_at_the_address_is_said_in_the_systems_words(waits: list[float]) -> None:
    async with serving(lambda _: asyncio.sleep(0, web.Response())) as base:
        pass
    async with session(base, patience=IMPATIENT) as stripe:
        with pytest.raises(ConnectorError, match=rf"could not be reached at {base} .* Connect call failed"):
            await stripe.get(LOG, PATH)


async def test_server_that_never_answers_does_not_outlast_the_patience() -> None:
    async def never(_: web.BaseRequest) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    began = time.monotonic()
    async with serving(never) as base, session(base, patience=IMPATIENT) as stripe:
        with pytest.raises(ConnectorError, match=f"GET {PATH} failed: TimeoutError"):
            await stripe.get(LOG, PATH)
    assert time.monotonic() - began < 10


async def lines_of(
    server: StripeServer, caplog: pytest.LogCaptureFixture, fault: Fault, level: int = logging.DEBUG
) -> list[dict[str, Any]]:
    """The lines that a request for a connected account leaves in the log at `level`, each with its level."""
    account = server.world.connect()["id"]
    server.faults.set(fault)
    caplog.clear()
    with caplog.at_level(level, LOG.name):
        async with session(server) as stripe:
            with suppress(StripeError):
                await stripe.get(LOG, PATH, account_id=account)
    args = [(each.levelname, each.args) for each in caplog.records if each.name == LOG.name]
    lines = [{"level": name, **each} for name, each in args if isinstance(each, dict)]
    assert len(lines) == len(args)
    assert all(each.pop("account") == account and each.pop("path") == PATH for each in lines)
    assert all(each.pop("method") == "GET" and each.pop("ms") >= 0 for each in lines)
    assert all(each.pop("limit") == UNLIMITED.requests_test for each in lines)
    return lines


@pytest.mark.parametrize("fault", [*PASSING.values(), *PERMANENT.values()], ids=[*PASSING, *PERMANENT])
async def test_each_attempt_is_one_line_at_debug(
    server: StripeServer, waits: list[float], caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    lines = await lines_of(server, caplog, twice(fault))
    is_for_rate = fault.code == "rate_limit"
    assert [each["attempt"] for each in lines] == [
        1 if is_for_rate else number for number in range(1, len(server.journal) + 1)
    ]
    for number, line in enumerate(lines[:2], start=1):
        status = 200 if fault.truncate else fault.status
        assert line.get("status") == (None if fault.reset else status)
        assert line.get("request_id") == (None if fault.reset else f"req_{number:014}")
        assert line["error"]
        is_warned = number == 2 and len(lines) > 2 and not is_for_rate
        assert line["level"] == ("WARNING" if is_warned else "DEBUG")
    for line in lines[2:]:
        assert line.pop("request_id")
        assert line == {"level": "DEBUG", "attempt": 1 if is_for_rate else 3, "status": 200}


async def test_a_line_has_the_query_but_no_secret(
    server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    params = [("limit", "100"), ("expand[]", "data.tiers"), ("email", "sk_live_NobodyShouldSeeThis")]
    with caplog.at_level(logging.DEBUG, LOG.name):
        async with session(server) as stripe:
            with suppress(StripeError):
                await stripe.get(LOG, "/v1/prices", params)
    (line,) = [each.args for each in caplog.records if each.name == LOG.name]
    assert isinstance(line, dict)
    assert str(line["query"]).startswith("limit=100&expand[]=data.tiers&email=sk_live_")
    assert "NobodyShouldSeeThis" not in caplog.text + str(line)


async def test_a_request_that_is_given_up_has_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()

    async def never(_: web.BaseRequest) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never) as base, session(base) as stripe:
        with caplog.at_level(logging.DEBUG, LOG.name):
            request = asyncio.create_task(stripe.get(LOG, PATH))
            await asked.wait()
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
    (line,) = [each.args for each in caplog.records if each.name == LOG.name]
    assert isinstance(line, dict)
    assert (line["error"], "status" in line) == ("cancelled", False)


async def test_a_request_is_reported_at_its_second_failure_but_for_rate_limits_never(
    server: StripeServer, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    once = Fault(status=503, times=1)
    assert await lines_of(server, caplog, once, logging.INFO) == []
    often = await lines_of(server, caplog, Fault(status=503, message="Later", times=4), logging.INFO)
    assert [(each["level"], each["attempt"], each["error"]) for each in often] == [
        ("WARNING", 2, "503 Later")
    ]
    lock = Fault(status=429, code="lock_timeout", times=4)
    locked = await lines_of(server, caplog, lock, logging.INFO)
    assert [each["attempt"] for each in locked] == [2, 3, 4]
    rate = Fault(status=429, code="rate_limit", times=4)
    assert await lines_of(server, caplog, rate, logging.INFO) == []


def test_a_line_that_is_not_written_is_not_formatted(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    class Noted(Request):
        def __getattribute__(self, name: str) -> Any:
            read.append(name)
            return super().__getattribute__(name)

    log = logging.getLogger("quiet")
    monkeypatch.setattr(log, "level", logging.INFO)
    Attempt(Noted(PATH, None), 0.0).write(log, 80.0, 1.0)
    assert not read


async def test_traffic_tells_what_was_answered_and_what_was_refused_for_rate(
    server: StripeServer, waits: list[float]
) -> None:
    endpoint = Fault(status=429, headers={"Stripe-Rate-Limited-Reason": "endpoint-rate"})
    lock = Fault(status=429, code="lock_timeout")
    async with session(server) as stripe:
        assert stripe.traffic == Traffic()
        for fault in (
            PASSING["rate limit"],
            endpoint,
            lock,
            Fault(reset=True),
            Fault(status=500),
            Fault(status=404),
        ):
            server.faults.set(Fault(**{**vars(fault), "times": 1}))
            with suppress(StripeError):
                await stripe.get(LOG, PATH)
    # Each but the last is asked again; the one without an answer counts as no request.
    assert stripe.traffic == Traffic(requests=10, refused_for_rate=2)


class RecordingLimiter(RateLimiter):
    """A rate limiter that records its calls, and lets the first request wait for so long."""

    def __init__(self, first_waits: timedelta = timedelta()) -> None:
        super().__init__(1000, 1000)
        self.first_waits = first_waits.total_seconds()
        self.asked: list[tuple[str, Priority]] = []
        self.released = 0
        self.reasons: list[tuple[str, str]] = []

    async def acquire(
        self, endpoint: str, priority: Priority | Urgency = Priority.CHANGES, account_id: str | None = None
    ) -> Turn:
        self.asked.append((endpoint, Urgency.of(priority).priority))
        if len(self.asked) == 1:
            await asyncio.to_thread(time.sleep, self.first_waits)
        return await super().acquire(endpoint, priority, account_id)

    def release(self, turn: Turn) -> None:
        self.released += 1
        super().release(turn)

    def answered(self, turn: Turn, refused_by: str | None = None) -> None:
        if refused_by is not None:
            self.reasons.append((turn.endpoint, refused_by))


async def test_every_attempt_passes_the_rate_limiter_and_the_wait_for_it_costs_no_patience(
    server: StripeServer, waits: list[float]
) -> None:
    server.faults.add(Fault(status=500, times=2))
    limiter = RecordingLimiter(first_waits=2 * IMPATIENT)
    async with session(server, patience=IMPATIENT, rate_limiter=limiter) as stripe:
        await stripe.get(LOG, PATH)
        with pytest.raises(StripeError):
            await stripe.get(LOG, "/v1/prices/none", priority=Priority.BACKFILL)
    assert limiter.asked == [(PATH, Priority.CHANGES)] * 3 + [("/v1/prices/{}", Priority.BACKFILL)]
    assert limiter.released == 4


@pytest.mark.parametrize("again", [Fault(reset=True, times=1), Fault(truncate=True, times=1)])
async def test_what_is_asked_again_after_a_cut_connection_passes_the_rate_limiter(
    server: StripeServer, waits: list[float], again: Fault
) -> None:
    limiter = RecordingLimiter()
    async with session(server, rate_limiter=limiter) as stripe:
        await stripe.get(LOG, PATH)
        server.faults.add(again)
        await stripe.get(LOG, PATH)
    assert len(limiter.asked) == len(server.journal) == 3
    assert len(waits) == 1, "and not at once"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(status=429, code="rate_limit", headers={"Stripe-Rate-Limited-Reason": "endpoint-rate"}), 1),
        (Fault(status=429, code="rate_limit"), 1),
        (Fault(status=400, code="rate_limit"), 1),
        (Fault(status=429, code="lock_timeout"), 0),
        (Fault(status=500, headers={"Stripe-Rate-Limited-Reason": "endpoint-rate"}), 0),
    ],
)
async def test_the_rate_limiter_learns_of_refusals_for_too_many_requests_alone(
    server: StripeServer, waits: list[float], fault: Fault, told: int
) -> None:
    server.faults.add(twice(fault))
    limiter = RecordingLimiter()
    async with session(server, rate_limiter=limiter) as stripe:
        await stripe.get(LOG, PATH)
    assert limiter.reasons == [(PATH, fault.headers.get("Stripe-Rate-Limited-Reason", ""))] * 2 * told
    assert len(waits) == 2 * (not told)


async def test_latency_is_what_answers_take_of_late_without_the_wait_for_the_rate_limiter(
    world: World,
) -> None:
    world.create("price", event=False)
    async with (
        StripeServer(world, latency=0.05) as server,
        session(server, rate_limiter=RateLimiter(3, 3)) as stripe,
    ):
        assert stripe.latency(PATH) == 0
        await asyncio.gather(*(stripe.get(LOG, PATH) for _ in range(3)))
        assert 0.05 <= stripe.latency(PATH) < 0.3
        assert stripe.latency("/v1/charges") == 0
        server.latency = 0.2
        for _ in range(3):
            await stripe.get(LOG, PATH)
        assert stripe.latency(PATH) > 0.1


# What time it is


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


async def test_time_goes_on_between_answers(server: StripeServer) -> None:
    """The machine's clock is ahead of the world's."""
    assert time.time() > NOW
    async with session(server) as stripe:
        assert stripe.now() > at(NOW), "nothing is known of Stripe's clock yet"
        began = time.monotonic()
        await stripe.get(LOG, PATH)
        first = stripe.now()
        assert at(NOW) <= first <= at(NOW + time.monotonic() - began)
        await asyncio.sleep(0.01)
        assert timedelta(seconds=0.01) <= stripe.now() - first <= timedelta(seconds=time.monotonic() - began)


async def test_clock_is_read_from_refusals_too(server: StripeServer) -> None:
    server.faults.add(Fault(status=404))
    async with session(server) as stripe:
        with pytest.raises(StripeError):
            await stripe.get(LOG, PATH)
        assert stripe.now() < at(NOW + 60)


@pytest.mark.parametrize(
    "date", ["yesterday", "", "Thu, 28 May 2026 20:26:40 -0000", "Thu, 99 May 2026 20:26:40 GMT"]
)
async def test_date_that_is_none_leaves_the_clock_alone(server: StripeServer, date: str) -> None:
    async with session(server) as stripe:
        server.faults.set(Fault(headers={"Date": date}))
        await stripe.get(LOG, PATH)
        assert datetime.now(tz=UTC) - stripe.now() < timedelta(seconds=1)


async def test_time_zone_of_a_date_is_heeded(server: StripeServer) -> None:
    server.faults.set(Fault(headers={"Date": "Thu, 28 May 2026 22:26:40 +0200"}))
    async with session(server) as stripe:
        await stripe.get(LOG, PATH)
        assert at(NOW) <= stripe.now() < at(NOW + 60)
