"""How often a binding looks for changes: what its config says, and what holds where it says nothing."""

import logging
from datetime import timedelta
from typing import Any, Final

import orjson
import pytest
from estuary_cdk.logger import FlowLogger

from sandbox.stripe import StripeServer
from source_stripe_native import Connector
from source_stripe_native.config import DEFAULT_INTERVAL
from source_stripe_native.flow.requests import ExaminedRequest, parse_request
from source_stripe_native.state.text import RequestText
from tests.capture import UNLIMITED, Capture

LEFT_OUT: Final[dict[str, Any]] = {}


@pytest.mark.parametrize(
    ("given", "interval"),
    [
        (LEFT_OUT, DEFAULT_INTERVAL),
        ({"interval": "PT1H"}, timedelta(hours=1)),
        ({"interval": "PT5M"}, timedelta(minutes=5)),
        ({"interval": "PT0S"}, timedelta(seconds=1)),
    ],
)
async def test_an_interval_that_is_left_out_is_what_discover_proposes(
    server: StripeServer, given: dict[str, Any], interval: timedelta
) -> None:
    capture = Capture(server)
    binding = capture.binding("Prices") | {"resourceConfig": {"name": "Prices", **given}}
    request = {
        "capture": {
            "name": "acmeCo/stripe",
            "connectorType": "LOCAL",
            "config": capture.endpoint_config,
            "intervalSeconds": 300,
            "bindings": [binding],
        },
        "version": "1",
        "range": {},
        "state": {},
    }
    opened = parse_request(ExaminedRequest, RequestText([orjson.dumps({"open": request})])).open
    assert opened is not None
    connector, log = Connector(UNLIMITED), logging.getLogger("flow")
    assert isinstance(log, FlowLogger)
    await connector.open(log, opened)
    await connector.exit(log)
    assert opened.capture.bindings[0].resourceConfig.interval == interval
    (proposed,) = [each for each in await capture.discover() if each["recommendedName"] == "Prices"]
    assert proposed["resourceConfig"]["interval"] == "PT5M"
