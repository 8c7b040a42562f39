"""What the connector uses of the CDK beyond its public names, or relies on in it: a new CDK that differs
fails here in one line."""

import inspect
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

import pytest
from estuary_cdk import cron
from estuary_cdk.capture import _emit, base_capture_connector, common, transactor
from estuary_cdk.capture.connector_status import ConnectorStatus
from estuary_cdk.capture.task import Task

from source_stripe_native.flow.log_lines import DROPPED, ROUTINE
from tests.documentation import ROOT

SIGNATURES: Final[dict[Callable[..., Any], str]] = {
    Task.__init__: "self, log, connector_status, name, output, stopping, tg, transactor, catalog_task_name, "
    "requires_ack",
    Task.captured: "self, binding, document",
    Task.checkpoint: "self, state, merge_patch",
    Task.reset: "self",
    Task.spawn_child: "self, name_suffix, child",
    transactor.Transactor.__init__: "self, output, requires_explicit_acks",
    transactor.Transactor.commit: "self, buffer, wait_for_ack",
    ConnectorStatus.__init__: "self, log, stopping",
    base_capture_connector.BaseCaptureConnector.handle: "self, log, request",
    common.open: "open, resolved_bindings",
    common.open_binding: "binding, binding_index, resource_state, task, fetch_changes, fetch_page, "
    "fetch_snapshot, tombstone",
    common.is_recurring_fetch_page_fn: "fn, log, page, cutoff, is_connector_initiated",
}
SAYS: Final[dict[Callable[..., Any], list[str]]] = {
    # The buffer is closed at a task's end, and has no other user.
    Task._captured: ["self._buffer.write(b)"],
    Task._emit_checkpoint: [
        "Response[Any, Any, ConnectorState](",
        "await self.transactor.commit(",
        "self._reset()",
    ],
    # A write is one call on a thread, and no other write is under way.
    _emit.emit_from_buffer: ["async with _emit_lock:", "asyncio.to_thread(_copy_buffer, buffer, output)"],
    _emit.emit_bytes: ["async with _emit_lock:", "asyncio.to_thread(_write_bytes, data, output)"],
    # The CDK's schedules do nothing where the pattern is blank.
    common.open: ["state.last_initialized = NOW", "cron_schedule = binding.resourceConfig.schedule"],
    common._binding_backfill_task: ["cron_schedule = binding.resourceConfig.schedule"],
    cron.next_fire: ["if not cron_expression:"],
}
"""What the source of a function has to have in it."""


def test_the_cdk_is_the_one_that_the_project_is_pinned_to() -> None:
    (pinned,) = re.findall(r'"estuary-cdk ==(\S+)"', (ROOT / "pyproject.toml").read_text())
    assert version("estuary-cdk") == pinned


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda each: each.__qualname__)
def test_signature_is_as_the_connector_calls_it(function: Callable[..., Any]) -> None:
    assert ", ".join(inspect.signature(function).parameters) == SIGNATURES[function]


@pytest.mark.parametrize("function", SAYS, ids=lambda each: each.__qualname__)
def test_source_is_as_the_connector_relies_on_it(function: Callable[..., Any]) -> None:
    source = inspect.getsource(function)
    assert [each for each in SAYS[function] if each not in source] == []


def test_messages_of_the_cdk_that_are_lowered_or_dropped_are_still_its_messages() -> None:
    source = inspect.getsource(common) + inspect.getsource(base_capture_connector)
    routine = re.sub(r"\(?\bf?\"([^\"]*)\"", r"\1", source)
    for message in (
        *(
            "beginning backfill",
            "resuming backfill",
            "completed backfill",
            "resuming incremental replication",
        ),
        *("clearing checkpoint due to backfill trigger", "incremental task triggered backfill"),
    ):
        assert ROUTINE.fullmatch(message), message
        assert message in routine, message
    assert DROPPED.fullmatch("resolved feature flags")
    assert "resolved feature flags" in source
    status = inspect.getsource(ConnectorStatus._log_status)
    for message in re.findall(r'f"([^"]+)"', status):
        assert DROPPED.fullmatch(re.sub(r"\{[^}]+\}", "7", message)), message


def test_no_module_but_those_of_flow_touches_what_is_private_in_the_cdk() -> None:
    private = re.compile(
        r"\btask\._|estuary_cdk\S* import .*\b_|connector_status|_buffer\b|\btransactor\b|estuary_cdk\.cron"
    )
    package = ROOT / "source_stripe_native"
    found = {
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.parent.name != "flow"
        for line in path.read_text().splitlines()
        if private.search(line)
    }
    assert found == set()
