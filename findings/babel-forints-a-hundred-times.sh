#!/bin/sh
# Babel 2.19.0 and py-moneyed 3.0 both know how many decimals a currency has, and Stripe's amounts have other ones.
#
# Stripe's amounts are whole numbers of a currency's smallest unit, of which its page "Supported currencies" has a list:
# hundredths, if it says nothing else. It counts forints, Icelandic kronur, Colombian pesos and Indonesian rupiahs in
# hundredths, and Malagasy ariary in whole ones. Babel takes the decimals with which prices are commonly written, from
# the CLDR. py-moneyed mostly takes those of ISO 4217. Both are right for dollars, yen and Kuwaiti dinars, so that a
# test with these finds nothing. In other currencies an amount is a hundred times too large or too small.
#
# Output seen, for the amount 500000:
#               jpy    kwd    mga    usd    huf    isk    cop    idr
#   Stripe   500000    500 500000   5000   5000   5000   5000   5000
#   Babel    500000    500 500000   5000 500000 500000 500000 500000
#   moneyed  500000    500   5000   5000   5000 500000   5000   5000
#
# The line of Stripe is from its documentation. Needs python3 and a package index. Fails if the packages count
# otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check babel==2.19.0 py-moneyed==3.0
cat > "$folder/count.py" <<'PYTHON'
from decimal import Decimal

from babel.numbers import get_currency_precision
from moneyed import get_currency

AMOUNT = 500_000
HUNDREDTHS = dict.fromkeys(["usd", "huf", "isk", "cop", "idr"], 5000)
STRIPE = {"jpy": 500_000, "kwd": 500, "mga": 500_000} | HUNDREDTHS
BABEL = STRIPE | dict.fromkeys(["huf", "isk", "cop", "idr"], 500_000)
MONEYED = STRIPE | {"isk": 500_000, "mga": 5000}


def printed(name: str, cells: object) -> None:
    print(f"{name:<8}", *(f"{cell:>6}" for cell in cells))


babel = {code: Decimal(AMOUNT).scaleb(-get_currency_precision(code.upper())) for code in STRIPE}
moneyed = {code: Decimal(AMOUNT) / get_currency(code.upper()).sub_unit for code in STRIPE}
printed("", STRIPE)
printed("Stripe", STRIPE.values())
printed("Babel", [f"{amount:.0f}" for amount in babel.values()])
printed("moneyed", [f"{amount:.0f}" for amount in moneyed.values()])
assert babel == BABEL
assert moneyed == MONEYED
PYTHON
"$folder/venv/bin/python" "$folder/count.py"
