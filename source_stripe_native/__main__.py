"""The protocol's verbs, served on stdin and stdout."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

import pydantic
from estuary_cdk import stdin_jsonl
from estuary_cdk.capture import BaseCaptureConnector, Request, common, request, response
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import ConnectorSpec, ValidationError
from estuary_cdk.logger import FlowLogger, init_logger

from source_stripe_native.errors import ConnectorError, scrub
from source_stripe_native.http import PATIENCE, UNARY_PATIENCE, StripeSession, api_base
from source_stripe_native.models import ConnectorState, EndpointConfig, ResourceConfig
from source_stripe_native.resources import all_resources

DOCUMENTATION_URL: Final = "https://go.estuary.dev/source-stripe-native"
SWITCH: Final = "capture_connected_accounts"

StripeRequest = Request[EndpointConfig, ResourceConfig, ConnectorState]


class Connector(BaseCaptureConnector[EndpointConfig, ResourceConfig, ConnectorState]):
    def __init__(self) -> None:
        self._while_open = AsyncExitStack()

    async def exit(self, _log: FlowLogger) -> None:
        await self._while_open.aclose()

    def request_class(self) -> type[StripeRequest]:
        return StripeRequest

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
        names = {each.resourceConfig.name for each in validate.bindings}
        async with _session(validate.config, UNARY_PATIENCE) as http:
            resources = await all_resources(log, http, validate.config, names)
        return common.validated(common.resolve_bindings(validate.bindings, resources))

    async def open(
        self, log: FlowLogger, open: request.Open[EndpointConfig, ResourceConfig, ConnectorState]
    ) -> tuple[response.Opened, Callable[[Task], Awaitable[None]]]:
        config = open.capture.config
        names = {each.resourceConfig.name for each in open.capture.bindings}
        if "start_date" not in config.model_fields_set:
            log.warning(
                "start_date is not set: older objects are captured only once they change",
                {"start_date": config.start_date.isoformat()},
            )
        http = await self._while_open.enter_async_context(_session(config, PATIENCE))
        resources = await all_resources(log, http, config, names)
        return common.open(open, common.resolve_bindings(open.capture.bindings, resources))


def _session(config: EndpointConfig, patience: timedelta) -> StripeSession:
    return StripeSession(
        config.credentials.access_token,
        base=api_base(os.environ),
        version=config.advanced.api_version,
        patience=patience,
    )


def _refuse_switch(validate: request.Validate[EndpointConfig, ResourceConfig]) -> None:
    """A binding's state has another shape with connected accounts than without, and its collection other
    accounts: switching means to begin anew, for each binding that was there before."""
    last = validate.lastCapture
    if (
        last is None
        or bool(last.config.config.get(SWITCH, False)) == validate.config.capture_connected_accounts
    ):
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
    parts: Sequence[tuple[str, str, str]] = (
        ("state", "The capture's state cannot be read", "Backfill the bindings named again."),
        ("resourceConfig", "A binding's resource config is not valid", "Correct it, or discover again."),
        ("config", "The endpoint config is not valid", "Correct it and publish again."),
    )
    for part, what, advice in parts:
        if within := [each for each in problems if part in each["loc"]]:
            listed = "; ".join(
                f"{'.'.join(map(str, each['loc'][each['loc'].index(part) + 1 :])) or part}: {each['msg']}"
                for each in within[:3]
            )
            return f"{what}: {listed}. {advice}"
    return f"The request is not one of Flow's capture protocol: {problems[0]['msg']}."


def one_line(record: logging.LogRecord) -> bool:
    """A log filter: an error that says what to do is shown without the traceback the CDK puts before it."""
    error = sys.exception()
    if isinstance(error, ValidationError) and str(record.msg).startswith("Traceback"):
        record.msg = scrub("; ".join(error.errors))
    return True


def main() -> None:
    log = init_logger()
    for handler in logging.getLogger().handlers:
        handler.addFilter(one_line)
    try:
        asyncio.run(Connector().serve(log, read_requests))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
