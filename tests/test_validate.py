"""What validate refuses, and in which words: it is where a person still can change a capture."""

import logging
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import StripeServer
from source_stripe_native.flow.last_capture import refuse_switch, warn_of_earlier_start
from source_stripe_native.flow.requests import ExaminedRequest
from source_stripe_native.stripe.client import StripeSession
from tests.capture import NAME, Capture, Json

STREAMS = ["Prices", "Products", "Charges"]


def published(config: Mapping[str, Any], bindings: Mapping[str, int], capture: Capture) -> Json:
    """The last capture as Flow hands it over: its bindings with their backfill counters."""
    return {
        "name": NAME,
        "connectorType": "LOCAL",
        "config": {"command": ["python"], "config": {**capture.endpoint_config, **config}},
        "bindings": [capture.binding(each) | {"backfill": count} for each, count in bindings.items()],
    }


async def validate(capture: Capture, bindings: Mapping[str, int], last: Json | None = None) -> Json:
    return await capture.ask(
        "validate",
        {
            "name": NAME,
            "connectorType": "LOCAL",
            "config": capture.endpoint_config,
            "bindings": [capture.binding(each) | {"backfill": count} for each, count in bindings.items()],
            "lastCapture": last,
        },
    )


async def refusal(
    caplog: pytest.LogCaptureFixture, capture: Capture, bindings: Mapping[str, int], last: Json | None = None
) -> str:
    """The one error that validate ends with."""
    with pytest.raises(SystemExit):
        await validate(capture, bindings, last)
    (error,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert "\n" not in error
    return error


async def test_bindings_that_can_be_read_are_validated(server: StripeServer) -> None:
    answer = await validate(Capture(server), dict.fromkeys(STREAMS, 0))
    assert answer == {"bindings": [{"resourcePath": [each]} for each in STREAMS]}
    assert await validate(Capture(server), {}) == {"bindings": []}


# Switching capture_connected_accounts


NOT_BACKFILLED = [
    pytest.param({"Prices": 0}, {"Prices": 0}, "Prices", id="a binding as it was"),
    pytest.param({"Prices": 2}, {"Prices": 2}, "Prices", id="a binding backfilled some time before"),
    pytest.param({"Prices": 2}, {"Prices": 1}, "Prices", id="a binding whose counter went back"),
    pytest.param(
        {"Prices": 0, "Products": 1, "Charges": 0},
        {"Prices": 1, "Products": 1, "Charges": 0},
        "Products, Charges",
        id="some of the bindings",
    ),
]
"""The backfill counters of bindings before and after, and which bindings keep their state."""


@pytest.mark.parametrize("to", [True, False])
@pytest.mark.parametrize(("before", "after", "kept"), NOT_BACKFILLED)
async def test_switching_is_refused_while_a_binding_is_not_backfilled_again(
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    to: bool,
    before: Mapping[str, int],
    after: Mapping[str, int],
    kept: str,
) -> None:
    capture = Capture(server, connected=to)
    last = published({"capture_connected_accounts": not to}, before, capture)
    assert await refusal(caplog, capture, after, last) == (
        "capture_connected_accounts was changed, which needs every binding to be backfilled again: request a "
        f"backfill of {kept} in the same publication, or change it back."
    )
    assert len(server.journal) == 0, "nobody waits for Stripe to hear of it"


@pytest.mark.parametrize("to", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            {"Prices": 0, "Products": 3}, {"Prices": 1, "Products": 4}, id="every binding backfilled"
        ),
        pytest.param({}, {"Prices": 0}, id="a new binding"),
        pytest.param({"Prices": 0}, {"Prices": 1, "Products": 0}, id="a new binding beside"),
        pytest.param({"Prices": 0}, {}, id="a binding disabled"),
        pytest.param({"Prices": 0, "Products": 0}, {"Prices": 1}, id="a binding disabled beside"),
        pytest.param({}, {}, id="no binding at all"),
    ],
)
async def test_switching_is_allowed_once_every_binding_begins_anew(
    server: StripeServer, to: bool, before: Mapping[str, int], after: Mapping[str, int]
) -> None:
    capture = Capture(server, connected=to)
    last = published({"capture_connected_accounts": not to}, before, capture)
    assert len((await validate(capture, after, last))["bindings"]) == len(after)


@pytest.mark.parametrize(
    ("written", "meant"), [(True, True), (False, False), ("true", True), ("false", False), (None, False)]
)
async def test_setting_that_is_the_same_in_other_words_is_no_switch(
    server: StripeServer, written: object, meant: bool
) -> None:
    capture = Capture(server, connected=meant)
    last = published({"capture_connected_accounts": written}, {"Prices": 0}, capture)
    assert (await validate(capture, {"Prices": 0}, last))["bindings"] == [{"resourcePath": ["Prices"]}]


async def test_setting_that_was_left_out_was_off(
    server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Capture(server)
    last = published({}, {"Prices": 0}, capture)
    del last["config"]["config"]["capture_connected_accounts"]
    await validate(capture, {"Prices": 0}, last)
    capture.connected = True
    assert "capture_connected_accounts was changed" in await refusal(caplog, capture, {"Prices": 0}, last)


# What was published before


ENC = "ENC[AES256_GCM,data:9sVQzg==,iv:x,tag:y,type:bool]"
ODD: list[object] = [None, ENC, "", "x", 7, -1, 7.5, True, [], {}, [None], {"a": 1}, 1e300]
ODD_CONFIGS: list[Json] = [
    {"capture_connected_accounts": ENC},
    {"capture_connected_accounts": "perhaps"},
    {"capture_connected_accounts": 7},
    {"capture_connected_accounts": {}},
    {"start_date": ENC},
    {"start_date": "yesterday"},
    {"start_date": "2020-01-01"},
    {"start_date": None},
    {"start_date": []},
    {"start_date": 1e300},
    {"start_date": "9999-12-31T23:59:59-14:00"},
    {"start_date": "0001-01-01T00:00:00+14:00"},
    {"capture_connected_accounts_sops": ENC, "start_date_sops": ENC, "sops": {"mac": ENC}},
    {"account_id": "acct_1", "streams": ["prices"], "credentials": ENC, "advanced": ENC},
]


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("config", ODD_CONFIGS, ids=str)
async def test_config_that_cannot_be_read_is_taken_as_unchanged(
    server: StripeServer, caplog: pytest.LogCaptureFixture, connected: bool, config: Json
) -> None:
    capture = Capture(server, connected=connected)
    last = published({"capture_connected_accounts": connected, **config}, {"Prices": 0}, capture)
    if "capture_connected_accounts_sops" in config:
        del last["config"]["config"]["capture_connected_accounts"], last["config"]["config"]["start_date"]
    assert await validate(capture, {"Prices": 0}, last) == {"bindings": [{"resourcePath": ["Prices"]}]}
    warned = [each.getMessage() for each in caplog.records if each.levelname != "INFO"]
    assert [each for each in warned if not each.startswith("start_date was moved back")] == []


@pytest.mark.parametrize(
    "binding",
    [
        pytest.param({"resourceConfig": {"stream": "Prices"}, "resourcePath": ["Prices"]}, id="older form"),
        pytest.param({"resourceConfig": {"name": "Prices", "cursorField": ["id"]}}, id="unknown field"),
        pytest.param({"resourceConfig": {"name": "Prices", "interval": "often"}}, id="other type"),
        pytest.param({"resourceConfig": {"name": "Prices"}, "collection": None}, id="no collection"),
        pytest.param({"resourceConfig": {"name": "Prices"}, "backfill": None}, id="no counter"),
    ],
)
async def test_binding_of_an_older_form_is_still_compared_with(
    server: StripeServer, caplog: pytest.LogCaptureFixture, binding: Json
) -> None:
    capture = Capture(server, connected=True)
    last = published({"capture_connected_accounts": False}, {}, capture)
    last["bindings"] = [None, "Prices", {}, {"resourceConfig": 7}, {"backfill": -1}, binding]
    assert "a backfill of Prices in the same" in await refusal(caplog, capture, {"Prices": 0}, last)
    assert len((await validate(capture, {"Prices": 1}, last))["bindings"]) == 1


FIELDS = [
    *("name", "connectorType", "config", "bindings", "resourceConfig", "resourcePath", "backfill"),
    *("createdAt", "collection", "credentials", "start_date", "capture_connected_accounts", "advanced"),
    *("interval", "schedule", "stateKey"),
]
odd = st.recursive(
    st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)


fields = st.dictionaries(st.sampled_from(FIELDS), odd, max_size=6)
ODD_LAST = odd | st.fixed_dictionaries(
    {
        "config": odd | st.fixed_dictionaries({"config": odd | fields}),
        "bindings": odd | st.lists(odd | fields, max_size=3),
    },
    optional=dict.fromkeys(FIELDS[:2], odd),
)


@given(last=ODD_LAST)
def test_no_last_capture_is_an_error(last: object) -> None:
    """Whatever it is: validate reads its request, and compares what can be compared."""
    task = {"name": NAME, "connectorType": "LOCAL", "config": {"credentials": {"access_token": "sk_test_1"}}}
    line = orjson.dumps({"validate": {**task, "bindings": [], "lastCapture": last}})
    request = ExaminedRequest.model_validate_json(line)
    assert request.validate_
    refuse_switch(request.validate_)
    warn_of_earlier_start(logging.getLogger("test"), request.validate_)


# A start date that moves


DAYS_100, DAYS_300 = "2026-02-17T00:00:00Z", "2025-08-01T00:00:00Z"


def moved(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        *NOT_BACKFILLED,
        pytest.param({"Prices": 0}, {"Prices": 1, "Products": 0}, None, id="backfilled, and new"),
        pytest.param({"Prices": 0}, {}, None, id="disabled"),
    ],
)
async def test_start_date_that_moves_back_is_warned_of_once_with_the_bindings_that_lack_the_time(
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    before: Mapping[str, int],
    after: Mapping[str, int],
    kept: str | None,
) -> None:
    capture = Capture(server, config={"start_date": DAYS_300})
    await validate(capture, after, published({"start_date": DAYS_100}, before, capture))
    expected = (
        "start_date was moved back from 2026-02-17T00:00:00+00:00 to 2025-08-01T00:00:00+00:00, but a "
        "backfill that is complete does not read the time in between: request a backfill of {} to capture it."
    )
    assert moved(caplog) == ([expected.format(kept)] if kept else [])


async def test_explicit_start_date_before_the_default_of_the_last_config_is_warned_of(
    server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Capture(server, config={"start_date": "2020-01-01T00:00:00Z"})
    last = published({}, {"Prices": 0}, capture)
    del last["config"]["config"]["start_date"]
    await validate(capture, {"Prices": 0}, last)
    (warning,) = moved(caplog)
    assert warning.startswith("start_date was moved back from ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(DAYS_300, DAYS_100, id="forward"),
        pytest.param(DAYS_100, DAYS_100, id="the same"),
        pytest.param("2026-02-17T02:00:00+02:00", DAYS_100, id="the same in another zone"),
        pytest.param("2026-02-17T00:00:00.9Z", DAYS_100, id="the same second"),
        pytest.param(ENC, DAYS_300, id="encrypted"),
        pytest.param("long ago", DAYS_300, id="unreadable"),
        pytest.param(DAYS_300, None, id="left out"),
        pytest.param(None, None, id="always left out"),
    ],
)
async def test_start_date_that_does_not_move_back_is_not_warned_of(
    server: StripeServer, caplog: pytest.LogCaptureFixture, before: str | None, after: str | None
) -> None:
    capture = Capture(server, config={"start_date": after})
    last = published({"start_date": before}, {"Prices": 0}, capture)
    if after is None:
        config = {key: value for key, value in capture.endpoint_config.items() if key != "start_date"}
        request = {"name": NAME, "connectorType": "LOCAL", "config": config, "lastCapture": last}
        await capture.ask("validate", {**request, "bindings": [capture.binding("Prices") | {"backfill": 0}]})
    else:
        await validate(capture, {"Prices": 0}, last)
    assert moved(caplog) == []


async def test_first_publication_is_not_warned_of(
    server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    await validate(Capture(server), {"Prices": 0})
    assert moved(caplog) == []


# The rest of the config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"star_date": "2020-01-01T00:00:00Z"}, "has no star_date: correct the spelling, or leave it out."),
        ({"advanced": {"version": "2024-06-20"}}, "has no advanced.version: correct"),
        ({"a": 1, "advanced": {"b": 2}}, "has no a, advanced.b: correct"),
        ({"sk_test_mistaken1234": ""}, "has no sk_test_...: correct"),
        ({"start_date": "2999-01-01T00:00:00Z"}, "start_date 2999-01-01T00:00:00+00:00 is in the future"),
    ],
)
async def test_config_that_would_not_do_what_it_seems_to_is_refused(
    server: StripeServer, caplog: pytest.LogCaptureFixture, config: Json, message: str
) -> None:
    assert message in await refusal(caplog, Capture(server, config=config), {"Prices": 0})


@pytest.mark.parametrize(
    "config",
    [
        {"advanced": {}},
        {"advanced": {"api_version": ""}},
        {"advanced": {"api_version": None}},
        {"advanced": {"api_version": "  "}},
        {"advanced": {"api_version": " 2024-06-20 "}},
        {"advanced": {"api_version": "2025-03-31.basil"}},
        {"advanced": {"feature_flags": "of_another_connector,no_such_flag"}},
        {"advanced": {"api_version": "2024-06-20", "incremental_window_size": "PT1H"}},
        {"start_date": "2020-01-01T00:00:00+02:00"},
        {"capture_connected_accounts": "true"},
    ],
)
async def test_config_in_other_words_is_understood(server: StripeServer, config: Json) -> None:
    validated = await validate(Capture(server, config=config), {"Prices": 0})
    assert validated["bindings"] == [{"resourcePath": ["Prices"]}]


async def test_running_capture_does_not_stop_at_a_field_that_it_does_not_know(server: StripeServer) -> None:
    capture = Capture(server, config={"star_date": "2020-01-01T00:00:00Z"})
    await capture.session(checkpoints=1)
    assert capture.checkpoints == 1


# Bindings


async def test_unknown_bindings_are_named(server: StripeServer, caplog: pytest.LogCaptureFixture) -> None:
    error = await refusal(caplog, Capture(server), {"Prices": 0, "Pricse": 0, "Zebra": 0})
    named = "Pricse (did you mean Prices?), Zebra"
    assert error == f"There is no stream named {named}: discover again, or disable the binding."


@pytest.mark.parametrize("interval", ["PT0S", "-PT5M"])
async def test_interval_of_nothing_does_not_keep_the_processor_busy(
    server: StripeServer, monkeypatch: pytest.MonkeyPatch, interval: str
) -> None:
    """PT0S is the interval of a binding that names none."""
    sweeps, now = 0, StripeSession.now

    def counted(http: StripeSession) -> Any:
        nonlocal sweeps
        sweeps += 1
        return now(http)

    monkeypatch.setattr(StripeSession, "now", counted)
    capture = Capture(server, interval=interval)
    with pytest.raises(TimeoutError):
        await capture.session(seconds=0.5)
    assert 2 <= sweeps < 50
