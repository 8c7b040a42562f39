"""The table of known errors, the advice in each, and that no message gives an API key away."""

import re
import string
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native import errors
from source_stripe_native.errors import (
    ABSENT,
    ACCOUNT_CLOSED,
    ACCOUNT_NOT_ACTIVATED,
    ADDRESS_BLOCKED,
    ADDRESS_NOT_ALLOWED,
    EVENTS_AGED_OUT,
    EXPLAINED,
    FORBIDDEN,
    GONE_IN_V2,
    KEY_EXPIRED,
    KEY_NOT_SECRET,
    KEY_OF_OTHER_MODE,
    KEY_REFUSED,
    MAX_BODY,
    NO_PLATFORM_CONTROLS,
    NOT_A_PLATFORM,
    NOT_FOR_RESTRICTED_KEYS,
    NOT_FOUND,
    NOT_LEGACY_METERED,
    NOTHING_REFRESHED,
    OBJECT_GONE,
    OLD_SESSION_WITHOUT_LINES,
    PAGE_CURSOR_GONE,
    PARAMETER_MISSING,
    PARAMETER_UNKNOWN,
    PARENT_GONE,
    PATH_UNKNOWN,
    PAYOUT_NOT_AUTOMATIC,
    PAYOUT_NOT_READY,
    PERMISSION_MISSING,
    PLATFORM_KEY_EXPIRED,
    RATE_LIMITED,
    REDIRECTED,
    REQUEST_FAILED,
    REQUEST_REFUSED,
    STRIPE_FAILED,
    TLS_TOO_OLD,
    UNAUTHORIZED,
    UNKNOWN,
    VERSION_UNKNOWN,
    ConnectorError,
    KnownError,
    Scope,
    StripeError,
    excerpt,
    is_refusal,
    scrub,
)
from source_stripe_native.models import STREAMS
from tools.facts import stripe_facts

NO_PERMISSION = (
    "The provided key 'rk_test_***abcd' does not have the required permissions for this endpoint on account "
    "'acct_1'. Having the 'rak_price_read' permission would allow this request to continue."
)
NO_ACCESS = (
    "The provided key 'sk_test_***abcd' does not have access to account 'acct_1' (or that account does not "
    "exist). Application access may have been revoked."
)

NO_CONTROLS = (
    "You cannot perform this request as you do not have Platform Controls for the Stripe Dashboard on the "
    "account acct_1."
)
NO_URL = "Unrecognized request URL (GET: "
NO_ADDRESS = "The API key provided does not allow requests from your IP address."
BLOCKED = "sorry, but we're unable to serve your request."
NOT_RESTRICTED = (
    "This is a restricted API key, but the required permissions are not available for use by restricted keys."
)
FORWARDING = "Your account is not authorized to send Forwarding requests"
MANUAL = "Balance transaction history can only be filtered on automatic transfers, not manual."
NO_LINES = (
    "Could not find line items for this Checkout Session. They may be missing for old testmode Checkout "
    "Sessions."
)
NOT_METERED = (
    "Cannot list usage record summaries for si_1 because it is not on the legacy metered billing system."
)
AGED_OUT = "The event 'evt_1' is no longer available because it's aged out of our retention policy."


def refused(status: int, message: str = "", code: str = "", param: str = "") -> StripeError:
    return StripeError(status, message, code=code, param=param, request="GET /v1/prices", request_id="req_7")


@pytest.mark.parametrize(
    ("error", "row", "advice"),
    [
        (refused(401, "Expired API Key provided: sk_test_***", "api_key_expired"), KEY_EXPIRED, "a new key"),
        (refused(401, "Invalid API Key provided: sk_test_***abcd"), KEY_REFUSED, "put a secret key"),
        (refused(401, "You did not provide an API key. You need to"), KEY_REFUSED, "put a secret key"),
        (refused(403, "This API call cannot be", "secret_key_required"), KEY_NOT_SECRET, "put a secret key"),
        (refused(403, NO_PERMISSION), PERMISSION_MISSING, "edit the key"),
        (refused(401, NO_PERMISSION), PERMISSION_MISSING, "edit the key"),
        (refused(400, "Invalid Stripe API version: 2099"), VERSION_UNKNOWN, "Set advanced.api_version"),
        (refused(403, NO_ACCESS, "account_invalid"), ACCOUNT_CLOSED, "see it in Stripe's dashboard"),
        (refused(302, "Found"), REDIRECTED, "set STRIPE_API_BASE"),
        (
            refused(429, "Request rate limit exceeded.", "rate_limit"),
            RATE_LIMITED,
            "spread its other traffic",
        ),
        (refused(400, "Request rate limit", "rate_limit"), RATE_LIMITED, "spread its other traffic"),
        (
            refused(429, "This object cannot be accessed", "lock_timeout"),
            RATE_LIMITED,
            "spread its other traffic",
        ),
        (refused(500, "An unknown error occurred"), STRIPE_FAILED, "see its status page"),
        (refused(503, "upstream connect error"), STRIPE_FAILED, "see its status page"),
        (refused(409, "Conflict"), STRIPE_FAILED, "see its status page"),
        (refused(408, "Request Timeout"), STRIPE_FAILED, "see its status page"),
        (refused(424, "Dependency failed"), STRIPE_FAILED, "see its status page"),
        (refused(425, "Too Early"), STRIPE_FAILED, "see its status page"),
        (refused(401, "x", "platform_api_key_expired"), PLATFORM_KEY_EXPIRED, "the account's own key"),
        (
            refused(400, "Received unknown parameter: x", "parameter_unknown", "x"),
            PARAMETER_UNKNOWN,
            "set advanced.api_version to a newer version",
        ),
        (refused(400, "x", "livemode_mismatch"), KEY_OF_OTHER_MODE, "put a key of the right mode"),
        (refused(403, "x", "platform_account_required"), NOT_A_PLATFORM, "capture_connected_accounts"),
        (refused(403, NO_ADDRESS), ADDRESS_NOT_ALLOWED, "add the addresses"),
        (refused(401, NO_ADDRESS), ADDRESS_NOT_ALLOWED, "add the addresses"),
        (refused(403, f"We're {BLOCKED}"), ADDRESS_BLOCKED, "at another one"),
        (refused(403, f"We’re {BLOCKED}"), ADDRESS_BLOCKED, "at another one"),
        (refused(403, NOT_RESTRICTED), NOT_FOR_RESTRICTED_KEYS, "put a secret key"),
        (refused(402, "x", "testmode_charges_only"), ACCOUNT_NOT_ACTIVATED, "activate it"),
        (refused(400, "x", "tls_version_unsupported"), TLS_TOO_OLD, "replace the proxy"),
        (refused(404, "Unrecognized request URL (GET: /v1/x)"), PATH_UNKNOWN, "set advanced.api_version"),
        (
            refused(400, "Invalid integer: x", "parameter_invalid_integer"),
            REQUEST_REFUSED,
            "report this line",
        ),
        (refused(402, "Request failed"), REQUEST_FAILED, "see the account's status"),
        (
            refused(404, "No such price: 'x'", "resource_missing", "id"),
            NOT_FOUND,
            "if that lasts",
        ),
        # What comes near a known row but is none.
        (refused(403, "The API key provided does not allow this"), FORBIDDEN, "disable the binding"),
        (refused(404, NO_ADDRESS), NOT_FOUND, "disable the binding"),
        (refused(403, "We're sorry, but that is too much"), FORBIDDEN, "disable the binding"),
        (refused(403, "Invalid API Key provided: sk_test_***abcd"), FORBIDDEN, "disable the binding"),
        (refused(401, "The key is an Invalid API Key provided: x"), UNAUTHORIZED, "one that may be used"),
        (refused(401, NO_ACCESS), UNAUTHORIZED, "one that may be used"),
        (refused(404, NO_PERMISSION), NOT_FOUND, "if that lasts"),
        (refused(403, "Your account " + NO_PERMISSION), FORBIDDEN, "disable the binding"),
        (
            refused(404, "Expired API Key provided", "api_key_expired"),
            NOT_FOUND,
            "if that lasts",
        ),
        (refused(401, NO_ACCESS, "account_invalid"), UNAUTHORIZED, "one that may be used"),
        (refused(404, "Invalid Stripe API version: 2099"), NOT_FOUND, "if that lasts"),
        (refused(400, "Unsupported Invalid Stripe API version"), REQUEST_REFUSED, "report this line"),
        (refused(304, "Not Modified"), UNKNOWN, "report this line"),
        (refused(418, "I'm a teapot"), UNKNOWN, "report this line"),
    ],
)
def test_answer_is_explained_by_the_one_row_that_it_matches(
    error: StripeError, row: KnownError, advice: str
) -> None:
    assert next(known for known in EXPLAINED if known.matches(error)) is row
    assert str(error).startswith(row.advice)
    assert advice in row.advice
    answer = f"Stripe answered {error.status} to GET /v1/prices: {error.stripe_message} (request req_7)"
    assert str(error) == f"{row.advice} {answer}"


PUBLISHED = {
    "account_invalid": 403,
    "api_key_expired": 401,
    "livemode_mismatch": 400,
    "lock_timeout": 429,
    "parameter_unknown": 400,
    "platform_account_required": 403,
    "platform_api_key_expired": 401,
    "rate_limit": 429,
    "secret_key_required": 403,
    "testmode_charges_only": 402,
    "tls_version_unsupported": 400,
}
"""The codes of "Error codes" in Stripe's documentation that are about the key, the account, its platform, the
connection or the version, whatever is read. The others are about a payment, or about one object."""


@pytest.mark.parametrize("code", PUBLISHED)
def test_published_code_has_advice_of_its_own(code: str) -> None:
    generic = (REQUEST_REFUSED, UNAUTHORIZED, REQUEST_FAILED, FORBIDDEN, NOT_FOUND, UNKNOWN)
    assert not str(refused(PUBLISHED[code], "Whatever", code)).startswith(
        tuple(row.advice for row in generic)
    )


MAY_BE_OF_READING: Final = re.compile(
    r"account_(closed|invalid)|blocked|capability|enabled|expired|inactive|key|lock_|mode|no_successful|not_active"
    r"|not_ready|pending|platform|rate_limit|required|retryable|tls|unavailable|version"
)
NOT_OF_READING: Final = {
    r"account_closed|account_token_required_.*": "a bank account, or an account that is made",
    r"(action|request|.*_bank_account)_blocked|approval_required": "money that is held back",
    r".*(action|upgrade|authentication|phone_number)_required": "a payment",
    r".*capability.*|forwarding_api_.*": "what the account may do, not what it may read",
    r"(card_decline|payment_intent)_rate_limit_exceeded": "a payment that is tried too often",
    r"(charge|coupon|customer_session)_expired.*|expired_.*|.*(attempt|authorization)_expired": "a payment",
    r"financial_connections_account_.*": "a refresh, and numbers of accounts, for which nobody asks",
    r"idempotency_key_in_use|payment_evaluation_.*": "a write",
    r"payment_method_invalid_parameter_testmode": "a payment",
    r"(product|sku|stripe_tax)_inactive": "what is to be sold",
}
"""Codes whose names may be of reading, and what they are of."""


def test_each_published_code_that_a_reader_may_get_has_advice_or_is_answered_later() -> None:
    codes = set(stripe_facts()["error_codes"])
    later = {row.NOT_YET.error.code for row in STREAMS if row.NOT_YET}
    assert PUBLISHED.keys() | later <= codes
    for code in filter(MAY_BE_OF_READING.search, codes - PUBLISHED.keys() - later):
        assert any(re.fullmatch(pattern, code) for pattern in NOT_OF_READING), code
    for pattern in NOT_OF_READING:
        assert any(re.fullmatch(pattern, code) for code in codes), pattern


OF_THE_KEY = [row for row in EXPLAINED if row.scope is Scope.KEY]


@pytest.mark.parametrize("row", OF_THE_KEY, ids=lambda row: row.advice[:30])
def test_what_is_wrong_with_the_key_is_no_reason_to_go_on_without_an_object(row: KnownError) -> None:
    message = row.message.replace("[^']*", "x").split("|")[0]
    assert not is_refusal(refused(min(row.statuses, default=418), message, row.code, row.param))


DOCUMENTED = (400, 401, 402, 403, 404, 408, 409, 424, 425, 429, 500, 502, 503, 504)
"""Statuses of "Errors" in Stripe's documentation, and those of HTTP that stand for a failure that passes."""


@pytest.mark.parametrize("status", DOCUMENTED)
def test_every_documented_status_has_advice(status: int) -> None:
    assert "This should not happen" not in str(refused(status, "Whatever", "whatever"))


@pytest.mark.parametrize("row", EXPLAINED, ids=lambda row: row.advice[:30])
def test_every_row_says_what_to_do(row: KnownError) -> None:
    """In the imperative, in a sentence or after a colon."""
    doing = "(create|put|edit|set|start|see|spread|turn|let|disable|leave|look|report)"
    assert re.search(rf"(: |^|, (and )?|\. ){doing} ", row.advice, re.IGNORECASE)
    status = min(row.statuses, default=418)
    message = row.message.replace("[^']*", "x").split("|")[0]
    assert str(refused(status, message, row.code, row.param)).startswith(row.advice)


def test_every_advice_is_a_sentence_and_the_last_row_knows_all_answers() -> None:
    assert EXPLAINED[-1].matches(refused(418))
    assert all(row.advice.endswith(".") and row.advice[0].isupper() for row in EXPLAINED)
    assert len({row.advice for row in EXPLAINED}) == len(EXPLAINED)


CASES: Final = [
    (OBJECT_GONE, refused(404, "No such price: 'x'", "resource_missing", "id"), True),
    (GONE_IN_V2, refused(404, "Not found", "not_found"), True),
    (GONE_IN_V2, refused(404, "Unrecognized request URL"), False),
    (OBJECT_GONE, refused(404, "Not found", "not_found"), True),
    (PARENT_GONE, refused(404, "Not found", "not_found"), True),
    (OBJECT_GONE, refused(404, "Unrecognized request URL"), False),
    (OBJECT_GONE, refused(400, "No such price: 'x'", "resource_missing", "id"), False),
    (
        PAGE_CURSOR_GONE,
        refused(400, "No such price: 'x'", "resource_missing", "starting_after"),
        True,
    ),
    (PAGE_CURSOR_GONE, refused(400, "No such product: 'x'", "resource_missing", "product"), False),
    (PAGE_CURSOR_GONE, refused(404, "No such price: 'x'", "resource_missing", "starting_after"), False),
    (PAGE_CURSOR_GONE, refused(400, "Invalid string", "", "starting_after"), False),
    (PARENT_GONE, refused(404, "No such customer: 'cus_1'", "resource_missing", "customer"), True),
    (PARENT_GONE, refused(404, "Unrecognized request URL (GET: /v1/customers/cus_1/cards)"), False),
    (PARENT_GONE, refused(404, "Not found", "resource_missing"), False),
    (PARENT_GONE, refused(400, "No such customer: 'cus_1'", "resource_missing", "customer"), False),
    (NO_PLATFORM_CONTROLS, refused(403, NO_CONTROLS), True),
    (NO_PLATFORM_CONTROLS, refused(401, NO_CONTROLS), False),
    (NO_PLATFORM_CONTROLS, refused(403, NO_PERMISSION), False),
    (NO_PLATFORM_CONTROLS, refused(403, NO_ACCESS, "account_invalid"), False),
    (OLD_SESSION_WITHOUT_LINES, refused(404, NO_LINES), True),
    (OLD_SESSION_WITHOUT_LINES, refused(404, "Could not find line items for this invoice."), False),
    (OLD_SESSION_WITHOUT_LINES, refused(500, NO_LINES), False),
    (NOT_LEGACY_METERED, refused(400, NOT_METERED), True),
    (NOT_LEGACY_METERED, refused(400, "Cannot list usage record summaries for si_1: try later"), False),
    (NOT_LEGACY_METERED, refused(404, NOT_METERED), False),
    (EVENTS_AGED_OUT, refused(400, AGED_OUT, "", "starting_after"), True),
    (EVENTS_AGED_OUT, refused(404, AGED_OUT), False),
    (EVENTS_AGED_OUT, refused(400, "The event 'evt_1' is no longer available"), False),
    (ABSENT, refused(400, "Your account is not set up to use Issuing. Please visit"), True),
    (ABSENT, refused(402, "Your account is not set up to use Issuing."), False),
    (ABSENT, refused(400, "Your account is closed"), False),
    (ABSENT, refused(404, f"{NO_URL}/v1/treasury/financial_accounts). Please see"), True),
    (ABSENT, refused(404, f"{NO_URL}/v1/treasury/x). Have you onboarded to Treasury?"), True),
    (ABSENT, refused(404, f"{NO_URL}/v1/quotes)."), False),
    (ABSENT, refused(500, f"{NO_URL}/v1/treasury/x)."), False),
    (ABSENT, refused(400, "This API surface is not enabled for testmode usage."), True),
    (ABSENT, refused(400, "This API surface is new"), False),
    (ABSENT, refused(400, "This endpoint is only available in testmode."), True),
    (ABSENT, refused(429, "This endpoint is only available in testmode."), False),
    (ABSENT, refused(403, f"{FORWARDING} in livemode."), True),
    (ABSENT, refused(403, f"{FORWARDING} today."), False),
    (ABSENT, refused(400, "Accounts v2 is not enabled for your platform."), True),
    (ABSENT, refused(400, "Accounts v2 is slow"), False),
    (PARAMETER_MISSING, refused(400, "Missing required param: type.", "parameter_missing"), True),
    (PARAMETER_MISSING, refused(400, "Missing required param: type."), False),
    (PARAMETER_MISSING, refused(404, "Missing required param: type.", "parameter_missing"), False),
    (PAYOUT_NOT_AUTOMATIC, refused(400, MANUAL), True),
    (PAYOUT_NOT_AUTOMATIC, refused(404, MANUAL), False),
    (PAYOUT_NOT_AUTOMATIC, refused(400, "Balance transaction history can only be read today"), False),
    (PAYOUT_NOT_READY, refused(400, "x", "payout_reconciliation_not_ready"), True),
    (PAYOUT_NOT_READY, refused(404, "x", "payout_reconciliation_not_ready"), False),
    (PAYOUT_NOT_READY, refused(400, MANUAL), False),
    (
        NOTHING_REFRESHED,
        refused(400, "x", "financial_connections_no_successful_transaction_refresh"),
        True,
    ),
    (NOTHING_REFRESHED, refused(400, "x", "financial_connections_account_inactive"), False),
]
"""Answers by the rows that stand for a tolerated error: some that match, and others like them that do not."""


def test_every_error_that_is_not_explained_has_cases_of_both_kinds() -> None:
    rows = {name: row for name, row in vars(errors).items() if isinstance(row, KnownError)}
    known = {name: {matches for row, _, matches in CASES if row is each} for name, each in rows.items()}
    lacking = sorted(name for name, row in rows.items() if row not in EXPLAINED and len(known[name]) < 2)
    assert lacking == [], "add an answer that matches, and one like it that does not, to CASES"


@pytest.mark.parametrize(("row", "error", "matches"), CASES)
def test_answer_that_is_tolerated_matches_in_status_code_and_parameter(
    row: KnownError, error: StripeError, matches: bool
) -> None:
    assert row.matches(error) is matches
    assert not row.matches(ConnectorError(error.stripe_message))


def test_error_is_one_line_that_names_its_stream_and_no_more_of_a_body_than_is_worth_it() -> None:
    error = refused(500, "<html>\n  <body>" + "x" * 5000).named("Prices")
    assert str(error).startswith("Prices: Stripe fails to answer")
    assert error.errors == [str(error)]
    assert "\n" not in str(error)
    assert len(str(error)) < MAX_BODY + 300
    assert excerpt("x" * MAX_BODY) == "x" * MAX_BODY
    assert excerpt("x" * (MAX_BODY + 1)) == "x" * MAX_BODY + "..."


def test_a_tolerated_error_is_logged_without_advice() -> None:
    error = refused(404, "No such customer: 'cus_1'", "resource_missing", "customer").named("Cards")
    answer = "Stripe answered 404 to GET /v1/prices: No such customer: 'cus_1' (request req_7)"
    assert error.answer == answer
    assert str(error).endswith(f" {answer}")


def test_errors_can_be_kept_in_sets_as_asyncio_does() -> None:
    assert len({ConnectorError("a"), ConnectorError("a")}) == 2


secrets = st.text(string.ascii_letters + string.digits, min_size=8, max_size=40)
prefixes = st.sampled_from(
    ["sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_test_", "sk_org_live_", "sk_test_Sandbox0"]
)
surroundings = st.sampled_from(["", " ", "\n", "'", "x", "_", "key=", "Bearer ", "/", "%20", "é"]) | st.text(
    max_size=8
)


@given(prefix=prefixes, secret=secrets, before=surroundings, after=surroundings)
def test_no_message_gives_a_key_away(prefix: str, secret: str, before: str, after: str) -> None:
    text = f"{before}{prefix}{secret}{after}"
    error = refused(401, text, code=text, param=text)
    messages = [scrub(text), excerpt("x" * (MAX_BODY - 12) + text), str(ConnectorError(text)), str(error)]
    messages += [error.stripe_message, repr(ConnectorError(text)), *error.named(text).errors]
    for message in messages:
        assert secret not in message or secret in before + after
        assert f"{prefix}{secret}" not in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Invalid API Key provided: sk_test_***abcd", "Invalid API Key provided: sk_test_..."),
        ("two sk_live_aaaa, rk_live_bbbb", "two sk_live_..., rk_live_..."),
        ("MY_sk_live_aaaa", "MY_sk_live_..."),
        ("https://me:secret@proxy.test/v1", "https://...@proxy.test/v1"),
        ("mail to me@example.com", "mail to me@example.com"),
        ("no secret:\n  price_1\ttask_test", "no secret: price_1 task_test"),
    ],
)
def test_scrub_keeps_all_but_secrets(text: str, line: str) -> None:
    assert scrub(text) == line
