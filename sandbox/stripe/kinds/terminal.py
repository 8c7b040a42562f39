"""Terminal: locations, readers and configurations."""

from sandbox.stripe.kind import ANY, Events, Kind, Move
from sandbox.stripe.kinds import fields as f

LOCATION = Kind("terminal.location", "tml", needs=("address", "display_name"), stub=True)

READER = Kind(
    "terminal.reader",
    "tmr",
    events=Events(moves=(Move("action", ANY, "action_updated"),)),
    stub=True,
    fields={"serial_number": f.text("serial_numbe ????"), "status": "online"},
)

CONFIGURATION = Kind(
    "terminal.configuration",
    "tmc",
    stub=True,
    fields={"is_account_default": False, "name": f.text("Set ????")},
)
