"""Loggers that are forgotten with the task that they belong to.

The CDK gives each task a logger of its own, and `logging` keeps every logger that it has made. A capture of
connected accounts has several tasks for each turn of an account in a binding, and runs for months.
"""

from logging import Logger

from estuary_cdk.logger import EventLogger, FlowLogger


class PassingLogger(FlowLogger):
    """A logger below `parent`, of which `logging` doesn't know. So are the loggers below it."""

    def __init__(self, name: str, parent: Logger) -> None:
        # Not the CDK's: a logger and its `event` would keep each other until the garbage is collected.
        Logger.__init__(self, name)
        self.parent = parent

    @property
    def event(self) -> EventLogger:  # type: ignore[override]  # in the CDK an attribute, which is only read
        return EventLogger(self)

    def getChild(self, suffix: str) -> "PassingLogger":  # noqa: N802 - the name is that of `logging.Logger`
        return PassingLogger(f"{self.name}.{suffix}", self)


def passing(log: Logger) -> PassingLogger:
    """A logger with the name and the place of `log`, whose children are forgotten."""
    return PassingLogger(log.name, log)
