#!/bin/sh
# dlt 1.31.0: its REST client reads the first page of Stripe's lists, and ends as if that was all.
#
# Without a paginator, the client looks at the first answer for a way to go on. Stripe's lists have none that it knows:
# they say "has_more", and go on after the last id. It then takes the list for a single page, with a warning about the
# paginator that it uses, and none that "has_more" is true: 100 of 250 customers. None of its own paginators goes on
# after the last id of a page: that takes a class of one's own.
#
# Output seen:
#   pages: 1, customers: 100 of 250
#
# Needs python3 and a package index. Fails if dlt reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dlt==1.31.0
cat > "$folder/read.py" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from dlt.sources.helpers.rest_client import RESTClient

IDS = [f"cus_{number}" for number in range(250)]


class Lists(BaseHTTPRequestHandler):
    """A list as Stripe documents its pages."""

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        first = IDS.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        end = first + int(query.get("limit", 10))
        data = [{"id": id_, "object": "customer"} for id_ in IDS[first:end]]
        page = {"object": "list", "url": "/v1/customers", "has_more": end < len(IDS), "data": data}
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Lists)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = RESTClient(base_url=f"http://127.0.0.1:{server.server_port}/v1/")
pages = list(client.paginate("customers", params={"limit": 100}))
customers = sum(map(len, pages))
print(f"pages: {len(pages)}, customers: {customers} of {len(IDS)}")
assert (len(pages), customers) == (1, 100)
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
