"""What a careless user hands to the real process: it exits with 1, after one error line that says what to do,
without a traceback, without a word on stdout and without the key anywhere, at the highest log level too.

The processes of a table run side by side. Each takes processor time: what is only a matter of words is tested
without.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, StripeServer, World
from source_stripe_native import Connector
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow import requests
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import Capture, Json
from tests.conftest import NOW
from tests.warm_python import python

ROOT = Path(__file__).parent.parent
MODULE = ["-m", "source_stripe_native"]
IMPATIENT = [
    "-c",
    "from datetime import timedelta; from source_stripe_native.__main__ import Settings, main; "
    "main(Settings(unary_patience=timedelta(seconds=0.5)))",
]
"""The connector, but that discover and validate wait half a second for a Stripe that is not there."""
HASTY = [
    "-c",
    "from datetime import timedelta; from source_stripe_native.__main__ import Settings, main; "
    "main(Settings(flush_interval=timedelta(seconds=0.1), key_patience=timedelta(seconds=1)))",
]
"""The connector, but that it writes cursors that moved without a document ten times a second."""

SIDE_BY_SIDE = 4
TIME_LIMIT = 60
SECRET = "sandboxSecretForNobody"


@dataclass(frozen=True)
class Bad:
    """A request that ends in an error; `says` is a pattern for the beginning of its message."""

    request: Json | bytes
    says: str
    env: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = field(default_factory=lambda: MODULE)
    opened: bool = False
    """Whether the capture had started, so that there is more than the error."""


@asynccontextmanager
async def connector(
    env: Mapping[str, str], program: Sequence[str] = MODULE, *, cold: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`cold`: with a Python of its own, for tests that look at the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable if cold else python(),
        *program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 27,  # what discover finds is one line
        cwd=ROOT,
        env={**os.environ, "LOG_LEVEL": "trace", **env},
    )
    try:
        async with asyncio.timeout(TIME_LIMIT):
            yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def mistakes(bad: Bad, code: int | None, stdout: bytes, stderr: bytes) -> list[str]:
    """What is not as it should be about how a process ended."""
    text = (stdout + stderr).decode()
    lines = [orjson.loads(line) for line in stderr.splitlines()]
    errors = [each["msg"] for each in lines if each["level"] == "ERROR"]
    checks = {
        f"exit code {code}": code == 1,
        f"on stdout: {stdout[:300]!r}": bad.opened or not stdout,
        f"errors: {errors}": len(errors) == 1 and lines[-1]["level"] == "ERROR",
        f"not {bad.says!r} but {errors}": all(re.match(bad.says, each) for each in errors),
        f"more than one line: {errors}": not any("\n" in each for each in errors),
        f"a traceback: {text}": "Traceback" not in text and "traceback" not in text,
        f"the key: {text}": SECRET not in text,
        f"more than warnings: {lines}": bad.opened
        or {each["level"] for each in lines if each["msg"] != "request"} <= {"ERROR", "WARNING"},
    }
    return [mistake for mistake, right in checks.items() if not right]


async def check(server: StripeServer | None, table: Mapping[str, Bad]) -> None:
    """Runs the table, and says of each row what was wrong about it."""
    slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def run(bad: Bad) -> list[str]:
        line = bad.request if isinstance(bad.request, bytes) else orjson.dumps(bad.request) + b"\n"
        base = {API_BASE_VARIABLE: server.url} if server else {}
        async with slots, connector(base | dict(bad.env), bad.program) as process:
            stdout, stderr = await process.communicate(line)
        return mistakes(bad, process.returncode, stdout, stderr)

    found = await asyncio.gather(*map(run, table.values()))
    assert {name: each for name, each in zip(table, found, strict=True) if each} == {}


class Ask:
    """Requests of a capture of Prices: `config` over what is right, for the three verbs that have one."""

    def __init__(self, server: StripeServer, **config: Any) -> None:
        self._capture = Capture(server, config=config)
        self._config = self._capture.endpoint_config

    @property
    def _task(self) -> Json:
        return {"name": "acmeCo/stripe", "connectorType": "LOCAL", "config": self._config}

    def discover(self) -> Json:
        return {"discover": {"connectorType": "LOCAL", "config": self._config}}

    def validate(self, stream: str = "Prices", **resource: Any) -> Json:
        return {"validate": {**self._task, "bindings": [self._binding(stream, resource)]}}

    def open(self, stream: str = "Prices", state: object = None, **resource: Any) -> Json:
        capture = {**self._task, "intervalSeconds": 300, "bindings": [self._binding(stream, resource)]}
        state = {} if state is None else state
        return {"open": {"capture": capture, "version": "1", "range": {}, "state": state}}

    def _binding(self, stream: str, resource: Json) -> Json:
        binding = self._capture.binding(stream)
        return {**binding, "resourceConfig": {**binding["resourceConfig"], **resource}}


def key(secret: str) -> Json:
    return {"access_token": secret}


async def test_key_that_does_not_do(world: World, server: StripeServer) -> None:
    world.keys.revoke(world.keys.add(f"sk_test_{SECRET}revoked"))
    world.keys.add(f"rk_test_{SECRET}event", {"account", "price"})
    world.keys.add(f"rk_test_{SECRET}price", {"account", "event"})

    def ask(secret: str) -> Ask:
        return Ask(server, credentials=key(secret))

    wrong = ask(f"sk_test_{SECRET}")
    unknown = "Stripe does not know the API key: put a secret key .* 401 to GET /v1/account: Invalid API Key "
    uncopied = "credentials.access_token is empty or has a space, a line break .* copy it anew"
    grant = "the API key lacks the read permission '{}': grant it in Stripe's dashboard"
    await check(
        server,
        {
            "wrong, discover": Bad(wrong.discover(), unknown),
            "wrong, open": Bad(wrong.open(), unknown),
            "with its line break": Bad(ask(f"sk_test_{SECRET}\n").validate(), uncopied),
            "revoked": Bad(
                ask(f"sk_test_{SECRET}revoked").validate(),
                "The API key was revoked or has expired: create a new key .* Expired API Key provided",
            ),
            "without Events": Bad(
                ask(f"rk_test_{SECRET}event").open(),
                "Changes cannot be captured: " + grant.format("Events"),
            ),
            "without Prices": Bad(
                ask(f"rk_test_{SECRET}price").validate(),
                "Prices cannot be captured: " + grant.format("Prices") + ".* Or disable the binding",
            ),
        },
    )


async def test_stripe_that_is_not_there(server: StripeServer) -> None:
    ask = Ask(server, credentials=key(f"sk_test_{SECRET}"))
    must = "STRIPE_API_BASE must be https://HOST, or http://HOST for this machine"
    async with StripeServer(World()) as gone:
        nobody = {API_BASE_VARIABLE: gone.url}
    away = (
        rf"Stripe could not be reached at {gone.url} for (1 second|\d+ seconds): "
        "check the network .* Connect call failed"
    )
    await check(
        None,
        {
            "nobody at the address": Bad(ask.discover(), away, nobody, IMPATIENT),
            "with a login": Bad(ask.validate(), must, {API_BASE_VARIABLE: f"https://me:{SECRET}@localhost"}),
        },
    )


async def test_config_that_does_not_do(world: World, server: StripeServer) -> None:
    secret = world.keys.add(f"sk_test_{SECRET}")

    def ask(**config: Any) -> Ask:
        return Ask(server, credentials=key(secret), **config)

    await check(
        server,
        {
            "key without its object": Bad(
                Ask(server, credentials=secret).discover(),
                "The endpoint config is not valid: credentials must be an object with the API key as its",
            ),
            "a date to come": Bad(
                ask(start_date="2999-01-01T00:00:00Z").validate(),
                r"start_date 2999-01-01T00:00:00\+00:00 is in the future, .* set a time that has passed",
            ),
            "a version that is none": Bad(
                ask(advanced={"api_version": "2024-99-99"}).validate(),
                "Set advanced.api_version to a version that Stripe knows, or leave it blank. .*: 2024-99-99",
            ),
            "an unknown binding": Bad(
                ask().open("Pricse"),
                re.escape(
                    "There is no stream named Pricse (did you mean Prices?): discover again, or disable"
                ),
            ),
        },
    )


async def test_state_that_does_not_do(world: World, server: StripeServer) -> None:
    ask = Ask(server, credentials=key(world.keys.add(f"sk_test_{SECRET}")))

    def prices(**state: object) -> Json:
        return ask.open(state={"bindingStateV1": {"Prices": state}})

    await check(
        server,
        {
            "no cursor": Bad(
                prices(inc={"cursor": "soon"}),
                "The capture's state cannot be read at bindingStateV1.Prices.inc: request a backfill of that",
            ),
            "a cutoff that is no time": Bad(
                prices(backfill={"_active": {"cutoff": 7}}),
                r"The state holds a cursor or cutoff .*: 7\. Backfill the binding again",
                opened=True,
            ),
        },
    )


async def test_request_and_log_level_that_do_not_do(server: StripeServer) -> None:
    await check(
        server,
        {
            "no JSON": Bad(b'{"spec": \n', "The request is not one of Flow's capture protocol: Invalid JSON"),
            "too loud": Bad(
                {"spec": {}},
                "LOG_LEVEL must be error, warn, info, debug or trace: set it to one",
                {"LOG_LEVEL": "loud"},
            ),
        },
    )


# The words for what is malformed, without a process for each


def _line(line: bytes, limit: int | None = None) -> Callable[[], Awaitable[asyncio.StreamReader]]:
    async def stdin() -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=limit or len(line) + 1)
        reader.feed_data(line.removesuffix(b"\n") + b"\n")
        reader.feed_eof()
        return reader

    return stdin


async def refusal(monkeypatch: pytest.MonkeyPatch, line: bytes) -> str:
    monkeypatch.setattr(requests, "_stdin", _line(line))
    with pytest.raises(ConnectorError) as it:
        await anext(requests.read_requests(Connector().request_class()))
    return str(it.value)


def config(**fields: object) -> Json:
    return {"credentials": key(f"sk_test_{SECRET}"), **fields}


MALFORMED: dict[str, list[object]] = {
    "config must be an object": [None, []],
    "credentials must be an object with the API key as its access_token": [{}, {"credentials": SECRET}],
    "credentials.access_token must be the API key (sk_... or rk_...)": [
        {"credentials": {"token": SECRET}},
        {"credentials": {"access_token": 7}},
    ],
    "start_date must be a UTC time such as 2020-01-01T00:00:00Z": [
        config(start_date=each) for each in ("yesterday", "", "2020-01-01", "2020-01-01T00:00:00", None)
    ],
    "capture_connected_accounts must be true or false": [config(capture_connected_accounts="perhaps")],
    "advanced must be an object": [config(advanced=7)],
    "advanced.incremental_window_size must be an ISO 8601 duration above zero such as PT1H": [
        config(advanced={"incremental_window_size": each}) for each in ("an hour", "PT0S", "-PT1H")
    ],
    "advanced.api_version must be a version such as 2024-06-20 or 2025-03-31.basil, or blank": [
        config(advanced={"api_version": each})
        for each in (
            *(2024, "banana", "latest", "v1", "1", "0", "9", "20240620", "2024-6-20", "2024-06"),
            *("2024-06-20-beta", "2024-06-20.", "2024-06-20.Acacia", "2025-03-31 basil"),
            *("2024-06-20\r\nX-Key: 1", "\u0662024-06-20"),
        )
    ],
    "advanced.feature_flags must be a text such as flag_a,no_flag_b, or blank": [
        config(advanced={"feature_flags": ["a"]})
    ],
    f"advanced.connected_accounts.include must be {requests.ACCOUNT_RULES}": [
        config(advanced={"connected_accounts": {"include": ["acct_1Abc", "Acme"]}})
    ],
    "it has no advanced.connected_accounts.includes": [
        config(advanced={"connected_accounts": {"includes": ["acct_1Abc"]}})
    ],
    f"advanced.refresh must be {requests.FORMS['refresh']}": [
        config(
            advanced={"refresh": [{"stream": "Charges", "ids": ["ch_1"], "since": "2026-05-01T00:00:00Z"}]}
        )
    ],
    "advanced.refresh.0.since must be a UTC time such as 2020-01-01T00:00:00Z; "
    "advanced.refresh.0.until must be a UTC time such as 2020-01-01T00:00:00Z": [
        config(advanced={"refresh": [{"stream": "Charges", "since": "May", "until": "June"}]})
    ],
    "credentials.access_token must be the API key (sk_... or rk_...); advanced must be an object": [
        config(start_date=7.5, advanced=[]) | {"credentials": {}}
    ],
}
"""Configs by what is wrong with them."""


@pytest.mark.parametrize(
    ("problem", "endpoint_config"), [(problem, each) for problem in MALFORMED for each in MALFORMED[problem]]
)
@pytest.mark.parametrize("verb", ["discover", "validate", "open"])
async def test_malformed_config_is_said_field_by_field(
    monkeypatch: pytest.MonkeyPatch, verb: str, endpoint_config: object, problem: str
) -> None:
    task = {"name": "acmeCo/stripe", "connectorType": "LOCAL", "config": endpoint_config}
    request: Json = {"capture": {**task, "intervalSeconds": 1}, "version": "", "range": {}, "state": {}}
    line = orjson.dumps({verb: request if verb == "open" else task})
    error = await refusal(monkeypatch, line)
    assert error == f"The endpoint config is not valid: {problem}. Correct it and publish again."


@pytest.mark.parametrize(
    ("resource", "problem"),
    [
        ({"interval": "often"}, "interval must be an ISO 8601 duration such as PT5M"),
        ({"schedule": "daily"}, "schedule must be a cron expression in UTC such as '0 6 * * *', or blank"),
        ({"cron": "0 0 * * *"}, "it has no cron"),
        ({"name": None}, "name: Input should be a valid string"),
        (
            {"name": "sk_live_Secret", "interval": "often"},
            "interval must be an ISO 8601 duration such as PT5M",
        ),
    ],
)
async def test_malformed_binding_is_said_field_by_field(
    monkeypatch: pytest.MonkeyPatch, server: StripeServer, resource: Json, problem: str
) -> None:
    for request in (Ask(server).validate(**resource), Ask(server).open(**resource)):
        error = await refusal(monkeypatch, orjson.dumps(request))
        which = "binding 1" if "name" in resource else "Prices"
        assert error == f"Resource configs are not valid. {which}: {problem}. Correct them and publish again."


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ("x", "its top"),
        ({"bindingStateV1": 7}, "bindingStateV1"),
        ({"bindings": {}}, "bindings"),
        ({"bindingStateV1": {"Prices": {"cursor": 7}}}, "bindingStateV1.Prices.cursor"),
        ({"bindingStateV1": {"Prices": {"inc": {"cursor": "soon"}}}}, "bindingStateV1.Prices.inc"),
        ({"bindingStateV1": {"Prices": {"backfill": {"_active": {}}}}}, "bindingStateV1.Prices.backfill"),
    ],
)
async def test_malformed_state_is_said_by_binding(
    monkeypatch: pytest.MonkeyPatch, server: StripeServer, state: object, place: str
) -> None:
    assert await refusal(monkeypatch, orjson.dumps(Ask(server).open(state=state))) == (
        f"The capture's state cannot be read at {place}: request a backfill of that binding, or create the "
        "capture anew where none is named."
    )


NONE_OF_FLOWS = "is not one of Flow's capture protocol: "


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"", NONE_OF_FLOWS + "Invalid JSON: EOF while parsing a value at line"),
        (b"\xff\xfe\n", NONE_OF_FLOWS + "Invalid JSON: expected value at line 1 column 1."),
        (b"[]", NONE_OF_FLOWS + "Input should be an object."),
        (b'{"spec": {"connectorType": "CLOUD"}}', NONE_OF_FLOWS + "Input should be 'IMAGE'"),
        (b'{"acknowledge": {"checkpoints": 0}}', NONE_OF_FLOWS + "Input should be greater"),
        (b"{}", "must have exactly one verb"),
        (b'{"spec": null}', "must have exactly one verb"),
        (b'{"publish": {}}', "must have exactly one verb"),
        (b'{"spec": {}, "acknowledge": {"checkpoints": 1}}', "must have exactly one verb"),
    ],
)
async def test_request_that_is_none_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, line: bytes, problem: str
) -> None:
    assert problem in await refusal(monkeypatch, line)


SOME = (None, True, 0, -1, 1e300, "", "x", "LOCAL", "2020-01-01T00:00:00Z", "PT5M", "sk_test_1")
WORDS = [
    *(*requests.VERBS, "config", "credentials", "access_token", "start_date", "advanced", "api_version"),
    *("lastCapture", "capture", "bindings", "collection", "key", "resourceConfig", "resourcePath", "name"),
    *("stateKey", "state", "bindingStateV1", "backfillRequests", "connectorType", "range", "inc"),
    *("intervalSeconds", "backfill", "cursor", "interval", "schedule"),
]
anything = st.recursive(
    st.sampled_from(SOME),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20,
)


@given(verb=st.sampled_from(requests.VERBS), body=anything)
async def test_whatever_the_request_is_it_is_read_or_refused_in_one_line(verb: str, body: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        read = requests.read_requests(Connector().request_class())
        patch.setattr(requests, "_stdin", _line(orjson.dumps({verb: body})))
        error = ""
        try:
            await anext(read)
        except ConnectorError as refused:
            error = str(refused)
        await read.aclose()
    assert "\n" not in error
    assert "mistake in the connector" not in error


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (MemoryError(), "The memory does not suffice: give the connector more"),
        (OSError(5, "Input/output error"), "The operating system refused an operation: start the capture"),
        (KeyError("x"), "This is a mistake in the connector: start the capture again, and report this line"),
    ],
)
async def test_request_that_cannot_be_received_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, says: str
) -> None:
    async def stdin() -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        reader.set_exception(raised)
        return reader

    monkeypatch.setattr(requests, "_stdin", stdin)
    with pytest.raises(ConnectorError) as it:
        await anext(requests.read_requests(Connector().request_class()))
    assert str(it.value).startswith(says)


@pytest.mark.parametrize("name", ["cursor", "other"])
async def test_a_request_has_no_more_than_so_much_beside_the_cursors_of_its_accounts(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """However many accounts there are, the state of all of them has to reach each of several shards."""
    of = {f"acct_{number}": {name: "2026-05-28T20:26:40Z"} for number in range(500)}
    line = orjson.dumps({"spec": {"connectorType": "LOCAL", "of": of}}) + b"\n"

    monkeypatch.setattr(requests, "_stdin", _line(line + line, 1 << 10))
    monkeypatch.setattr(requests, "LONGEST_REQUEST", len(line) // 10)
    read = requests.read_requests(Connector().request_class())
    if name == "cursor":
        assert [request.spec is not None async for request in read] == [True, True]
    else:
        with pytest.raises(ConnectorError, match="A request is longer than 128 MiB"):
            await anext(read)


async def test_state_that_a_backfill_left_behind_is_not_read(world: World, server: StripeServer) -> None:
    """So that a backfill mends what the error about a malformed state says that it does."""
    capture = Capture(server, state={"bindingStateV1": {"Prices.v1": {"shape": "of long ago"}}})
    world.create("price")
    await capture.session(checkpoints=1)
    assert len(capture.binding_state()["backfill"]) == 2


# While a capture runs


@dataclass(frozen=True)
class Mishap:
    """What happens to a running capture, of connected accounts or not, and what the error `says`."""

    happen: Callable[[World, str], object]
    says: str
    connected: bool = False


async def mishaps_of(mishap: Mishap) -> list[str]:
    world = World(now=NOW)
    secret = world.keys.add(f"rk_test_{SECRET}", {"account", "event", "price"})
    account = world.connect(id="acct_1Connected")["id"]
    # An hour behind, and a second at a time: it makes requests for longer than the test takes.
    behind = {"cursor": "2026-05-28T19:26:40Z"}
    inc = {PLATFORM: behind, account: behind} if mishap.connected else behind
    async with StripeServer(world) as server, connector({API_BASE_VARIABLE: server.url}, HASTY) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        ask = Ask(
            server,
            credentials=key(secret),
            capture_connected_accounts=mishap.connected,
            advanced={"incremental_window_size": "PT1S"},
        )
        request = ask.open(state={"bindingStateV1": {"Prices": {"inc": inc}}})
        process.stdin.write(orjson.dumps(request) + b"\n")
        stderr = asyncio.create_task(process.stderr.read())
        expected = f'"inc":{{"{account}"' if mishap.connected else '"inc":{"cursor":"2026-05-28T19:26:41Z"'
        while expected.encode() not in (line := await process.stdout.readline()):
            assert line, (await stderr).decode()
        mishap.happen(world, account)
        rest = await process.stdout.read()
        code = await process.wait()
        return mistakes(Bad({}, mishap.says, opened=True), code, line + rest, await stderr)


async def test_running_capture_ends_with_one_line_that_names_stream_and_account() -> None:
    secret = f"rk_test_{SECRET}"
    table = {
        "key revoked": Mishap(
            lambda world, _: world.keys.revoke(secret),
            r"Task capture\.Prices\.incremental: Prices: The API key was revoked .* 401 to GET /v1/events: ",
        ),
    }
    found = await asyncio.gather(*map(mishaps_of, table.values()))
    assert {name: each for name, each in zip(table, found, strict=True) if each} == {}
