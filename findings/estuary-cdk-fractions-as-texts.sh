#!/bin/sh
# estuary-cdk 0.3.0.dev31: a fraction of a document that is read as a stream is captured as a text.
#
# IncrementalJsonProcessor reads a page object by object. It gives each number with a fraction or an exponent as a
# Decimal, and a captured Decimal is written as a text: a tax rate of 8.25 % has the percentage "8.25". The same page
# that is read in one piece keeps the number. A connector that takes to streams changes the type of these fields in a
# collection that is already there. Fields that the model names as float stay numbers; all others are texts.
#
# Output seen:
#   as a stream:  {"id":"txr_1","percentage":"8.25","effective_percentage":"8.0"}
#   in one piece: {"id":"txr_1","percentage":8.25,"effective_percentage":8.0}
#
# Needs python3 and a package index. Fails if the CDK writes it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check estuary-cdk==0.3.0.dev31
cat > "$folder/read.py" <<'PYTHON'
import asyncio
import io
import json
import logging
from collections.abc import AsyncGenerator

from estuary_cdk.capture.common import BaseDocument, ConnectorState
from estuary_cdk.capture.connector_status import ConnectorStatus
from estuary_cdk.capture.task import Task
from estuary_cdk.capture.transactor import Transactor
from estuary_cdk.incremental_json_processor import IncrementalJsonProcessor

RATE = '{"id":"txr_1","percentage":8.25,"effective_percentage":8.0}'
PAGE = f'{{"object":"list","data":[{RATE}],"has_more":false}}'.encode()


class TaxRate(BaseDocument):
    id: str


async def body() -> AsyncGenerator[bytes, None]:
    yield PAGE


async def captured(rate: TaxRate) -> str:
    """The document as the CDK writes it for Flow, as JSON text."""
    output, log, stopping = io.BytesIO(), logging.getLogger(), Task.Stopping()
    async with asyncio.TaskGroup() as group:
        status = ConnectorStatus(log, stopping)
        task = Task(log, status, "capture", output, stopping, group, Transactor(output), "acmeCo/capture")
        task.captured(0, rate)
        await task.checkpoint(ConnectorState())
    line = output.getvalue().splitlines()[0]
    return json.dumps(json.loads(line)["captured"]["doc"], separators=(",", ":"))


async def main() -> None:
    (streamed,) = [rate async for rate in IncrementalJsonProcessor(body(), "data.item", TaxRate)]
    whole = TaxRate.model_validate(json.loads(PAGE)["data"][0])
    as_stream, in_one_piece = await captured(streamed), await captured(whole)
    print("as a stream: ", as_stream)
    print("in one piece:", in_one_piece)
    assert as_stream == '{"id":"txr_1","percentage":"8.25","effective_percentage":"8.0"}'
    assert in_one_piece == RATE


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
