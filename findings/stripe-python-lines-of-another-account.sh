#!/bin/sh
# stripe (PyPI) 16.1.0: the further lines of an invoice in a connected account's event are asked of the platform.
#
# Lists within an event are cut: an invoice has its first lines, and "has_more" is true. auto_paging_iter() reads on. An
# event names the account that it is from, but the SDK sends no Stripe-Account header for its lists: the request goes
# to the platform's own account, where Stripe looks for an invoice that is not there. It asks in the SDK's API version,
# not in the event's. auto_paging_iter() has no parameters for either, and next_page() has. An invoice that was read
# with stripe_account keeps the account for its lines.
#
# Output seen, for the request that follows the first line, of an event in version 2024-06-20:
#   retrieve:  Stripe-Account: acct_1, Stripe-Version: 2026-10-28.endive
#   event:     Stripe-Account: None, Stripe-Version: 2026-10-28.endive
#   next_page: Stripe-Account: acct_1, Stripe-Version: 2024-06-20
#
# Needs python3 and a package index. Fails if the SDK asks otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check stripe==16.1.0
cat > "$folder/ask.py" <<'PYTHON'
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stripe

SECRET = "whsec_test"
LINES = "/v1/invoices/in_1/lines"


def lines(id_: str, *, has_more: bool) -> dict[str, object]:
    line = {"id": id_, "object": "line_item"}
    return {"object": "list", "url": LINES, "has_more": has_more, "data": [line]}


INVOICE = {"id": "in_1", "object": "invoice", "lines": lines("il_1", has_more=True)}
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "account": "acct_1",
    "api_version": "2024-06-20",
    "data": {"object": INVOICE},
}
asked: list[tuple[str | None, str | None]] = []


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked.append((self.headers["Stripe-Account"], self.headers["Stripe-Version"]))
        answer = lines("il_2", has_more=False) if self.path.startswith(LINES) else INVOICE
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def paged(invoice: stripe.Invoice) -> tuple[str | None, str | None]:
    """Account and version of the request that follows the invoice's first line."""
    assert [line.id for line in invoice.lines.auto_paging_iter()] == ["il_1", "il_2"]
    return asked[-1]


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = stripe.StripeClient("sk_test_123", base_addresses={"api": f"http://127.0.0.1:{server.server_port}"})
payload, seconds = json.dumps(EVENT), int(time.time())
signature = hmac.new(SECRET.encode(), f"{seconds}.{payload}".encode(), hashlib.sha256).hexdigest()
event = client.construct_event(payload, f"t={seconds},v1={signature}", SECRET)

account, version = event.account, event.api_version
invoice = event.data.object
retrieved = client.v1.invoices.retrieve("in_1", options={"stripe_account": account})
seen = {"retrieve": paged(retrieved), "event": paged(invoice)}
(line,) = invoice.lines.next_page(stripe_account=account, stripe_version=version).data
assert line.id == "il_2"
seen["next_page"] = asked[-1]
for name, (of_account, in_version) in seen.items():
    print(f"{name + ':':<10} Stripe-Account: {of_account}, Stripe-Version: {in_version}")
assert seen == {
    "retrieve": ("acct_1", "2026-10-28.endive"),
    "event": (None, "2026-10-28.endive"),
    "next_page": ("acct_1", "2024-06-20"),
}
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
