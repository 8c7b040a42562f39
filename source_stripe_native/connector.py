"""The connector: the verbs of Flow's capture protocol, spec, discover, validate and open."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from estuary_cdk import Stopped
from estuary_cdk.capture import BaseCaptureConnector, common, request, response
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import ConnectorSpec
from estuary_cdk.logger import FlowLogger

from source_stripe_native.config import EndpointConfig, ResourceConfig, interval_of
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow.last_capture import refuse_switch, warn_of_earlier_start
from source_stripe_native.flow.log_lines import PassingLogger, last_line, report
from source_stripe_native.flow.output import WholeCommits, capture_task
from source_stripe_native.flow.redaction import annotate, refuse_unredacted
from source_stripe_native.flow.requests import (
    ExaminedRequest,
    StripeRequest,
    refuse_future,
    refuse_useless,
    shard_of,
    stream_names,
)
from source_stripe_native.flow.schedules import Schedules, refuse_schedules
from source_stripe_native.flow.waits import ended_in_time
from source_stripe_native.notices.notices import port_of
from source_stripe_native.resources import Opening, all_resources
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.state.shapes import ConnectorState, previous_state
from source_stripe_native.stripe.sessions import open_session

DOCUMENTATION_URL: Final = "https://go.estuary.dev/source-stripe-native"


class Connector(BaseCaptureConnector[EndpointConfig, ResourceConfig, ConnectorState]):
    def __init__(self, settings: Settings = DEFAULTS, opened: Callable[[], None] = lambda: None) -> None:
        """`opened` is called once all bindings of a capture are open."""
        self._settings = settings
        self._opened = opened
        self._while_open = AsyncExitStack()
        self._stopping: Task.Stopping | None = None
        """Why the tasks of an open capture stop."""

    async def exit(self, _log: FlowLogger) -> None:
        await self._while_open.aclose()

    async def handle(self, log: FlowLogger, request: StripeRequest) -> None:
        try:
            await super().handle(PassingLogger(log), request)
        except Stopped as stopped:
            if self._stopping is None or (error := self._stopping.first_error) is None:
                raise
            stopped.error = f"Task {self._stopping.first_error_task}: {last_line(error)}"
            raise
        except Exception as error:  # noqa: BLE001 - the CDK would show a traceback
            raise ConnectorError(report(log, error)) from None

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
        refuse_useless(discover.config)
        async with open_session(discover.config, self._settings, self._settings.unary_patience) as http:
            found = common.discovered(await all_resources(log, http, discover.config, listed=False))
        for binding in found.bindings:
            annotate(binding.documentSchema, discover.config.advanced.redact_personal_data)
        return found

    async def validate(
        self, log: FlowLogger, validate: request.Validate[EndpointConfig, ResourceConfig]
    ) -> response.Validated:
        refuse_switch(validate)
        refuse_future(validate.config)
        refuse_unredacted(validate.bindings, validate.config.advanced.redact_personal_data)
        refuse_schedules(
            {binding.resourceConfig.name: binding.resourceConfig.schedule for binding in validate.bindings}
        )
        names = stream_names(validate.bindings)
        refuse_useless(validate.config, names)
        async with open_session(validate.config, self._settings, self._settings.unary_patience) as http:
            resources = await all_resources(log, http, validate.config, names, listed=False)
        warn_of_earlier_start(log, validate)
        return common.validated(common.resolve_bindings(validate.bindings, resources))

    async def open(
        self, log: FlowLogger, open: request.Open[EndpointConfig, ResourceConfig, ConnectorState]
    ) -> tuple[response.Opened, Callable[[Task], Awaitable[None]]]:
        config, shard = open.capture.config, shard_of(open.range)
        names = stream_names(open.capture.bindings)
        resource_configs = [binding.resourceConfig for binding in open.capture.bindings]
        for resource in resource_configs:
            resource.interval = interval_of(resource)
        if "start_date" not in config.model_fields_set:
            log.warning(
                "start_date is not set: older objects are captured only once they change",
                {"start_date": config.start_date.isoformat()},
            )
        http = await self._while_open.enter_async_context(
            open_session(
                config,
                self._settings,
                # A single account is captured by one shard alone, however small that is.
                share=shard.share if config.capture_connected_accounts else 1.0,
            )
        )
        states = {
            binding.resourceConfig.name: state
            for binding in open.capture.bindings
            if (state := previous_state(open.state, binding.stateKey)) is not None
        }
        schedules = Schedules.take(resource_configs, self._settings.schedule_interval, log)
        secrets, opening = config.advanced.signing_secrets, Opening(states, shard, schedules)
        port = port_of(os.environ if secrets else {})
        resources = await all_resources(log, http, config, names, opening)
        if open.capture.bindings and not resources:
            return response.Opened(explicitAcknowledgements=False), _idle
        bindings = common.resolve_bindings(open.capture.bindings, resources)
        opened, capture = common.open(open, bindings)

        async def run(task: Task) -> None:
            self._stopping = task.stopping
            if opening.notices is not None:
                # A server takes a while to import, and most captures have none.
                from source_stripe_native.notices.server import PostServer, listening

                server = PostServer(opening.notices, secrets, http.now, task.stopping.event, log)
                await self._while_open.enter_async_context(listening(server, port))
            # A group of its own, since the CDK waits half an hour for its group to end.
            async with (
                ended_in_time(task, self._settings.stop_patience),
                asyncio.TaskGroup() as group,
            ):
                root = capture_task(task, WholeCommits(self.output), group)
                await capture(root)
                # The CDK keeps both as long as the capture runs, with all that only the opening needs.
                bindings.clear()
                open.state.bindingStateV1.clear()
                self._opened()
            await schedules.write_requests(root)

        return opened, run


async def _idle(task: Task) -> None:
    """Keeps a capture open that has nothing to do."""
    await task.stopping.event.wait()
