"""What the chapters for operators say agrees with the code: numbers, tables and the state."""

import inspect
import math
import re
from datetime import timedelta
from typing import Final

import pytest

from sandbox.stripe import StripeServer, World
from source_stripe_native.cli.survey import limits_of, seconds_of
from source_stripe_native.config import MIN_INTERVAL
from source_stripe_native.events import resolutions
from source_stripe_native.models import STREAMS, EndpointConfig
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.windows import RETENTION
from source_stripe_native.stripe.rate_limit import MOST_PER_ENDPOINT
from tests.capture import Capture
from tests.documentation import ROOT, rows

LIVE, ENDPOINT = DEFAULTS.requests_live, DEFAULTS.requests_per_endpoint
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def is_set(value: object, expected: object, words: str) -> str:
    """The `words` of a page for a value as it is expected, which no page has where it is another."""
    return words if value == expected else f"{words}, which is {value}"


NUMBERS: Final = [
    ("operate", is_set(DEFAULTS.first_summary, timedelta(seconds=10), "- ten seconds after its start")),
    ("operate", is_set(DEFAULTS.summary_interval, MINUTE, "- once a minute while anything is under way")),
    (
        "operate",
        is_set(DEFAULTS.quiet_summary_interval, 10 * MINUTE, "- every ten minutes when all is quiet"),
    ),
    ("operate", is_set(DEFAULTS.late_after, 10 * MINUTE, "wait for more than ten minutes")),
    ("operate", is_set(DEFAULTS.least_share, 10, "each lower one still gets a tenth")),
    ("operate", is_set(DEFAULTS.key_patience, MINUTE, "the capture tries it for a minute")),
    (
        "operate",
        is_set(DEFAULTS.overlap_interval, MINUTE, "once a minute, the events of the last ten minutes"),
    ),
    ("operate", is_set(DEFAULTS.snapshot_interval, HOUR, "the whole list once an hour")),
    ("operate", is_set(DEFAULTS.child_snapshot_interval, 6 * HOUR, "or every six hours for children")),
    ("configuration", is_set(MIN_INTERVAL, timedelta(seconds=1), "Less than a second counts as a second")),
    ("operate", f"up to {DEFAULTS.max_slices} *slices*"),
    ("operate", f"At most {DEFAULTS.unwritten_bytes // 1_000_000} MB are read and not yet written"),
    ("operate", f"drops to {DEFAULTS.reduction:.0%} of the rate".replace("%", " %")),
    *(
        (
            "operate",
            f"by {math.expm1((seconds / DEFAULTS.recovery.seconds) ** 2):.0%} in {said}".replace("%", " %"),
        )
        for seconds, said in ((10, "ten"), (20, "twenty"))
    ),
    ("operate", f"asks again for {DEFAULTS.outage_patience.seconds // 60} minutes"),
    ("operate", f"{DEFAULTS.utilisation:g})"),
    ("operate", f"One endpoint then gets at most {MOST_PER_ENDPOINT}"),
    ("operate", f"Stripe keeps events for {RETENTION.days} days"),
    ("operate", f"objects of the last {'eleven' if DEFAULTS.restored_overlap == 660 else '?'} minutes may"),
    ("accounts", f"{'half an hour' if DEFAULTS.quiet_wait.seconds == 1800 else '?'} at most"),
    ("accounts", f"{DEFAULTS.active_poll_wait.seconds // 60} minutes"),
    ("accounts", f"once an {'hour' if DEFAULTS.longest_pause.seconds == 3600 else '?'} at least"),
    ("accounts", f"looked for every {'hour' if DEFAULTS.new_accounts_interval.seconds == 3600 else '?'}"),
    ("accounts", f"take {10_000 / LIVE / DEFAULTS.utilisation:.0f} seconds"),
    ("troubleshooting", is_set(DEFAULTS.patience, MINUTE, "for a minute to one list alone")),
    ("troubleshooting", f"for {DEFAULTS.outage_patience.seconds // 60} minutes"),
    ("troubleshooting", f"{'ten' if DEFAULTS.unary_patience.seconds == 10 else '?'} seconds in discover"),
    ("troubleshooting", f"more than {DEFAULTS.max_nested:,} objects"),
]
"""Numbers of the settings that pages have."""


@pytest.mark.parametrize(("page", "words"), NUMBERS)
def test_a_number_in_a_page_is_that_of_the_settings(page: str, words: str) -> None:
    assert words in " ".join((ROOT / "docs" / f"{page}.md").read_text().split())


def test_each_reason_of_a_late_stream_has_a_remedy() -> None:
    reasons = set(re.findall(r'"(objects .*?)"', inspect.getsource(resolutions)))
    documented = [said for said, _ in rows("docs/operate.md", "| the summary says | what to do |")]
    assert {each for said in documented for each in re.findall(r"`(objects .*?)`", said)} == reasons


def test_the_table_of_rate_limits_is_that_of_the_settings() -> None:
    table = {name: limits for name, *limits in rows("docs/operate.md", "| limit | live key | test key |")}
    assert table == {
        "requests a second in all": [f"{LIVE:g}", f"{DEFAULTS.requests_test:g}"],
        "to one endpoint, for each account": [f"{ENDPOINT:g}", f"{ENDPOINT:g}"],
    }


@pytest.mark.parametrize(("total", "limits"), [(None, (LIVE, ENDPOINT)), (40, (40, 25)), (5, (5, 5))])
def test_check_reckons_with_the_limits_that_the_page_tells(
    total: float | None, limits: tuple[float, float]
) -> None:
    config = EndpointConfig.model_validate(
        {
            "credentials": {"access_token": "rk_live_..."},
            "advanced": {"max_requests_per_second": total},
        }
    )
    assert limits_of(config, DEFAULTS) == limits


def test_each_stream_that_takes_a_request_for_each_parent_is_documented() -> None:
    table = {name for name, _ in rows("docs/operate.md", "| stream | one request for each |")}
    assert table == {each.NAME for each in STREAMS if each.PARENT and not each.EMBEDDED and not each.DISABLED}


def test_the_example_of_a_backfill_takes_as_long_as_the_page_says() -> None:
    requests = {
        name.partition(",")[0]: int(count.replace(",", ""))
        for name, count in rows("docs/operate.md", "| what | requests |")
        if count[0].isdigit()
    }
    text = (ROOT / "docs" / "operate.md").read_text()
    assert f"about {seconds_of(requests, LIVE, ENDPOINT, DEFAULTS) / 3600:.1f} hours" in text
    rest = {name: requests[name] for name in ("Charges", "Customers")}
    assert f"about {seconds_of(rest, LIVE, ENDPOINT, DEFAULTS) / 60:.0f} minutes" in text


def test_each_stream_that_is_read_once_for_all_accounts_is_documented() -> None:
    text = " ".join((ROOT / "docs" / "accounts.md").read_text().split())
    *others, last = sorted(each.NAME for each in STREAMS if not each.PER_ACCOUNT)
    assert f"{', '.join(others)} and {last}. They are read once." in text


@pytest.mark.parametrize("connected", [False, True])
async def test_state_without_a_backfill_is_cursors_alone_as_the_reference_writes_them(
    world: World, server: StripeServer, connected: bool
) -> None:
    world.connect()
    for kind in ("price", "charge", "customer"):
        for account in world.accounts:
            world.create(kind, account, event=False)
    capture = await Capture(server, ["Prices", "Charges", "Customers"], connected=connected).backfill()
    for stream in capture.streams:
        state = capture.binding_state(stream)
        assert not state.pop("backfill", None), stream
        assert state.keys() - {"last_initialized"} == {"inc"}, stream
        cursors = [state["inc"][each] for each in world.accounts] if connected else [state["inc"]]
        assert all(each.keys() == {"cursor"} for each in cursors), stream
