"""Log lines: errors as a person reads them, and loggers that are forgotten with their task.

Rule: a known error is shown without a traceback, in one line that says what to do. A traceback is left for a
mistake in the connector, and the last line then says how to report it. No line repeats the key. The CDK logs
the error of a task as a traceback, and once more as the process' last line, without advice: the filter
`one_line` mends the first, `last_line` replaces the second.
"""

import errno
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from estuary_cdk.flow import ValidationError
from estuary_cdk.logger import OBSERVABLE_FIELD, EventLogger, FlowLogger

from source_stripe_native.errors import excerpt, scrub

_TRACEBACK: Final = "Traceback (most recent call last)"


@dataclass(frozen=True)
class KnownFailure:
    """One kind of exception and what to do about it. `errnos` are those of an OSError, and `message` is a
    pattern for the beginning of its text; what is empty matches any."""

    types: tuple[type[Exception], ...]
    advice: str
    errnos: frozenset[int] = frozenset()
    message: str = ""

    def matches(self, error: BaseException) -> bool:
        if not isinstance(error, self.types) or re.match(self.message, str(error)) is None:
            return False
        return not self.errnos or not isinstance(error, OSError) or error.errno in self.errnos


KNOWN: Final = (
    KnownFailure(
        (BrokenPipeError, ConnectionResetError),
        "Nobody reads the connector's output any more: start the capture again. It goes on from its last "
        "checkpoint.",
    ),
    KnownFailure(
        (OSError,),
        "There is no room left to write: free space where temporary files are kept (TMPDIR, or else /tmp) "
        "and where the output goes, or set TMPDIR to a directory with more.",
        frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG}),
    ),
    KnownFailure(
        (OSError,),
        "A file cannot be opened: set TMPDIR to a directory that exists and that the connector may write to.",
        frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS}),
    ),
    KnownFailure(
        (OSError,),
        "Too many files are open: raise the limit of open files (ulimit -n), or disable some bindings.",
        frozenset({errno.EMFILE, errno.ENFILE}),
    ),
    KnownFailure(
        (MemoryError, OSError),
        "The memory does not suffice: give the connector more, or disable some bindings.",
        frozenset({errno.ENOMEM}),
    ),
    KnownFailure(
        (OSError,),
        "The operating system refused an operation: start the capture again, and report this line if that "
        "does not help.",
    ),
    KnownFailure(
        (TypeError, RecursionError),
        "An object of Stripe's cannot be written as JSON, as it is nested too deeply or holds a number or "
        "text that JSON does not have: change the object at Stripe, or disable the binding, and report this "
        "line.",
        message="Recursion limit reached|Integer exceeds 64-bit range|str is not valid UTF-8"
        "|maximum recursion depth exceeded",
    ),
)
"""The first row that matches counts."""

MISTAKE: Final = (
    "This is a mistake in the connector: start the capture again, and report this line with the traceback "
    "before it if that does not help."
)


def explain(error: BaseException) -> str | None:
    """The line for a known error, None for one that nobody foresaw."""
    if isinstance(error, ValidationError):
        return scrub("; ".join(error.errors))
    return next((f"{known.advice} ({_described(error)})" for known in KNOWN if known.matches(error)), None)


def last_line(error: BaseException) -> str:
    """The line with which the process ends because of `error`."""
    return explain(error) or f"{MISTAKE} ({_described(error)})"


def report(log: logging.Logger, error: Exception) -> str:
    """The last line for an error that no task has logged yet. Of a group this is its first error; the others
    are logged before it, as are the tracebacks of those that are not known."""
    first, *others = _single_errors(error)
    for one in (*others, first):
        explained = explain(one)
        if explained is None:
            log.error("".join(traceback.format_exception(one)))
        elif one is not first:
            log.warning(explained)
    return last_line(first)


@contextmanager
def going_on(log: logging.Logger, what: str) -> Iterator[None]:
    """A block that reports how a capture is: a mistake in it is logged, and ends nothing."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - nothing that is captured depends on the block
        level = logging.DEBUG if isinstance(error, ValidationError) else logging.ERROR
        log.log(level, f"{what} failed, and the capture goes on. {report(log, error)}")


def one_line(record: logging.LogRecord) -> bool:
    """A log filter: a known error is a warning of one line, since the error is the process' last line. Only
    the key is taken out of the traceback of any other."""
    error = sys.exception() if _TRACEBACK in str(record.msg) else None
    error = record.exc_info[1] if record.exc_info else error
    if error is None:
        return True
    explained = [explain(one) for one in _single_errors(error)]
    if None in explained:
        text = record.getMessage()
        if record.exc_info:
            text = "\n".join([text, *traceback.format_exception(error)])
        record.msg = _without_key(text)
    else:
        # As the CDK's last line names the task, which has the stream's name in it.
        task = record.name.removeprefix("flow.")
        prefix = f"Task {task}: " if task.startswith("capture.") else ""
        record.msg = prefix + "; ".join(filter(None, explained))
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    record.args, record.exc_info, record.exc_text = (), None, None
    return True


def ignore_known(unraisable: "sys.UnraisableHookArgs") -> None:
    """A hook for what a finalizer raises. A file that is dropped fails to close for the reason for which
    writing it has failed before."""
    if unraisable.exc_value is None or explain(unraisable.exc_value) is None:
        sys.__unraisablehook__(unraisable)


def release_output() -> None:
    """Lets go of what stdout no longer takes: Python would try again at the exit, and fail in its own
    words."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _single_errors(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group, of groups in it, or `error` itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _single_errors(inner)
    else:
        yield error


def _described(error: BaseException) -> str:
    text = excerpt(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _without_key(text: str) -> str:
    """`text` line by line as it is, but for what `scrub` blanks out."""
    return "\n".join(line[: len(line) - len(line.lstrip())] + scrub(line) for line in text.split("\n"))


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


class PassingLogger(FlowLogger):
    """A logger below `parent` that `logging` does not keep, nor the loggers below it: the CDK gives each task
    one of its own, and connected accounts have several tasks for each turn. Routine messages are lowered to
    debug, without the fields by which Flow counts them: the summary reports them for all streams at once."""

    def __init__(self, parent: logging.Logger, suffix: str = "") -> None:
        """By default a logger with the name and the place of `parent`."""
        # Not the CDK's: a logger and its `event` would keep each other until the garbage is collected.
        logging.Logger.__init__(self, f"{parent.name}.{suffix}" if suffix else parent.name)
        self.parent = parent

    @property
    def event(self) -> EventLogger:  # type: ignore[override]  # in the CDK an attribute, which is only read
        return EventLogger(self)

    def getChild(self, suffix: str) -> "PassingLogger":  # noqa: N802 - the name is that of `logging.Logger`
        return PassingLogger(self, suffix)

    def handle(self, record: logging.LogRecord) -> None:
        text = str(record.msg) if record.levelno == logging.INFO else ""
        is_routine = ROUTINE.fullmatch(text)
        if DROPPED.fullmatch(text) or (is_routine and not self.isEnabledFor(logging.DEBUG)):
            return
        if is_routine:
            record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
            for field in (OBSERVABLE_FIELD, "eventType"):
                record.__dict__.pop(field, None)
        super().handle(record)
