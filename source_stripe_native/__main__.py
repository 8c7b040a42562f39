"""The protocol's verbs, served on stdin and stdout. With arguments, the commands of command_line.py."""

import gc

from source_stripe_native import signals

if __name__ == "__main__":
    # Before the imports, which take a while: they would be interrupted with a traceback.
    signals.end_at_once()
    # What they make is there to stay: a tenth of their time would go into looking for garbage.
    gc.disable()

import asyncio
import functools
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, Final

try:
    from estuary_cdk import Stopped
except ModuleNotFoundError as error:
    raise SystemExit(
        f"source_stripe_native needs its packages, and {error.name} is not installed here: use the targets "
        "of make (see make help), or `source .venv/bin/activate` once make has set it up"
    ) from None
from estuary_cdk.capture import BaseCaptureConnector, common, request, response
from estuary_cdk.capture.task import Response, Task
from estuary_cdk.flow import ConnectorSpec
from estuary_cdk.flow import ConnectorState as AnyState
from estuary_cdk.logger import FlowLogger, init_logger

from source_stripe_native.config import EndpointConfig, ResourceConfig, interval_of
from source_stripe_native.errors import ConnectorError
from source_stripe_native.last_capture import refuse_switch, warn_of_earlier_start
from source_stripe_native.loggers import passing
from source_stripe_native.one_line import ignore_known, last_line, one_line, release_output, report
from source_stripe_native.requests import (
    ExaminedRequest,
    StripeRequest,
    read_requests,
    refuse_future,
    refuse_stdin,
    shard_of,
    stream_names,
)
from source_stripe_native.resources import all_resources
from source_stripe_native.scheduling.queue_config import MIN_INTERVAL
from source_stripe_native.sessions import open_session
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.state import ConnectorState, previous_state

DOCUMENTATION_URL: Final = "https://go.estuary.dev/source-stripe-native"
ABOUT: Final = (
    "This is a capture connector: Flow runs it and sends it requests on stdin. To look at an account "
    "yourself, see source-stripe-native --help."
)
COMPLETION: Final = "_SOURCE_STRIPE_NATIVE_COMPLETE"
"""Set where a shell asks for completions, by click's convention. The script then has no arguments."""

_CHECKPOINT: Final = Response[Any, Any, AnyState]  # type: ignore[valid-type] # unbound, as in the CDK
"""The class of which the CDK makes each checkpoint. pydantic forgets a class that nobody keeps: it would be
made anew after each collection of garbage, which takes two milliseconds."""


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
            await super().handle(log, request)
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
        async with open_session(discover.config, self._settings, self._settings.unary_patience) as http:
            return common.discovered(await all_resources(log, http, discover.config))

    async def validate(
        self, log: FlowLogger, validate: request.Validate[EndpointConfig, ResourceConfig]
    ) -> response.Validated:
        refuse_switch(validate)
        refuse_future(validate.config)
        names = stream_names(validate.bindings)
        async with open_session(validate.config, self._settings, self._settings.unary_patience) as http:
            resources = await all_resources(log, http, validate.config, names)
        warn_of_earlier_start(log, validate)
        return common.validated(common.resolve_bindings(validate.bindings, resources))

    async def open(
        self, log: FlowLogger, open: request.Open[EndpointConfig, ResourceConfig, ConnectorState]
    ) -> tuple[response.Opened, Callable[[Task], Awaitable[None]]]:
        config, shard = open.capture.config, shard_of(open.range)
        names = stream_names(open.capture.bindings)
        for binding in open.capture.bindings:
            # The CDK's loop would keep the processor busy.
            binding.resourceConfig.interval = max(interval_of(binding.resourceConfig), MIN_INTERVAL)
        if "start_date" not in config.model_fields_set:
            log.warning(
                "start_date is not set: older objects are captured only once they change",
                {"start_date": config.start_date.isoformat()},
            )
        http = await self._while_open.enter_async_context(
            open_session(
                config,
                self._settings,
                self._settings.patience,
                self._settings.key_patience,
                # A single account is captured by one shard alone, however small that is.
                shard.share if config.capture_connected_accounts else 1.0,
            )
        )
        states = {
            binding.resourceConfig.name: state
            for binding in open.capture.bindings
            if (state := previous_state(open.state, binding.stateKey)) is not None
        }
        resources = await all_resources(log, http, config, names, states, shard)
        if open.capture.bindings and not resources:
            # The state stays as it is, whatever the bindings' schedules say.
            return response.Opened(explicitAcknowledgements=False), _idle
        bindings = common.resolve_bindings(open.capture.bindings, resources)
        opened, capture = common.open(open, bindings)

        async def run(task: Task) -> None:
            self._stopping = task.stopping
            log = passing(task.log)
            # A group of its own, since the CDK waits half an hour for its group to end.
            async with _ended_in_time(task, self._settings.stop_patience), asyncio.TaskGroup() as group:
                status, name = task.connector_status, task.catalog_task_name
                status.log = passing(status.log)
                await capture(
                    Task(log, status, "capture", self.output, task.stopping, group, task.transactor, name)
                )
                # The CDK keeps both as long as the capture runs, with all that only the opening needs.
                bindings.clear()
                open.state.bindingStateV1.clear()
                self._opened()

        return opened, run


async def _idle(task: Task) -> None:
    """Keeps a capture open that has nothing to do."""
    await task.stopping.event.wait()


@asynccontextmanager
async def _ended_in_time(task: Task, patience: timedelta) -> AsyncIterator[None]:
    """Cancels the block once the capture has been stopping for `patience`, since a retry may take minutes.
    Nothing is lost: a document counts only with the checkpoint after it."""

    async def set_deadline() -> None:
        await task.stopping.event.wait()
        deadline.reschedule(asyncio.get_running_loop().time() + patience.total_seconds())

    try:
        async with asyncio.timeout(None) as deadline:
            watch = asyncio.create_task(set_deadline())
            try:
                yield
            finally:
                watch.cancel()
    except TimeoutError:
        if not deadline.expired():
            raise
        task.log.info("stopped in the middle: what was under way is done again at the next start")


def _collect_garbage(settings: Settings) -> None:
    """Collects garbage from now on. To look through what is there already would hold the loop each time."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, settings.middle_collections)
    gc.freeze()
    gc.enable()


def main(settings: Settings = DEFAULTS) -> None:
    signals.end_at_once()
    logging.addLevelName(5, "TRACE")  # which Flow has below debug
    try:
        log = init_logger()
    except ValueError:
        logging.getLogger("flow").error("LOG_LEVEL must be error, warn, info, debug or trace: set it to one.")
        raise SystemExit(1) from None
    for handler in logging.getLogger().handlers:
        handler.addFilter(one_line)
    sys.unraisablehook = ignore_known
    try:
        refuse_stdin()
        # What the opening of a capture makes is there to stay.
        gc.disable()
        opened = functools.partial(_collect_garbage, settings)
        asyncio.run(Connector(settings, opened).serve(log, read_requests))
    except Exception as error:  # noqa: BLE001 - Python would show a traceback
        log.error(report(log, error))
        raise SystemExit(1) from None
    finally:
        release_output()
        gc.freeze()  # Python would look through everything once more at its end


def command() -> None:
    """The console script. Its commands are imported only where there is one: Flow starts many connectors."""
    if len(sys.argv) > 1 or COMPLETION in os.environ:
        from source_stripe_native import command_line

        gc.freeze()
        gc.enable()
        command_line.main(prog_name="source-stripe-native")
    elif sys.stdin is not None and sys.stdin.isatty():
        raise SystemExit(ABOUT)
    else:
        main()


if __name__ == "__main__":
    command()
