"""Loggers that are forgotten with the task that they belong to, and that lower what is routine.

The CDK gives each task a logger of its own, and `logging` keeps every logger that it has made. A capture of
connected accounts has several tasks for each turn of an account in a binding, and runs for months.

The CDK's loops say at info when they begin and end, once for each stream. The capture's summary tells that of
all streams at once (summary.py), so that those lines are lowered to debug. The CDK's status counts the
bindings of its own loops alone, so that its lines are dropped.
"""

import re
from logging import DEBUG, INFO, Logger, LogRecord, getLevelName
from typing import Final

from estuary_cdk.logger import OBSERVABLE_FIELD, EventLogger, FlowLogger

ROUTINE: Final = re.compile(
    r"(beginning|resuming|completed) backfill"
    r"|resuming incremental replication"
    r"|incremental task (ran recently, .*|triggered backfill)"
    r"|clearing checkpoint due to backfill trigger"
)
"""The CDK's messages at info that come once for each stream, or with each stream that is done."""
DROPPED: Final = re.compile(
    r"Backfilling \d+ out of \d+ bindings"
    r"|Streaming change events \(all \d+ bindings are backfilled\)"
    r"|resolved feature flags"
)
"""The CDK's messages of which nobody has anything: its status, and the flags, of which there are none."""
COUNTED: Final = (OBSERVABLE_FIELD, "eventType")
"""Fields by which Flow counts a line or shows it as a status."""


class PassingLogger(FlowLogger):
    """A logger below `parent` that `logging` does not keep, nor the loggers below it. Routine messages are
    lowered to debug, without the fields by which Flow counts them."""

    def __init__(self, name: str, parent: Logger) -> None:
        # Not the CDK's: a logger and its `event` would keep each other until the garbage is collected.
        Logger.__init__(self, name)
        self.parent = parent

    @property
    def event(self) -> EventLogger:  # type: ignore[override]  # in the CDK an attribute, which is only read
        return EventLogger(self)

    def getChild(self, suffix: str) -> "PassingLogger":  # noqa: N802 - the name is that of `logging.Logger`
        return PassingLogger(f"{self.name}.{suffix}", self)

    def handle(self, record: LogRecord) -> None:
        if record.levelno == INFO and DROPPED.fullmatch(str(record.msg)):
            return
        if record.levelno == INFO and ROUTINE.fullmatch(str(record.msg)):
            if not self.isEnabledFor(DEBUG):
                return
            record.levelno, record.levelname = DEBUG, getLevelName(DEBUG)
            for field in COUNTED:
                record.__dict__.pop(field, None)
        super().handle(record)


def passing(log: Logger) -> PassingLogger:
    """A logger with the name and the place of `log`, whose children are forgotten."""
    return PassingLogger(log.name, log)
