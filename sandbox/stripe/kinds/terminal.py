"""Terminal: locations, readers and configurations."""

from sandbox.stripe.filters import equals, flag, one_of
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
    fields={
        "address": {},
        "display_name": f.text("display_name ????"),
    },
)

READER = Kind(
    name="terminal.reader",
    prefix="tmr",
    path="/v1/terminal/readers",
    created="",
    product="terminal",
    filters=(
        one_of(
            "device_type",
            "bbpos_chipper2x",
            "bbpos_wisepad3",
            "bbpos_wisepos_e",
            "mobile_phone_reader",
            "simulated_stripe_s700",
            "simulated_stripe_s710",
            "simulated_verifone_m425",
            "simulated_verifone_p630",
            "simulated_verifone_ux700",
            "simulated_verifone_v660p",
            "simulated_wisepos_e",
            "stripe_m2",
            "stripe_s700",
            "stripe_s710",
            "verifone_P400",
            "verifone_m425",
            "verifone_p630",
            "verifone_ux700",
            "verifone_v660p",
        ),
        equals("location"),
        equals("serial_number"),
        one_of("status", "offline", "online"),
    ),
    needs=("registration_code",),
    events=Events(moves=(Move("action", ANY, "terminal.reader.action_updated"),)),
    stub=True,
    fields={
        "device_type": "bbpos_chipper2x",
        "label": f.text("label ????"),
        "serial_number": f.text("serial_numbe ????"),
        "status": "online",
    },
)

CONFIGURATION = Kind(
    name="terminal.configuration",
    prefix="tmc",
    path="/v1/terminal/configurations",
    created="",
    product="terminal",
    filters=(flag("is_account_default"),),
    stub=True,
    fields={
        "is_account_default": False,
        "name": f.text("Set ????"),
    },
)

ROWS = (
    LOCATION,
    READER,
    CONFIGURATION,
)
