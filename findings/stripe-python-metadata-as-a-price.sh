#!/bin/sh
# stripe (PyPI) 16.1.0: metadata that has a key "object" becomes an object of the class that its value names.
#
# Users choose the keys of metadata, and "object" is as good as any. The SDK takes every JSON object with that key for
# one of Stripe's own. With "price", the metadata is a Price, and its text "unit_amount_decimal" is read as a Decimal: a
# text that is no number fails the whole page of customers, with an error that is not one of the SDK's. A text that is a
# number may come back as another text. With "list", the metadata is an empty list, and false.
#
# Output seen, for the metadata of one customer of a list:
#   {"order": "7"}: StripeObject, true, {"order": "7"}
#   {"object": "list", "order": "7"}: ListObject, false, {"object": "list", "order": "7"}
#   {"object": "price", "unit_amount_decimal": "0.0000001"}: Price, true, {"object": "price", "unit_amount_decimal": "1E-7"}
#   {"object": "price", "unit_amount_decimal": "n/a"}: decimal.InvalidOperation
#
# Needs python3 and a package index. Fails if the SDK reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check stripe==16.1.0
cat > "$folder/read.py" <<'PYTHON'
import decimal
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stripe

ORDER = {"order": "7"}
LIST = {"object": "list", "order": "7"}
PRICE = {"object": "price", "unit_amount_decimal": "0.0000001"}
TEXT = {"object": "price", "unit_amount_decimal": "n/a"}
page: list[dict[str, object]] = []


class Customers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = {"object": "list", "url": "/v1/customers", "has_more": False, "data": page}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def read(metadata: dict[str, str]) -> tuple[object, ...]:
    """Class, truth and JSON of the metadata of a list's second customer, or the error of the list."""
    page[:] = [
        {"id": "cus_1", "object": "customer", "metadata": {}},
        {"id": "cus_2", "object": "customer", "metadata": metadata},
    ]
    try:
        value = client.v1.customers.list().data[1].metadata
    except (stripe.StripeError, decimal.InvalidOperation) as error:
        seen = (f"{type(error).__module__}.{type(error).__name__}",)
    else:
        seen = type(value).__name__, bool(value), json.loads(str(value))
    cells = [part if isinstance(part, str) else json.dumps(part) for part in seen]
    print(f"{json.dumps(metadata)}: {', '.join(cells)}")
    return seen


server = ThreadingHTTPServer(("127.0.0.1", 0), Customers)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = stripe.StripeClient("sk_test_123", base_addresses={"api": f"http://127.0.0.1:{server.server_port}"})
assert read(ORDER) == ("StripeObject", True, ORDER)
assert read(LIST) == ("ListObject", False, LIST)
assert read(PRICE) == ("Price", True, PRICE | {"unit_amount_decimal": "1E-7"})
assert read(TEXT) == ("decimal.InvalidOperation",)
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
