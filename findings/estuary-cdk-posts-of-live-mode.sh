#!/bin/sh
# estuary-cdk 0.3.0.dev31: a rule for posts that asks for "livemode" to be "true" matches no post of live mode.
#
# The CDK's webhook server routes posts to collections by a value in the body. It compares the rule's text with the text
# of the Python value, and JSON's true is "True" there. A rule for "true" is valid and matches nothing. Each post gets a
# 404, which Stripe takes for a failed delivery. Rules for "True" and "False" match.
#
# Output seen, for a post with "livemode": true:
#   rules for true, false: 404 No matching binding for request
#   rules for True, False: 200 {"published": 1}
#
# Needs python3 and a package index. Fails if the CDK answers otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check estuary-cdk==0.3.0.dev31
cat > "$folder/post.py" <<'PYTHON'
import asyncio
import io
import logging

from aiohttp.test_utils import TestClient, TestServer
from estuary_cdk.capture.connector_status import ConnectorStatus
from estuary_cdk.capture.task import Task
from estuary_cdk.capture.transactor import Transactor
from estuary_cdk.capture.webhook.match import BodyDiscriminator
from estuary_cdk.capture.webhook.resources import WebhookCaptureSpec
from estuary_cdk.capture.webhook.server import build_webhook_app

EVENT = {"id": "evt_1", "object": "event", "type": "customer.created", "livemode": True}


async def posted(*values: str) -> tuple[int, str]:
    """The answer to the event, with a collection for each of the values of livemode."""
    spec = WebhookCaptureSpec(discriminator=BodyDiscriminator(key="livemode", known_values=set(values)))
    output, log, stopping = io.BytesIO(), logging.getLogger(), Task.Stopping()
    async with asyncio.TaskGroup() as group:
        status = ConnectorStatus(log, stopping)
        task = Task(log, status, "capture", output, stopping, group, Transactor(output), "acmeCo/capture")
        app = build_webhook_app(dict(enumerate(spec.create_resources())), task)
        async with TestClient(TestServer(app)) as client, client.post("/", json=EVENT) as answer:
            return answer.status, await answer.text()


async def main() -> None:
    logging.disable()
    as_json, as_python = await posted("true", "false"), await posted("True", "False")
    print("rules for true, false:", *as_json)
    print("rules for True, False:", *as_python)
    assert as_json == (404, "No matching binding for request")
    assert as_python == (200, '{"published": 1}')


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/post.py"
