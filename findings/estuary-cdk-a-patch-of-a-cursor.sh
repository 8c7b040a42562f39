#!/bin/sh
# estuary-cdk 0.3.0.dev31: a cursor's change that is yielded as the CDK shows it is captured, and ends the backfill.
#
# A backfill may have a dict as its cursor. The first one goes through make_cursor_dict. Later ones have only what
# changed: in the example of that function's docstring, a plain dict with None for a part that is done. The CDK takes
# each dict without its mark for a document. It captures {"acct_1": null}, reads no further page, and writes into the
# state that the backfill is complete. A change that goes through make_cursor_dict too leads to the next part.
#
# Output seen, for a backfill of two accounts:
#   as in the docstring: pages: acct_1 acct_2; captured: {"id":"cus_1"} {"acct_1":null}; complete: True
#   marked as a cursor:  pages: acct_1 acct_2, acct_2; captured: {"id":"cus_1"} {"id":"cus_2"}; complete: True
#
# Needs python3 and a package index. Fails if the CDK takes it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check estuary-cdk==0.3.0.dev31
cat > "$folder/backfill.py" <<'PYTHON'
import asyncio
import io
import json
import logging
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

from estuary_cdk.capture.common import ResourceConfig, ResourceState, make_cursor_dict, open_binding
from estuary_cdk.capture.connector_status import ConnectorStatus
from estuary_cdk.capture.task import Task
from estuary_cdk.capture.transactor import Transactor
from estuary_cdk.flow import CaptureBinding, CollectionSpec

Object = dict[str, Any]
CUSTOMERS = {"acct_1": "cus_1", "acct_2": "cus_2"}


async def backfilled(change: Callable[[Object], Object]) -> tuple[list[list[str]], list[Object], bool]:
    """The accounts that each page had to read, what was captured, and whether the backfill is complete."""
    output, log, stopping = io.BytesIO(), logging.getLogger(), Task.Stopping()
    pages: list[list[str]] = []

    async def fetch(_: logging.Logger, page: Any, __: Any) -> AsyncGenerator[Object, None]:
        if page is None:
            yield make_cursor_dict({account: {"after": ""} for account in CUSTOMERS})
        elif page:
            pages.append(list(page))
            account = min(page)
            yield {"id": CUSTOMERS[account]}
            yield change({account: None})

    binding = CaptureBinding(
        collection=CollectionSpec(name="acmeCo/customers", key=["/id"], writeSchema={}),
        resourceConfig=ResourceConfig(name="Customers"),
        resourcePath=["Customers"],
        stateKey="Customers",
    )
    state = ResourceState(backfill=ResourceState.Backfill(cutoff=datetime(2026, 5, 28, tzinfo=UTC)))
    async with asyncio.TaskGroup() as group:
        status = ConnectorStatus(log, stopping)
        task = Task(log, status, "capture", output, stopping, group, Transactor(output), "acmeCo/capture")
        open_binding(binding, 0, state, task, fetch_page=fetch)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    documents = [line["captured"]["doc"] for line in lines if "captured" in line]
    last = lines[-1]["checkpoint"]["state"]["updated"]["bindingStateV1"]["Customers"]
    return pages, documents, last == {"backfill": None}


def printed(pages: list[list[str]], documents: list[Object], is_complete: bool) -> str:
    asked = ", ".join(map(" ".join, pages))
    texts = " ".join(json.dumps(document, separators=(",", ":")) for document in documents)
    return f"pages: {asked}; captured: {texts}; complete: {is_complete}"


async def main() -> None:
    logging.disable()
    plain, marked = await backfilled(lambda change: change), await backfilled(make_cursor_dict)
    print("as in the docstring:", printed(*plain))
    print("marked as a cursor: ", printed(*marked))
    assert plain == ([["acct_1", "acct_2"]], [{"id": "cus_1"}, {"acct_1": None}], True)
    assert marked == ([["acct_1", "acct_2"], ["acct_2"]], [{"id": "cus_1"}, {"id": "cus_2"}], True)


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/backfill.py"
