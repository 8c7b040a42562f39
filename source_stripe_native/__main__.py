"""The protocol's verbs, served on stdin and stdout."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pydantic
from estuary_cdk import stdin_jsonl
from estuary_cdk.capture import BaseCaptureConnector, Request, common, request, response
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import CaptureBinding, ConnectorSpec, ValidationError
from estuary_cdk.logger import FlowLogger, init_logger
from pydantic_core import ErrorDetails

from source_stripe_native.errors import ConnectorError, scrub
from source_stripe_native.http import PATIENCE, UNARY_PATIENCE, Json, StripeSession, api_base, budget_for
from source_stripe_native.models import STREAMS, Advanced, ConnectorState, EndpointConfig, ResourceConfig
from source_stripe_native.priority_capture import MIN_INTERVAL
from source_stripe_native.resources import all_resources

DOCUMENTATION_URL: Final = "https://go.estuary.dev/source-stripe-native"
SWITCH: Final = "capture_connected_accounts"

VERBS: Final = ("spec", "discover", "validate", "apply", "open", "acknowledge")

FORMS: Final = {
    "credentials": "an object with the API key as its access_token",
    "access_token": "the API key (sk_... or rk_...)",
    "start_date": "a UTC time such as 2020-01-01T00:00:00Z",
    "capture_connected_accounts": "true or false",
    "config": "an object",
    "advanced": "an object",
    "api_version": "a version such as 2024-06-20, or blank",
    "incremental_window_size": "an ISO 8601 duration above zero such as PT1H",
    "max_requests_per_second": "a number above zero such as 50, or left out",
    "interval": "an ISO 8601 duration such as PT5M",
    "schedule": "a cron expression in UTC such as '0 6 * * *', or blank",
}
"""What a field of a config has to be, for the error about one that is not."""


StripeRequest = Request[EndpointConfig, ResourceConfig, ConnectorState]


class ExaminedRequest(StripeRequest):
    """A request that was looked at before it is read, for what its own types would let pass or stumble at.
    Raises ConnectorError."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _examine(cls, request: Any) -> Any:
        if isinstance(request, dict) and sum(request.get(verb) is not None for verb in VERBS) != 1:
            raise ConnectorError(
                f"A request must have exactly one verb of Flow's capture protocol: {', '.join(VERBS)}."
            )
        match request:
            case {"validate": {"config": dict(config)}}:
                _refuse_unknown(config)
            case {
                "open": {"capture": {"bindings": list(bindings)}, "state": {"bindingStateV1": dict(states)}}
            }:
                # What a binding left behind before its last backfill may be in a shape of long ago.
                current = {str(each.get("stateKey")) for each in bindings if isinstance(each, dict)}
                for key in states.keys() - current:
                    del states[key]
        return request


class Connector(BaseCaptureConnector[EndpointConfig, ResourceConfig, ConnectorState]):
    def __init__(self) -> None:
        self._while_open = AsyncExitStack()

    async def exit(self, _log: FlowLogger) -> None:
        await self._while_open.aclose()

    async def handle(self, log: FlowLogger, request: StripeRequest) -> None:
        try:
            await super().handle(log, request)
        except ExceptionGroup as group:
            # What fails while bindings open comes in the group of their tasks, which would be shown whole.
            error: Exception = group
            while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]
            raise error from None

    def request_class(self) -> type[StripeRequest]:
        return ExaminedRequest

    async def spec(self, _log: FlowLogger, _: request.Spec) -> ConnectorSpec:
        return ConnectorSpec(
            configSchema=EndpointConfig.model_json_schema(),
            resourceConfigSchema=ResourceConfig.model_json_schema(),
            documentationUrl=DOCUMENTATION_URL,
            resourcePathPointers=ResourceConfig.PATH_POINTERS,
        )

    async def discover(
        self, log: FlowLogger, discover: request.Discover[EndpointConfig]
    ) -> response.Discovered[ResourceConfig]:
        async with _session(discover.config, UNARY_PATIENCE) as http:
            return common.discovered(await all_resources(log, http, discover.config))

    async def validate(
        self, log: FlowLogger, validate: request.Validate[EndpointConfig, ResourceConfig]
    ) -> response.Validated:
        _refuse_switch(validate)
        _refuse_future(validate.config)
        names = _stream_names(validate.bindings)
        async with _session(validate.config, UNARY_PATIENCE) as http:
            resources = await all_resources(log, http, validate.config, names)
        return common.validated(common.resolve_bindings(validate.bindings, resources))

    async def open(
        self, log: FlowLogger, open: request.Open[EndpointConfig, ResourceConfig, ConnectorState]
    ) -> tuple[response.Opened, Callable[[Task], Awaitable[None]]]:
        config = open.capture.config
        names = _stream_names(open.capture.bindings)
        for binding in open.capture.bindings:
            # The CDK's loop would keep the processor busy.
            binding.resourceConfig.interval = max(binding.resourceConfig.interval, MIN_INTERVAL)
        if "start_date" not in config.model_fields_set:
            log.warning(
                "start_date is not set: older objects are captured only once they change",
                {"start_date": config.start_date.isoformat()},
            )
        http = await self._while_open.enter_async_context(_session(config, PATIENCE))
        resources = await all_resources(log, http, config, names)
        return common.open(open, common.resolve_bindings(open.capture.bindings, resources))


def _session(config: EndpointConfig, patience: timedelta) -> StripeSession:
    key = config.credentials.access_token
    return StripeSession(
        key,
        base=api_base(os.environ),
        version=config.advanced.api_version or None,
        patience=patience,
        budget=budget_for(key, config.advanced.max_requests_per_second),
    )


def _stream_names(
    bindings: Sequence[CaptureBinding[ResourceConfig] | request.ValidateBinding[ResourceConfig]],
) -> set[str]:
    """The streams of `bindings`. Raises ConnectorError where there is none of such a name."""
    names = {each.resourceConfig.name for each in bindings}
    if unknown := sorted(names - {each.NAME for each in STREAMS}):
        raise ConnectorError(
            f"There is no stream named {', '.join(unknown)}: discover again, or disable the binding."
        )
    return names


def _refuse_unknown(config: Json) -> None:
    """A field that is misspelled would silently have its default."""
    advanced = config.get("advanced")
    unknown = [each for each in config if each not in EndpointConfig.model_fields]
    if isinstance(advanced, dict):
        unknown += [f"advanced.{each}" for each in advanced if each not in Advanced.model_fields]
    if unknown:
        raise ConnectorError(
            f"The endpoint config has no {', '.join(unknown)}: correct the spelling, or leave it out."
        )


def _refuse_future(config: EndpointConfig) -> None:
    if config.start_date > datetime.now(tz=UTC):
        raise ConnectorError(
            f"start_date {config.start_date.isoformat()} is in the future, so that nothing would be "
            "backfilled: set a time that has passed."
        )


def _refuse_switch(validate: request.Validate[EndpointConfig, ResourceConfig]) -> None:
    """A binding's state has another shape with connected accounts than without, and its collection other
    accounts: switching means to begin anew, for each binding that was there before."""
    last = validate.lastCapture
    if last is None:
        return
    switched_on = pydantic.TypeAdapter(bool).validate_python(last.config.config.get(SWITCH) or False)
    if switched_on == validate.config.capture_connected_accounts:
        return
    before = {tuple(each.resourceConfig.path()): each.backfill for each in last.bindings}
    kept = [
        each.resourceConfig.name
        for each in validate.bindings
        if (counter := before.get(tuple(each.resourceConfig.path()))) is not None and each.backfill <= counter
    ]
    if kept:
        raise ConnectorError(
            f"{SWITCH} was changed, which needs every binding to be backfilled again: request a backfill of "
            f"{', '.join(kept)} in the same publication, or change it back."
        )


async def read_requests(cls: type[StripeRequest]) -> AsyncGenerator[StripeRequest, None]:
    """The requests on stdin. Raises ConnectorError, without the input in it, for one that is not valid."""
    try:
        async for each in stdin_jsonl(cls):
            yield each
    except pydantic.ValidationError as error:
        raise ConnectorError(_explain(error)) from None


def _explain(error: pydantic.ValidationError) -> str:
    """One line: the part of the request that is wrong, what is wrong with it, and what to do."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    if within := [each["loc"] for each in problems if "state" in each["loc"]]:
        places = {".".join(map(str, loc[loc.index("state") + 1 :][:3])) or "its top" for loc in within}
        return (
            f"The capture's state cannot be read at {', '.join(sorted(places))}: request a backfill of that "
            "binding, or create the capture anew where none is named."
        )
    for part, what in (("resourceConfig", "A binding's resource config"), ("config", "The endpoint config")):
        if wrong := [_problem(part, each) for each in problems if part in each["loc"]]:
            return f"{what} is not valid: {'; '.join(wrong)}. Correct it and publish again."
    return f"The request is not one of Flow's capture protocol: {problems[0]['msg']}."


def _problem(part: str, problem: ErrorDetails) -> str:
    loc = problem["loc"][problem["loc"].index(part) + 1 :]
    path, name = ".".join(map(str, loc)) or part, str(loc[-1]) if loc else part
    if problem["type"] == "extra_forbidden":
        return f"it has no {path}"
    return f"{path} must be {FORMS[name]}" if name in FORMS else f"{path}: {problem['msg']}"


def one_line(record: logging.LogRecord) -> bool:
    """A log filter: an error that says what to do is shown without the traceback the CDK puts before it. The
    CDK logs the error of a capture's task twice, as it comes and as the last line: only that is the error."""
    error = sys.exception()
    if isinstance(error, ValidationError) and str(record.msg).startswith("Traceback"):
        record.msg = scrub("; ".join(error.errors))
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def main() -> None:
    logging.addLevelName(5, "TRACE")  # which Flow has below debug
    try:
        log = init_logger()
    except ValueError:
        logging.getLogger("flow").error("LOG_LEVEL must be error, warn, info, debug or trace: set it to one.")
        raise SystemExit(1) from None
    for handler in logging.getLogger().handlers:
        handler.addFilter(one_line)
    try:
        asyncio.run(Connector().serve(log, read_requests))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
