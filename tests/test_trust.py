"""Whether notices can be relied on, and how long accounts rest. Times are seconds of a clock of the test's
own."""

import pytest

from source_stripe_native.notices.trust import Trust
from source_stripe_native.settings import Settings

START = 1_780_000_000
SETTINGS = Settings()
PATIENCE, HOUR = 60.0, 3_600.0
A, B = "acct_a", "acct_b"


class Case:
    """A trust, and what it reported as lost."""

    def __init__(self) -> None:
        self.lost: list[str | None] = []
        self.trust = Trust(START, SETTINGS)
        self.trust.on_lost = self.lost.append

    def post(self, account_id: str, number: int, kind: str = "price.updated") -> None:
        self.trust.announce(account_id, f"evt_{number}", kind, is_judged=False)

    def find(
        self, account_id: str, number: int, now: float, kind: str = "price.updated", created: int = START
    ) -> None:
        self.trust.find(account_id, {f"evt_{number}": (created, kind)}, now)

    def trusts(self, *account_ids: str, now: float) -> list[bool]:
        return [self.trust.is_trusted(each, now) for each in account_ids]


@pytest.fixture
def case() -> Case:
    return Case()


def test_trust_is_earned_by_an_announced_event_that_is_found(case: Case) -> None:
    assert case.trusts(A, B, now=0) == [False, False]
    case.post(A, 1)
    assert case.trusts(A, B, now=0) == [False, False]
    case.find(A, 1, now=1)
    assert case.trusts(A, B, now=1) == [True, True]


def test_event_may_be_announced_a_minute_after_it_was_found(case: Case) -> None:
    case.find(A, 1, now=0)
    case.post(A, 1)
    case.trust.judge_late(2 * PATIENCE)
    assert (case.lost, case.trust.announced, case.trusts(A, now=0)) == ([], 1, [True])


def test_unannounced_event_sends_its_account_back_for_an_hour(case: Case) -> None:
    case.post(A, 1)
    case.find(A, 1, now=0)
    case.find(A, 2, now=0, kind="invoice.paid")
    case.trust.judge_late(PATIENCE - 1)
    assert case.lost == []
    case.trust.judge_late(PATIENCE)
    assert (case.lost, [*case.trust.missing]) == ([A], ["invoice.paid"])
    assert case.trusts(A, B, now=PATIENCE) == [False, True]
    assert case.trusts(A, B, now=PATIENCE + HOUR) == [True, True]


def test_three_unannounced_events_in_a_row_send_all_accounts_back(case: Case) -> None:
    case.post(A, 1)
    case.find(A, 1, now=0)
    for number, account_id in enumerate((A, B, A), 2):
        case.find(account_id, number, now=number)
    case.trust.judge_late(10 * PATIENCE)
    assert case.lost == [A, B, None]
    assert case.trusts(A, B, "acct_c", now=10 * PATIENCE) == [False, False, False]
    case.post(B, 9)
    case.find(B, 9, now=11 * PATIENCE)
    assert case.trusts(A, B, "acct_c", now=11 * PATIENCE) == [False, False, True]


def test_event_from_before_the_start_is_not_judged(case: Case) -> None:
    case.find(A, 1, now=0, created=START - 1)
    case.trust.judge_late(10 * PATIENCE)
    assert (case.lost, case.trust.unannounced) == ([], 0)


def test_type_that_a_post_announces_is_not_missing(case: Case) -> None:
    case.find(A, 1, now=0)
    case.trust.judge_late(PATIENCE)
    assert [*case.trust.missing] == ["price.updated"]
    case.post(B, 2)
    assert not case.trust.missing


def test_announced_events_are_remembered_within_bounds() -> None:
    trust = Trust(START, Settings(announced_events=10))
    for number in range(100):
        trust.announce(A, f"evt_{number}", "price.updated", is_judged=False)
    assert len(trust._announced) == 10
