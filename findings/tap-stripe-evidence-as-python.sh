#!/bin/sh
# tap-stripe 3.3.0: the evidence of a dispute is written as the text that Python prints for a dict, which is no JSON.
#
# The tap's schema allows a text or an object for "evidence", and lists the object's fields. singer-python 6.0.1
# takes the first type that a value can be made into, and a text can be made of each object. The record is valid by the
# schema, so that no target complains. In the schema the text has to come last.
#
# Output seen:
#   from Stripe:      {"customer_name": "Ann", "product_description": null}
#   from the tap:     "{'customer_name': 'Ann', 'product_description': None}"
#   the text as last: {"customer_name": "Ann", "product_description": null}
#
# Needs python3 and a package index. Fails if the tap writes it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tap-stripe==3.3.0 singer-python==6.0.1
cat > "$folder/transform.py" <<'PYTHON'
import json

from singer import UNIX_SECONDS_INTEGER_DATETIME_PARSING, Transformer
from tap_stripe import load_schemas

EVIDENCE = {"customer_name": "Ann", "product_description": None}


def written(types: list[str] | None = None) -> object:
    """The evidence of a dispute as the tap writes it. `types` replaces those of its schema."""
    schema = load_schemas()["disputes"]["schema"]
    evidence = schema["properties"]["evidence"]
    assert evidence["type"] == ["null", "string", "object"]
    assert EVIDENCE.keys() <= evidence["properties"].keys()
    if types is not None:
        evidence["type"] = types
    dispute = {"id": "dp_1", "object": "dispute", "created": 1780000000, "evidence": dict(EVIDENCE)}
    with Transformer(UNIX_SECONDS_INTEGER_DATETIME_PARSING) as transformer:
        return transformer.transform(dispute, schema)["evidence"]


by_tap, reordered = written(), written(["null", "object", "string"])
print("from Stripe:     ", json.dumps(EVIDENCE))
print("from the tap:    ", json.dumps(by_tap))
print("the text as last:", json.dumps(reordered))
assert by_tap == "{'customer_name': 'Ann', 'product_description': None}"
assert reordered == EVIDENCE
PYTHON
"$folder/venv/bin/python" "$folder/transform.py"
