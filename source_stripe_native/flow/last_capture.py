"""The capture as it was published last, which validate compares with the new one.

Rule: the last capture is a help, never a hindrance. It may be of another version of the connector, and a part
of its config may be encrypted. What cannot be read of it is taken as unchanged.
"""

from logging import Logger
from typing import Any, Final, TypeVar

import pydantic
from estuary_cdk.capture import request

from source_stripe_native.config import EndpointConfig, ResourceConfig, default_start_date
from source_stripe_native.errors import ConnectorError
from source_stripe_native.state.windows import floor

Json = dict[str, Any]
Value = TypeVar("Value")
Validate = request.Validate[EndpointConfig, ResourceConfig]

SWITCH: Final = "capture_connected_accounts"
START: Final = "start_date"

ENCRYPTED: Final = "_sops"
"""What Flow appends to the name of a field that it encrypts."""


def readable(last: object) -> Json | None:
    """What can be read of a `lastCapture` and is compared with, in the form that the protocol has now: the
    config's fields as they are, and the bindings' names and backfill counters. None without a config, as
    nothing is compared then."""
    match last:
        case {"config": {"config": dict(config)}, **rest}:
            bindings = rest.get("bindings")
        case _:
            return None
    known = map(_readable_binding, bindings if isinstance(bindings, list) else [])
    last = {"name": "", "connectorType": "IMAGE", "config": {"config": config}}
    return last | {"bindings": [binding for binding in known if binding is not None]}


def _readable_binding(binding: object) -> Json | None:
    """A binding's name and counter, None where they cannot be read. The path, under which its state is kept,
    has the name in any form of the resource config."""
    match binding:
        case {"resourceConfig": {"name": str(name)}, **rest} | {"resourcePath": [str(name)], **rest}:
            backfill = _read_as(pydantic.NonNegativeInt, rest.get("backfill") or 0)
        case _:
            return None
    collection = {"name": "", "key": [], "writeSchema": {}}
    known = {"collection": collection, "resourceConfig": {"name": name}, "backfill": backfill}
    return None if backfill is None else known


def refuse_switch(validate: Validate) -> None:
    """A binding's state has another shape with connected accounts than without, and its collection other
    accounts: each binding that existed before must then be backfilled again."""
    now = validate.config.capture_connected_accounts
    if _last(validate, SWITCH, bool, default=False) in (None, now):
        return
    if kept := _not_backfilled_again(validate):
        raise ConnectorError(
            f"{SWITCH} was changed, which needs every binding to be backfilled again: request a backfill of "
            f"{', '.join(kept)} in the same publication, or change it back."
        )


def warn_of_earlier_start(log: Logger, validate: Validate) -> None:
    """A backfill that is complete does not go on to an earlier start date by itself."""
    now = validate.config.start_date
    # Where neither config names one, both have the default of the time they are read.
    default = default_start_date() if START in validate.config.model_fields_set else now
    before = _last(validate, START, pydantic.AwareDatetime, default)
    if before is None or floor(now) >= floor(before):
        return
    if kept := _not_backfilled_again(validate):
        log.warning(
            f"{START} was moved back from {before.isoformat()} to {now.isoformat()}, but a backfill that is "
            f"complete does not read the time in between: request a backfill of {', '.join(kept)} to capture "
            "it."
        )


def _last(validate: Validate, name: str, form: type[Value], default: Value) -> Value | None:
    """The field's value in the last config: the `default` where it was left out, and None where it cannot be
    read or nothing was published before."""
    if validate.lastCapture is None:
        return None
    config = validate.lastCapture.config.config
    if config.get(name) is not None:
        return _read_as(form, config[name])
    return None if f"{name}{ENCRYPTED}" in config else default


def _read_as(form: type[Value], value: object) -> Value | None:
    try:
        return pydantic.TypeAdapter(form).validate_python(value)
    except pydantic.ValidationError:
        return None


def _not_backfilled_again(validate: Validate) -> list[str]:
    """The bindings that existed before, and whose backfill counter is not raised."""
    last = validate.lastCapture.bindings if validate.lastCapture else []
    before = {binding.resourceConfig.name: binding.backfill for binding in last}
    now = {binding.resourceConfig.name: binding.backfill for binding in validate.bindings}
    return [name for name, counter in now.items() if name in before and counter <= before[name]]
