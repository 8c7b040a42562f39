"""What a person reads of an error: one line that says what to do, and a traceback only for a mistake."""

import ast
import errno
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from estuary_cdk.capture.task import Task
from estuary_cdk.logger import LogFormatter

import source_stripe_native
from source_stripe_native.config import Advanced, EndpointConfig
from source_stripe_native.errors import EXPLAINED, ConnectorError
from source_stripe_native.flow import log_lines as one_line
from source_stripe_native.flow.log_lines import KNOWN, explain, last_line, report
from source_stripe_native.flow.requests import FORMS, SEND
from tests.cdk_task import on_virtual_time, running_capture

KEY = "sk_test_51NobodyMayEverSeeThis"
PACKAGE = Path(source_stripe_native.__file__).parent
TO_DO = re.compile(
    r"\b(set|put|create|edit|correct|request|change|discover|disable|report|start|copy|see|check|free|give|"
    r"raise|spread|grant|pass|divide|run|send|publish|backfill|let|replace|turn)\b",
    re.IGNORECASE,
)
"""What a person can do."""


def deep() -> TypeError:
    nested: object = 1
    for _ in range(300):
        nested = [nested]
    with pytest.raises(TypeError) as it:
        orjson.dumps(nested)
    return it.value


FAILURES = [
    (deep(), "An object of Stripe's cannot be written as JSON"),
    (RecursionError("maximum recursion depth exceeded in comparison"), "An object of Stripe's cannot be"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Nobody reads the connector's output any more"),
    (MemoryError(), "The memory does not suffice"),
    *((OSError(each, "x"), "There is no room left") for each in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
    *((OSError(each, "x"), "A file cannot be opened") for each in (errno.ENOENT, errno.EACCES, errno.EROFS)),
    (OSError(errno.EMFILE, "Too many open files"), "Too many files are open"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "The memory does not suffice"),
    *((OSError(each, "x"), "The operating system refused") for each in (errno.EIO, errno.EDOM)),
    (OSError("without a number"), "The operating system refused"),
    (TimeoutError(), "The operating system refused"),
    (ConnectorError("Prices: start\nagain"), "Prices: start again"),
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the process would write to stderr, of the loggers below "flow"."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(LogFormatter())
    handler.addFilter(one_line.one_line)
    logger = logging.getLogger("flow")
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)


def lines(log: io.StringIO) -> list[tuple[str, str]]:
    return [(each["level"], each["msg"]) for each in map(orjson.loads, log.getvalue().splitlines())]


@pytest.mark.parametrize(("error", "says"), FAILURES, ids=repr)
def test_known_failure_is_one_line_that_says_what_to_do(error: Exception, says: str) -> None:
    line = last_line(error)
    assert line.startswith(says)
    assert "\n" not in line
    assert TO_DO.search(line)
    assert line == explain(error)


def test_mistake_says_how_to_report_it_without_the_key() -> None:
    line = last_line(KeyError(f"a\nb {KEY}"))
    assert line.startswith(
        "This is a mistake in the connector: start the capture again, and report this line"
    )
    assert line.endswith(r"(KeyError: 'a\nb sk_test_...')")
    assert explain(KeyError()) is None


@pytest.mark.parametrize(("error", "says"), FAILURES, ids=repr)
@on_virtual_time
async def test_known_failure_of_a_task_is_logged_without_a_traceback_under_its_streams_name(
    log: io.StringIO, error: Exception, says: str
) -> None:
    async with running_capture() as capture:

        async def fail(_: Task) -> None:
            raise error

        capture.task.log = logging.getLogger("flow.capture")
        capture.task.spawn_child("Prices.incremental", fail)
    ((level, line),) = lines(log)
    assert level == "WARNING", "the last line is the error"
    assert line.startswith(f"Task capture.Prices.incremental: {says}")
    assert "Traceback" not in line
    assert "\n" not in line


@on_virtual_time
async def test_mistake_of_a_task_keeps_its_traceback_but_for_the_key(log: io.StringIO) -> None:
    async with running_capture() as capture:

        async def fail(_: Task) -> None:
            raise KeyError(KEY)

        capture.task.log = logging.getLogger("flow.capture")
        capture.task.spawn_child("Prices.incremental", fail)
    ((level, text),) = lines(log)
    assert level == "ERROR"
    assert "    raise KeyError(KEY)" in text
    assert "KeyError: 'sk_test_...'" in text
    assert KEY not in text


def test_errors_that_nobody_awaited_are_shown_alike(log: io.StringIO) -> None:
    """Those that asyncio logs with `exc_info`."""
    for error in (OSError(errno.ENOSPC, "No space left on device"), KeyError(KEY)):
        logging.getLogger("flow").error("Task exception was never retrieved", exc_info=error)
    (known, mistake) = lines(log)
    assert known[0] == "WARNING"
    assert known[1].startswith("There is no room left to write")
    assert mistake[1].startswith("Task exception was never retrieved\n")
    assert KEY not in log.getvalue()


def test_of_errors_in_a_group_the_first_is_the_last_line(log: io.StringIO) -> None:
    """As of bindings that fail while they open."""
    errors: list[Exception] = [ConnectorError("Prices: start again"), MemoryError(), KeyError("x")]
    with pytest.raises(ExceptionGroup) as it:
        raise ExceptionGroup("g", [ExceptionGroup("h", errors)])
    assert report(logging.getLogger("flow"), it.value) == "Prices: start again"
    (memory, mistake) = lines(log)
    assert memory == ("WARNING", explain(MemoryError()))
    assert mistake[0] == "ERROR"
    assert "KeyError: 'x'" in mistake[1]


# Every message


def messages() -> dict[str, str]:
    """The text of each ConnectorError that the package raises, without the values in it, by its place. One
    that ends with a value has its advice there: a constant, or a reason that other tests are about."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="ConnectorError"), args=[ast.JoinedStr(values=parts)]):
                    text = " ".join(str(each.value) for each in parts if isinstance(each, ast.Constant))
                    is_whole = isinstance(parts[-1], ast.Constant)
                case ast.Call(func=ast.Name(id="ConnectorError"), args=[ast.Constant() as constant]):
                    text, is_whole = str(constant.value), True
                case _:
                    continue
            if is_whole:
                found[f"{path.relative_to(PACKAGE)}:{node.lineno}"] = text
    return found


def test_every_error_names_what_to_do() -> None:
    raised = messages()
    assert raised
    advice = raised | {str(row): row.advice for row in EXPLAINED} | {str(row): row.advice for row in KNOWN}
    advice |= {"a mistake": one_line.MISTAKE, "no request": SEND}
    assert {place: text for place, text in advice.items() if not TO_DO.search(text)} == {}


def test_every_field_of_a_config_has_a_form_that_its_error_names() -> None:
    assert (EndpointConfig.model_fields.keys() | Advanced.model_fields.keys()) - FORMS.keys() == set()
