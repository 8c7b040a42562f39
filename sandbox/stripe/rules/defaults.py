"""What a write does where its path has no rule of its own: a parameter that is a field of the object becomes
that field."""

from collections.abc import Mapping
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.filters import Json
from sandbox.stripe.rules.act import Rule, Write


def create(write: Write) -> Json:
    row, fields = write.row, dict(write.fields)
    link = row.parent
    if id := write.given.get("id"):
        fields["id"] = id
    if link and link.kind != "account":
        parent = write.parent or write.given.get(link.field)
        if parent is not None:
            fields[link.field] = write.act.get(link.kind, parent)["id"]
    for name in row.needs:
        if fields.get(name) is None and write.given.get(name) is None:
            raise errors.missing_parameter(name)
    if isinstance(fields.get("currency"), str):
        fields["currency"] = fields["currency"].lower()
    return write.act.make(row.name, **fields)


def update(write: Write) -> Json:
    return change(write, {})


def change(write: Write, more: Mapping[str, Any]) -> Json:
    """Raises StripeError for a status that cannot follow the object's."""
    row, fields = write.row, {**write.fields, **more}
    before, after = write.old.get("status"), fields.get("status")
    if after not in (None, before) and row.flow and after not in row.flow.get(str(before), ()):
        raise errors.wrong_status(row.object_name, str(before), str(after))
    return write.act.change(row.name, write.id, **fields)


def delete(write: Write) -> Json:
    if not write.row.allows_deletion(write.old) or write.id == write.act.world.platform:
        raise errors.not_deletable(write.row.object_name, write.id)
    return write.act.remove(write.row.name, write.id)


def to(**fields: Any) -> Rule:
    """An action that changes these fields; "now" stands for the time."""

    def act(write: Write) -> Json:
        return change(write, {name: write.act.at if each == "now" else each for name, each in fields.items()})

    return act


DEFAULTS: Mapping[str, Rule] = {"C": create, "U": update, "D": delete}
