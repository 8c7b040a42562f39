#!/bin/sh
# stripe (PyPI) 16.1.0: to_dict() gives what json cannot write, and str() of the same object can.
#
# A decimal text of Stripe's, such as a price's "unit_amount_decimal", is a Decimal in the object, and stays one in
# the plain dict that to_dict() makes: json.dumps fails there, though each value came as JSON. Objects without such a
# field pass, so that a program may run for long before it meets one. str() of the object is JSON, with the decimal as
# a text again.
#
# Output seen:
#   to_dict():  {'id': 'price_1', 'object': 'price', 'unit_amount_decimal': Decimal('10.5')}
#   json.dumps: Object of type Decimal is not JSON serializable
#   str():      {'id': 'price_1', 'object': 'price', 'unit_amount_decimal': '10.5'}
#
# Needs python3 and a package index. Fails if the SDK answers otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check stripe==16.1.0
cat > "$folder/write.py" <<'PYTHON'
import json
from decimal import Decimal

import stripe

SENT = {"id": "price_1", "object": "price", "unit_amount_decimal": "10.5"}
price = stripe.Price.construct_from(SENT, None)
plain = price.to_dict()
try:
    written = json.dumps(plain)
except TypeError as error:
    written = str(error)
as_text = json.loads(str(price))
print("to_dict(): ", plain)
print("json.dumps:", written)
print("str():     ", as_text)
assert plain["unit_amount_decimal"] == Decimal("10.5") and isinstance(plain["unit_amount_decimal"], Decimal)
assert written == "Object of type Decimal is not JSON serializable"
assert as_text == SENT
PYTHON
"$folder/venv/bin/python" "$folder/write.py"
