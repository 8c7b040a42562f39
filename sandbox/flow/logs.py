"""A connector's log: one JSON object a line, `{"level","msg","fields"}`.

A line that is something else (an interpreter's traceback, say) is a warning whose message is the line itself.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

LEVELS = ("trace", "debug", "info", "warn", "error")
_ALIASES = {"warning": "warn", "critical": "error", "fatal": "error"}
_PLACES = ("file", "source", "traceback")  # where in its code the connector was: of use to its author only


@dataclass(frozen=True)
class Log:
    level: str
    """One of LEVELS."""
    message: str
    fields: dict[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)
    """When it was read."""

    def at_least(self, level: str) -> bool:
        return LEVELS.index(self.level) >= LEVELS.index(normal_level(level))

    def as_json(self) -> str:
        return orjson.dumps({"level": self.level, "msg": self.message, "fields": self.fields}).decode()

    @property
    def is_status(self) -> bool:
        """Whether Flow shows the message as the status of the capture."""
        return self.fields.get("eventType") == "connectorStatus"

    def as_text(self) -> str:
        """The line for a person: level, message, and the fields that say something about the data. Those of a
        status say the same as its message, for programs. At debug, a line begins with its time and with the
        part of the connector that wrote it: the stream."""
        fields = [] if self.is_status else [each for each in self.fields.items() if each[0] not in _PLACES]
        told = "".join(f" {name}={orjson.dumps(value).decode()}" for name, value in fields)
        begin = f"{self.level.upper():5} "
        if not self.at_least("info"):
            part = str(self.fields.get("source", "")).removeprefix("flow").removeprefix(".capture").strip(".")
            begin += f"{self.at:%H:%M:%S} {part or 'connector'}: "
        return f"{begin}{self.message}{told}"


def normal_level(name: str) -> str:
    """One of LEVELS for any usual spelling of a level; `info` for a name that is none."""
    level = name.lower()
    level = _ALIASES.get(level, level)
    return level if level in LEVELS else "info"


def parse_log(line: bytes) -> Log:
    text = line.decode(errors="replace").rstrip()
    try:
        entry = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Log("warn", text)
    match entry:
        case {"level": str(level), "msg": str(message)}:
            fields = entry.get("fields")
            return Log(normal_level(level), message.rstrip(), fields if isinstance(fields, dict) else {})
        case _:
            return Log("warn", text)
