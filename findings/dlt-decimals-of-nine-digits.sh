#!/bin/sh
# dlt 1.31.0: a decimal is stored with nine digits behind the point, and the rest is rounded away without a word.
#
# Stripe's "unit_amount_decimal" has up to twelve digits behind the point. Stripe's SDK for Python gives a Decimal for
# it, and dlt makes a column DECIMAL(38,9) for a Decimal. A price for metered use changes by 4 %, or becomes zero. The
# load ends without a warning. A hint for the column with a scale of twelve keeps each digit.
#
# Output seen, with stripe 16.1.0 and DuckDB 2.0.1:
#   sent by Stripe: 0.0000000125 0.000000000125
#   stored:         0.000000013 0.000000000
#   with a hint:    0.000000012500 0.000000000125
#
# Needs python3 and a package index. Fails if dlt stores it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dlt[duckdb]==1.31.0' duckdb==2.0.1 stripe==16.1.0
cat > "$folder/load.py" <<'PYTHON'
import sys

import dlt
import stripe

folder = sys.argv[1]
SENT = ["0.0000000125", "0.000000000125"]


def stored(name: str, **columns: dict[str, object]) -> list[str]:
    """The column unit_amount_decimal after a load of the prices into DuckDB."""
    sent = [{"id": f"price_{number}", "unit_amount_decimal": text} for number, text in enumerate(SENT)]
    prices = [stripe.Price.construct_from(price, None).to_dict() for price in sent]
    destination = dlt.destinations.duckdb(f"{folder}/{name}.duckdb")
    pipeline = dlt.pipeline(name, destination=destination, dataset_name="shop", pipelines_dir=folder)
    pipeline.run(prices, table_name="prices", columns=columns)
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT unit_amount_decimal FROM prices ORDER BY id")
    return [f"{amount:f}" for (amount,) in rows]


by_default = stored("by_default")
hinted = stored("hinted", unit_amount_decimal={"data_type": "decimal", "precision": 38, "scale": 12})
print("sent by Stripe:", *SENT)
print("stored:        ", *by_default)
print("with a hint:   ", *hinted)
assert by_default == ["0.000000013", "0.000000000"]
assert hinted == ["0.000000012500", "0.000000000125"]
PYTHON
DLT_DATA_DIR=$folder RUNTIME__DLTHUB_TELEMETRY=false "$folder/venv/bin/python" "$folder/load.py" "$folder"
