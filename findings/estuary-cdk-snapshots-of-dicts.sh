#!/bin/sh
# estuary-cdk 0.3.0.dev31: documents of a snapshot that are plain dicts are captured without their key.
#
# A snapshot's collection must have the key /_meta/row_id, and a snapshot may yield models or plain dicts. The CDK
# numbers both. It writes the number of a dict into "meta_", the name of the model's attribute, and that of a model into
# "_meta". The deletion of a document that is gone is always a model: it names the key that the dict never had.
#
# Output seen, for a list of two webhook endpoints, of which one is deleted later:
#   models: {"_meta":{"op":"c","row_id":0},"id":"we_1"}
#           {"_meta":{"op":"c","row_id":1},"id":"we_2"}
#           {"_meta":{"op":"u","row_id":0},"id":"we_1"}
#           {"_meta":{"op":"d","row_id":1}}
#   dicts:  {"id":"we_1","meta_":{"op":"c","row_id":0}}
#           {"id":"we_2","meta_":{"op":"c","row_id":1}}
#           {"id":"we_1","meta_":{"op":"u","row_id":0}}
#           {"_meta":{"op":"d","row_id":1}}
#
# Needs python3 and a package index. Fails if the CDK writes them otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check estuary-cdk==0.3.0.dev31
cat > "$folder/snapshot.py" <<'PYTHON'
import asyncio
import io
import json
import logging
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta

from estuary_cdk.capture.common import BaseDocument, ResourceConfig, ResourceState, open_binding
from estuary_cdk.capture.connector_status import ConnectorStatus
from estuary_cdk.capture.task import Task
from estuary_cdk.capture.transactor import Transactor
from estuary_cdk.flow import CaptureBinding, CollectionSpec

LISTS = [["we_1", "we_2"], ["we_1"]]
DELETION = '{"_meta":{"op":"d","row_id":1}}'


class Endpoint(BaseDocument):
    id: str


async def captured(document: Callable[[str], Endpoint | dict[str, str]]) -> list[str]:
    """The documents of a snapshot for each of the lists, as the CDK writes them for Flow."""
    output, log, stopping = io.BytesIO(), logging.getLogger(), Task.Stopping()
    lists = list(LISTS)

    async def fetch(_: logging.Logger) -> AsyncGenerator[Endpoint | dict[str, str], None]:
        for id_ in lists.pop(0):
            yield document(id_)
        if not lists:
            stopping.event.set()

    binding = CaptureBinding(
        collection=CollectionSpec(name="acmeCo/endpoints", key=["/_meta/row_id"], writeSchema={}),
        resourceConfig=ResourceConfig(name="Endpoints", interval=timedelta()),
        resourcePath=["Endpoints"],
        stateKey="Endpoints",
    )
    async with asyncio.TaskGroup() as group:
        status = ConnectorStatus(log, stopping)
        task = Task(log, status, "capture", output, stopping, group, Transactor(output), "acmeCo/capture")
        open_binding(binding, 0, ResourceState(), task, fetch_snapshot=fetch)
    lines = map(json.loads, output.getvalue().splitlines())
    documents = [line["captured"]["doc"] for line in lines if "captured" in line]
    return [json.dumps(document, separators=(",", ":")) for document in documents]


async def main() -> None:
    logging.disable()
    models, dicts = await captured(lambda id_: Endpoint(id=id_)), await captured(lambda id_: {"id": id_})
    print("models:", "\n        ".join(models))
    print("dicts: ", "\n        ".join(dicts))
    numbers = [("c", 0, "we_1"), ("c", 1, "we_2"), ("u", 0, "we_1")]
    assert models == [
        *(f'{{"_meta":{{"op":"{op}","row_id":{row}}},"id":"{id_}"}}' for op, row, id_ in numbers),
        DELETION,
    ]
    assert dicts == [
        *(f'{{"id":"{id_}","meta_":{{"op":"{op}","row_id":{row}}}}}' for op, row, id_ in numbers),
        DELETION,
    ]


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/snapshot.py"
