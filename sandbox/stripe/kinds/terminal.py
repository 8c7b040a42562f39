"""Terminal: locations, readers and configurations."""

from sandbox.stripe.kind import ANY, Events, Kind, Move
from sandbox.stripe.kinds import fields as f

LOCATION = Kind(
    name="terminal.location",
    prefix="tml",
    path="/v1/terminal/locations",
    created="",
    product="terminal",
    needs=("address", "display_name"),
    stub=True,
    fields={},
)

READER = Kind(
    name="terminal.reader",
    prefix="tmr",
    path="/v1/terminal/readers",
    created="",
    product="terminal",
    events=Events(moves=(Move("action", ANY, "terminal.reader.action_updated"),)),
    stub=True,
    fields={"serial_number": f.text("serial_numbe ????"), "status": "online"},
)

CONFIGURATION = Kind(
    name="terminal.configuration",
    prefix="tmc",
    path="/v1/terminal/configurations",
    created="",
    product="terminal",
    stub=True,
    fields={"is_account_default": False, "name": f.text("Set ????")},
)

ROWS = (LOCATION, READER, CONFIGURATION)
