#!/bin/sh
# airbyte-cdk 7.39.1: a list ends at an object with the id "0", since expressions of a manifest are read as Python.
#
# A manifest takes the next page's cursor and the values of added fields from expressions, and the text that comes out
# is read as a Python literal if it is one. Airbyte's connector for Stripe (5.14.1) takes the last id of a page as the
# cursor in this way. Users choose the ids of coupons. After "0" the cursor is the number 0, and the list ends without
# an error, as it does after "None" and "False". After "50_2026" Stripe is asked for what follows 502026, which is no
# coupon. The filter tojson puts quotes around the text, so that it stays a text.
#
# Output seen, with two coupons on a page:
#   coupons FREE 0 SPRING:       read FREE 0
#   coupons FREE 50_2026 SPRING: read FREE 50_2026, No such coupon: '502026'
#   with tojson:                 read FREE 0 SPRING
#   added field, of "1_000":     1000
#
# Needs python3 and a package index (300 MB). Fails if the CDK reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check airbyte-cdk==7.39.1
cat > "$folder/read.py" <<'PYTHON'
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from airbyte_cdk.models import (
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

ID = "response['data'][-1]['id']"
coupons: list[str] = []
errors: list[str] = []


class Coupons(BaseHTTPRequestHandler):
    """The list of coupons as Stripe documents its pages."""

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        after, limit = query.get("starting_after"), int(query["limit"])
        if after is None or after in coupons:
            first = 0 if after is None else coupons.index(after) + 1
            objects = [{"id": id_, "metadata": {"order": "1_000"}} for id_ in coupons[first : first + limit]]
            self.answer(200, {"object": "list", "has_more": first + limit < len(coupons), "data": objects})
        else:
            errors.append(f"No such coupon: '{after}'")
            self.answer(400, {"error": {"type": "invalid_request_error", "message": errors[-1]}})

    def answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def read(ids: str, cursor: str = ID) -> tuple[list[str], list[object]]:
    """The ids of the coupons that were read with what went wrong, and the values of the added field."""
    coupons[:], errors[:] = ids.split(), []
    retriever = {
        "type": "SimpleRetriever",
        "requester": {
            "type": "HttpRequester",
            "url_base": f"http://127.0.0.1:{server.server_port}/v1/",
            "path": "coupons",
            "request_parameters": {"limit": "2"},
        },
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
        },
        "paginator": {
            "type": "DefaultPaginator",
            "page_token_option": {
                "type": "RequestOption",
                "inject_into": "request_parameter",
                "field_name": "starting_after",
            },
            "pagination_strategy": {
                "type": "CursorPagination",
                "cursor_value": f"{{{{ {cursor} }}}}",
                "stop_condition": "{{ not response['has_more'] }}",
            },
        },
    }
    field = {"path": ["order"], "value": "{{ record['metadata']['order'] }}"}
    stream = {
        "type": "DeclarativeStream",
        "name": "coupons",
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}},
        "transformations": [{"type": "AddFields", "fields": [field]}],
        "retriever": retriever,
    }
    manifest = {
        "version": "7.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["coupons"]},
        "streams": [stream],
    }
    configured = ConfiguredAirbyteStream(
        stream=AirbyteStream(name="coupons", json_schema={}, supported_sync_modes=[SyncMode.full_refresh]),
        sync_mode=SyncMode.full_refresh,
        destination_sync_mode=DestinationSyncMode.append,
    )
    catalog = ConfiguredAirbyteCatalog(streams=[configured])
    source = ConcurrentDeclarativeSource(catalog=catalog, config={}, state=[], source_config=manifest)
    records: list[dict[str, object]] = []
    try:
        messages = source.read(logging.getLogger(), {}, catalog, [])
        records.extend(message.record.data for message in messages if message.record is not None)
    except AirbyteTracedException:
        assert errors
    return [str(record["id"]) for record in records] + errors, [record["order"] for record in records]


logging.disable()
server = ThreadingHTTPServer(("127.0.0.1", 0), Coupons)
threading.Thread(target=server.serve_forever, daemon=True).start()
(zero, orders), (digits, _) = read("FREE 0 SPRING"), read("FREE 50_2026 SPRING")
quoted, _ = read("FREE 0 SPRING", f"{ID} | tojson")
print("coupons FREE 0 SPRING:       read", *zero)
print(f"coupons FREE 50_2026 SPRING: read {' '.join(digits[:-1])}, {digits[-1]}")
print("with tojson:                 read", *quoted)
print('added field, of "1_000":    ', *set(orders))
assert zero == ["FREE", "0"]
assert digits == ["FREE", "50_2026", "No such coupon: '502026'"]
assert quoted == ["FREE", "0", "SPRING"]
assert orders == [1000, 1000]
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
