"""Incoming requests, examined before they are used.

Rule: a request, config or state that is not valid is refused in one line that says what to do. The line never
repeats the input, which may contain the key.

The state of many accounts is more text than is to be in memory: it is read as it comes (state/text.py).
"""

import asyncio
import logging
import os
import stat
import sys
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import pydantic
from estuary_cdk.capture import Request, request
from estuary_cdk.capture.common import ResourceState
from estuary_cdk.flow import CaptureBinding, RangeSpec
from pydantic_core import ErrorDetails

from source_stripe_native.config import Advanced, EndpointConfig, ResourceConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow import last_capture
from source_stripe_native.flow.log_lines import report
from source_stripe_native.state.cursors import Cursors
from source_stripe_native.state.parts import Json
from source_stripe_native.state.shapes import ConnectorState, readable_part
from source_stripe_native.state.shards import LAST_KEY, Shard
from source_stripe_native.state.text import RequestText
from source_stripe_native.streams import STREAMS, nearest_stream

VERBS: Final = ("spec", "discover", "validate", "apply", "open", "acknowledge")

UTC_TIME: Final = "a UTC time such as 2020-01-01T00:00:00Z"
ACCOUNT_RULES: Final = (
    "a list of account ids such as acct_123, or of keys of their metadata such as metadata.team or "
    "metadata.team=blue"
)
FORMS: Final = {
    "credentials": "an object with the API key as its access_token",
    "access_token": "the API key (sk_... or rk_...)",
    "start_date": UTC_TIME,
    "capture_connected_accounts": "true or false",
    "config": "an object",
    "advanced": "an object",
    "api_version": "a version such as 2024-06-20 or 2025-03-31.basil, or blank",
    "stripe_context": "an account id such as acct_123, a path of them such as acct_123/acct_456, or blank",
    "webhook_signing_secret": "one or more signing secrets such as whsec_123, divided by blanks, or blank",
    "incremental_window_size": "an ISO 8601 duration above zero such as PT1H",
    "max_requests_per_second": "a number above zero such as 50, or left out",
    "redact_personal_data": "none, hash or block",
    "connected_accounts": "an object with the lists include and exclude",
    "refresh": "a list of objects with a stream, and either its ids or since and until, the later one last",
    "stream": "the name of a stream",
    "ids": "a list of at most 1,000 ids",
    "since": UTC_TIME,
    "until": UTC_TIME,
    "account": "the id of an account such as acct_123",
    "include": ACCOUNT_RULES,
    "exclude": ACCOUNT_RULES,
    "feature_flags": "a text such as flag_a,no_flag_b, or blank",
    "interval": "an ISO 8601 duration such as PT5M",
    "schedule": "a cron expression in UTC such as '0 6 * * *', or blank",
}
"""What a field of a config has to be, for the error about one that is not."""

LONGEST_REQUEST: Final = 1 << 27
"""Bytes of one request that are kept, as many as the CDK takes."""
PIECE: Final = 1 << 18
"""Bytes of a request that are read at once, at least."""

_NAMES: Final = frozenset(row.NAME for row in STREAMS)
TOO_LONG: Final = (
    "A request is longer than 128 MiB, the cursors of its accounts not counted: its state has too much of "
    "unfinished backfills and of compared lists. Create the capture anew, with more shards from the start."
)

_STATE: Final = b'"bindingStateV1"'

SEND: Final = "Run the connector with Flow or flowctl, or send it one such request a line."


StripeRequest = Request[EndpointConfig, ResourceConfig, ConnectorState]


class ExaminedRequest(StripeRequest):
    """A request that was looked at before it is read, for what its own types would let pass or stumble at.
    Raises ConnectorError."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _examine(cls, request: Any) -> Any:
        if isinstance(request, dict) and sum(request.get(verb) is not None for verb in VERBS) != 1:
            raise ConnectorError(
                f"A request must have exactly one verb of Flow's capture protocol, {', '.join(VERBS)}. {SEND}"
            )
        match request:
            case {"validate": {"bindings": list(bound)}} | {"open": {"capture": {"bindings": list(bound)}}}:
                _examine_resources(bound)
        match request:
            case {"validate": dict(validate)}:
                validate["lastCapture"] = last_capture.readable(validate.get("lastCapture"))
                if isinstance(config := validate.get("config"), dict):
                    refuse_unknown(config)
            case {
                "open": {"capture": {"bindings": list(bindings)}, "state": {"bindingStateV1": dict(states)}}
            }:
                # What a binding left behind before its last backfill may be in a shape of long ago.
                current = {str(binding.get("stateKey")) for binding in bindings if isinstance(binding, dict)}
                for key, state in states.items():
                    states[key] = _examined(state) if key in current else readable_part(state)
        return request


def _examine_resources(bindings: Sequence[object]) -> None:
    """Raises ConnectorError for resource configs that are not valid, with the streams that they are of."""
    problems = []
    for number, binding in enumerate(bindings, 1):
        resource = binding.get("resourceConfig") if isinstance(binding, dict) else None
        try:
            ResourceConfig.model_validate(resource)
        except pydantic.ValidationError as error:
            name = resource.get("name") if isinstance(resource, dict) else None
            which = name if name in _NAMES else f"binding {number}"
            wrong = "; ".join(_problem("resource config", one) for one in _problems_of(error))
            problems.append(f"{which}: {wrong}")
    if problems:
        raise ConnectorError(
            f"Resource configs are not valid. {'. '.join(problems)}. Correct them and publish again."
        )


def _examined(state: Any) -> object:
    """A binding's state, whose many cursors the request's own types would not take. One that cannot be read
    is left to them: they say where it is."""
    if not isinstance(state, dict) or not isinstance(state.get("inc"), Cursors):
        return state
    with suppress(pydantic.ValidationError):
        examined = ResourceState.model_validate({**state, "inc": None})
        # The CDK writes all of a state that has no such time.
        examined.inc = state["inc"] if examined.last_initialized else dict(state["inc"])
        return examined
    return state


def stream_names(
    bindings: Sequence[CaptureBinding[ResourceConfig] | request.ValidateBinding[ResourceConfig]],
) -> set[str]:
    """The streams of `bindings`. Raises ConnectorError where there is none of such a name."""
    names = {binding.resourceConfig.name for binding in bindings}
    if unknown := sorted(names - _NAMES):
        near = {name: nearest_stream(name) for name in unknown}
        told = (f"{name} (did you mean {near[name]}?)" if near[name] else name for name in unknown)
        raise ConnectorError(
            f"There is no stream named {', '.join(told)}: discover again, or disable the binding."
        )
    return names


def shard_of(given: RangeSpec) -> Shard:
    """The shard that a range stands for. Raises ConnectorError for a range without keys, and for a part of
    the range of clocks: documents have none, so that each such shard would capture all of them."""
    if (given.rClockBegin, given.rClockEnd) != (0, LAST_KEY):
        raise ConnectorError(
            "The capture was split by r-clock, which documents do not have: divide it by key instead."
        )
    if not given.keyBegin <= given.keyEnd <= LAST_KEY:
        raise ConnectorError(
            f"The range from {given.keyBegin} to {given.keyEnd} is no part of the keys from 0 to {LAST_KEY}: "
            "publish the capture again."
        )
    return Shard(given.keyBegin, given.keyEnd)


def refuse_unknown(config: Json) -> None:
    """A field that is misspelled would silently have its default."""
    advanced = config.get("advanced")
    unknown = [name for name in config if name not in EndpointConfig.model_fields]
    if isinstance(advanced, dict):
        unknown += [f"advanced.{name}" for name in advanced if name not in Advanced.model_fields]
    if unknown:
        raise ConnectorError(
            f"The endpoint config has no {', '.join(unknown)}: correct the spelling, or leave it out."
        )


def refuse_future(config: EndpointConfig) -> None:
    if config.start_date > datetime.now(tz=UTC):
        raise ConnectorError(
            f"start_date {config.start_date.isoformat()} is in the future, so that nothing would be "
            "backfilled: set a time that has passed."
        )


def refuse_useless(config: EndpointConfig, names: Collection[str] | None = None) -> None:
    """What is asked for and could not be done. `names` are the streams of the bindings, where they are
    known."""
    rules, connected = config.advanced.connected_accounts, config.capture_connected_accounts
    if (rules.include or rules.exclude) and not connected:
        raise ConnectorError(
            "advanced.connected_accounts selects accounts, but capture_connected_accounts is false: set it "
            "to true, or leave the selection out."
        )
    for refresh in config.advanced.refresh:
        row = next((row for row in STREAMS if refresh.stream == row.NAME), None)
        if row is None or (names is not None and refresh.stream not in names):
            why = "no binding has this stream"
        elif refresh.ids and row.named_by() is None:
            why = "its objects have no ids to read them by, and a range is needed"
        elif refresh.account and not (connected and row.PER_ACCOUNT):
            why = "it is captured of one account, and none may be named"
        elif refresh.ids and connected and row.PER_ACCOUNT and not refresh.account:
            why = "ids need the account that they belong to"
        else:
            continue
        raise ConnectorError(f"advanced.refresh cannot refresh {refresh.stream}: {why}. Correct the config.")


def refuse_stdin() -> None:
    """Raises ConnectorError where requests cannot be awaited: asyncio would fail at it, or wait for ever."""
    mode = os.fstat(sys.stdin.fileno()).st_mode if sys.stdin else 0
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (sys.stdin and sys.stdin.isatty())):
        raise ConnectorError(
            "Requests cannot be read, as stdin is a file or closed: pass them through a pipe, as in "
            "'cat requests.jsonl | python -m source_stripe_native'."
        )


async def read_requests(cls: type[StripeRequest]) -> AsyncGenerator[StripeRequest, None]:
    """The requests on stdin. Raises ConnectorError, without the input in it, for whatever cannot be read."""
    try:
        reader = await _stdin()
        while (text := await _read_text(reader)).size:
            request = asyncio.to_thread(parse_request, cls, text)
            del text
            yield await request
    except pydantic.ValidationError as error:
        raise ConnectorError(explain(error)) from None
    except Exception as error:  # noqa: BLE001 - the CDK would show a traceback
        raise ConnectorError(report(logging.getLogger("flow"), error)) from None


async def _stdin() -> asyncio.StreamReader:
    # As the CDK reads it, but for the lines: the CDK keeps the last one as long as it waits for another.
    reader = asyncio.StreamReader(limit=PIECE)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


async def _read_text(reader: asyncio.StreamReader) -> RequestText:
    """The next line, an empty one at the end. Raises ConnectorError where too much of it would be kept."""
    text = RequestText()
    while text.size <= LONGEST_REQUEST:
        try:
            text.add(await reader.readuntil(b"\n"))
            return text
        except asyncio.IncompleteReadError as end:
            text.add(end.partial)
            return text
        except asyncio.LimitOverrunError as more:
            text.add(await reader.readexactly(more.consumed))
    raise ConnectorError(TOO_LONG)


def parse_request(cls: type[StripeRequest], text: RequestText) -> StripeRequest:
    """A request from its JSON. Raises pydantic.ValidationError for one that is not valid."""
    request = None
    if _STATE in text.left:
        with suppress(ValueError, RecursionError):  # What is wrong with it is said below.
            request = text.read()
    return cls.model_validate(request) if request is not None else cls.model_validate_json(text.left)


def explain(error: pydantic.ValidationError) -> str:
    """One line: the part of the request that is wrong, what is wrong with it, and what to do."""
    problems = _problems_of(error)
    if within := [problem["loc"] for problem in problems if "state" in problem["loc"]]:
        places = {".".join(map(str, loc[loc.index("state") + 1 :][:3])) or "its top" for loc in within}
        return (
            f"The capture's state cannot be read at {', '.join(sorted(places))}: request a backfill of that "
            "binding, or create the capture anew where none is named."
        )
    if wrong := [_problem("config", problem) for problem in problems if "config" in problem["loc"]]:
        return f"The endpoint config is not valid: {'; '.join(wrong)}. Correct it and publish again."
    return f"The request is not one of Flow's capture protocol: {problems[0]['msg']}. {SEND}"


def _problems_of(error: pydantic.ValidationError) -> list[ErrorDetails]:
    return error.errors(include_input=False, include_url=False, include_context=False)


def _problem(part: str, problem: ErrorDetails) -> str:
    loc = problem["loc"][problem["loc"].index(part) + 1 :] if part in problem["loc"] else problem["loc"]
    # An entry of a list has the form that its list names.
    loc = loc[:-1] if loc and isinstance(loc[-1], int) else loc
    path, name = ".".join(map(str, loc)) or part, str(loc[-1]) if loc else part
    if problem["type"] == "extra_forbidden":
        return f"it has no {path}"
    return f"{path} must be {FORMS[name]}" if name in FORMS else f"{path}: {problem['msg']}"
