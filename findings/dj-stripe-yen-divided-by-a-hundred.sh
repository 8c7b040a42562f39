#!/bin/sh
# dj-stripe 2.11.0: the amount of a charge is divided by a hundred in every currency, also where there are no cents.
#
# Stripe counts in the smallest unit of a currency: 500 are 5.00 dollars, and 500 yen, which have no smaller unit. The
# column Charge.amount takes all amounts for cents: a charge of 500 yen is stored as 5. Refund.amount has no conversion
# and keeps Stripe's number, so that the refund of the whole charge is stored as a hundred times what was charged.
#
# Output seen:
#   Charge.amount of 500: usd 5, jpy 5
#   Refund.amount has a conversion: False
#
# Needs python3 and a package index. Fails if dj-stripe converts otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dj-stripe==2.11.0
cat > "$folder/convert.py" <<'PYTHON'
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "djstripe"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    STRIPE_LIVE_MODE=False,
    USE_TZ=True,
)
django.setup()
from djstripe.models import Charge, Refund


def stored(currency: str) -> int:
    return int(Charge._meta.get_field("amount").stripe_to_db({"amount": 500, "currency": currency}))


usd, jpy = stored("usd"), stored("jpy")
is_converted = hasattr(Refund._meta.get_field("amount"), "stripe_to_db")
print(f"Charge.amount of 500: usd {usd}, jpy {jpy}")
print(f"Refund.amount has a conversion: {is_converted}")
assert (usd, jpy, is_converted) == (5, 5, False)
PYTHON
"$folder/venv/bin/python" "$folder/convert.py"
