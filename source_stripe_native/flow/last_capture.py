"""The capture as it was published last, which validate compares with the new one.

Rule: the last capture is a help, never a hindrance. It may be of another version of the connector, and a part
of its config may be encrypted. What cannot be read of it is taken as unchanged.
"""

from collections.abc import Callable
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

_SWITCH: Final = pydantic.TypeAdapter(bool)
_START: Final = pydantic.TypeAdapter(pydantic.AwareDatetime)
_COUNTER: Final = pydantic.TypeAdapter(pydantic.NonNegativeInt)


def readable(last: object) -> Json | None:
    """What can be read of a `lastCapture` and is compared with, in the form that the protocol has now: the
    config's fields as they are, and the bindings' names and backfill counters. None without a config, as
    nothing is compared then."""
    outer = last.get("config") if isinstance(last, dict) else None
    config = outer.get("config") if isinstance(outer, dict) else None
    if not isinstance(last, dict) or not isinstance(config, dict):
        return None
    bindings = last.get("bindings")
    known = [_binding(each) for each in bindings] if isinstance(bindings, list) else []
    return {
        "name": "",
        "connectorType": "IMAGE",
        "config": {"config": config},
        "bindings": [each for each in known if each is not None],
    }


def _binding(binding: object) -> Json | None:
    """A binding's name and counter, None where they cannot be read."""
    if not isinstance(binding, dict):
        return None
    resource, path = binding.get("resourceConfig"), binding.get("resourcePath")
    name = resource.get("name") if isinstance(resource, dict) else None
    if not isinstance(name, str) and isinstance(path, list) and len(path) == 1:
        # The resource config had another form, but the path is what its state is kept under.
        (name,) = path
    counter = _read(_COUNTER, 0 if binding.get("backfill") is None else binding["backfill"])
    if not isinstance(name, str) or counter is None:
        return None
    return {
        "collection": {"name": "", "key": [], "writeSchema": {}},
        "resourceConfig": {"name": name},
        "backfill": counter,
    }


def refuse_switch(validate: Validate) -> None:
    """A binding's state has another shape with connected accounts than without, and its collection other
    accounts: each binding that existed before must then be backfilled again."""
    now = validate.config.capture_connected_accounts
    if _last(validate, SWITCH, _SWITCH, lambda: False, now) == now:
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
    default = default_start_date if START in validate.config.model_fields_set else lambda: now
    before = _last(validate, START, _START, default, now)
    if floor(now) >= floor(before):
        return
    if kept := _not_backfilled_again(validate):
        log.warning(
            f"{START} was moved back from {before.isoformat()} to {now.isoformat()}, but a backfill that is "
            f"complete does not read the time in between: request a backfill of {', '.join(kept)} to capture "
            "it."
        )


def _last(
    validate: Validate,
    name: str,
    form: pydantic.TypeAdapter[Value],
    default: Callable[[], Value],
    unchanged: Value,
) -> Value:
    """The field's value in the last config: the `default` where it was left out, and `unchanged` where it
    cannot be read or nothing was published before."""
    if validate.lastCapture is None:
        return unchanged
    config = validate.lastCapture.config.config
    if config.get(name) is not None:
        value = _read(form, config[name])
        return unchanged if value is None else value
    return unchanged if f"{name}{ENCRYPTED}" in config else default()


def _read(form: pydantic.TypeAdapter[Value], value: object) -> Value | None:
    try:
        return form.validate_python(value)
    except pydantic.ValidationError:
        return None


def _not_backfilled_again(validate: Validate) -> list[str]:
    """The bindings that existed before, and whose backfill counter is not raised."""
    last = validate.lastCapture
    before = {each.resourceConfig.name: each.backfill for each in last.bindings} if last else {}
    return [
        name
        for each in validate.bindings
        if (counter := before.get(name := each.resourceConfig.name)) is not None and each.backfill <= counter
    ]
