"""Stripe's errors, in Stripe's words: callers match them by status, code and message, so these are part of
the API.

Source: the `error` schema of Stripe's OpenAPI document, and answers seen from the live API.
"""

from collections.abc import Sequence
from typing import Any

import orjson


class StripeError(Exception):
    """An answer other than 2xx. `param` names the parameter at fault, `code` is one of Stripe's error
    codes; `more` are further fields of the error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.type = type
        self.more = more

    def body(self) -> bytes:
        error: dict[str, Any] = {"message": self.message, "type": self.type, **self.more}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = "https://stripe.com/docs/error-codes/" + self.code.replace("_", "-")
        if self.param is not None:
            error["param"] = self.param
        return orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2)


def missing(object_name: str, id: str, param: str, status: int = 404) -> StripeError:
    return StripeError(status, f"No such {object_name}: '{id}'", code="resource_missing", param=param)


def not_found() -> StripeError:
    """What /v2/ says in the place of `missing`; its code is documented, its words are not."""
    return StripeError(404, "The resource was not found.", code="not_found")


def unrecognized_url(method: str, path: str) -> StripeError:
    return StripeError(
        404,
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
    )


def unknown_parameters(names: list[str]) -> StripeError:
    listed = ", ".join(names)
    plural = "s" if len(names) > 1 else ""
    return StripeError(
        400, f"Received unknown parameter{plural}: {listed}", code="parameter_unknown", param=names[0]
    )


def missing_parameter(name: str) -> StripeError:
    return StripeError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)


def invalid(what: str, value: str, param: str) -> StripeError:
    """`what` is a type as Stripe names it: integer, boolean, array, string, object."""
    code = "parameter_invalid_integer" if what == "integer" else None
    return StripeError(400, f"Invalid {what}: {value}", code=code, param=param)


def no_choice(param: str, choices: Sequence[str]) -> StripeError:
    listed = ", ".join(choices[:-1]) + " or " + choices[-1] if len(choices) > 1 else choices[0]
    return StripeError(400, f"Invalid {param}: must be one of {listed}", param=param)


def rate_limited(version: str) -> StripeError:
    """Its status depends on the API version."""
    is_older = version < "2015-09-08"
    return StripeError(400 if is_older else 429, "Request rate limit exceeded.", code="rate_limit")


def card_declined(decline_code: str, message: str, code: str = "card_declined", **more: Any) -> StripeError:
    return StripeError(402, message, code=code, type="card_error", decline_code=decline_code, **more)


def other_request() -> StripeError:
    """The same Idempotency-Key with other parameters."""
    return StripeError(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        "Try using a key other than the one you sent if you meant to execute a different request.",
        type="idempotency_error",
    )


def aged_out(event_id: str, param: str) -> StripeError:
    return StripeError(
        400,
        f"The event '{event_id}' is no longer available because it's aged out of our retention policy.",
        param=param,
    )


def no_key() -> StripeError:
    return StripeError(
        401,
        "You did not provide an API key. You need to provide your API key in the Authorization header, "
        "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
    )


def mask(key: str) -> str:
    """A key as Stripe repeats it: the prefix and the last four characters."""
    head, tail = key[: key.find("_", 3) + 1], key[-4:]
    return head + "*" * max(len(key) - len(head) - len(tail), 4) + tail


def wrong_key(key: str) -> StripeError:
    return StripeError(401, f"Invalid API Key provided: {mask(key)}")


def no_context() -> StripeError:
    """Stripe's words in the issues of its Python library; their status is not in there."""
    return StripeError(
        400,
        "Please include the Stripe-Context header with your target account when using an Organization API "
        "key.",
    )


def no_version() -> StripeError:
    """That a version is needed is documented ("Organization API keys"), Stripe's words for it are not."""
    return StripeError(400, "Please include the Stripe-Version header when using an Organization API key.")


def expired_key(key: str) -> StripeError:
    return StripeError(401, f"Expired API Key provided: {mask(key)}", code="api_key_expired")


def not_permitted(key: str, account: str, permission: str, livemode: bool) -> StripeError:
    """A restricted key without the permission: 401 in live mode, 403 in test mode."""
    return StripeError(
        401 if livemode else 403,
        f"The provided key '{mask(key)}' does not have the required permissions for this endpoint on account "
        f"'{account}'. Having the '{permission}' permission would allow this request to continue.",
    )


def no_access(key: str, account: str) -> StripeError:
    """Also what a platform gets for an account that has revoked it."""
    return StripeError(
        403,
        f"The provided key '{mask(key)}' does not have access to account '{account}' "
        "(or that account does not exist). Application access may have been revoked.",
        code="account_invalid",
    )


def no_platform_controls() -> StripeError:
    return StripeError(
        403,
        "You cannot perform this request as you do not have Platform Controls for the Stripe Dashboard "
        "on the account",
    )


def unknown_version(version: str) -> StripeError:
    return StripeError(400, f"Invalid Stripe API version: {version}", param="Stripe-Version")


def not_expandable(path: str, instead: str = "") -> StripeError:
    hint = f" You may want to try expanding '{instead}' instead." if instead else ""
    return StripeError(400, f"This property cannot be expanded ({path}).{hint}", param="expand")


def too_deep(path: str) -> StripeError:
    return StripeError(
        400,
        f"You cannot expand more than 4 levels of a property. Property: {path}",
        code="property_expansion_max_depth",
        param="expand",
    )


def not_set_up(product: str) -> StripeError:
    other = {
        "treasury": (
            404,
            "Unrecognized request URL (GET: /v1/treasury/...). Have you onboarded to Treasury?",
        ),
        "sigma": (400, "This API surface is not enabled for testmode usage"),
        "test mode": (400, "This endpoint is only available in testmode"),
        "v2 accounts": (400, "Accounts v2 is not enabled for your platform."),
        "forwarding": (400, "Your account is not authorized to send Forwarding requests in livemode"),
    }
    if product in other:
        return StripeError(*other[product])
    name = product.replace("_", " ").title()
    return StripeError(
        400,
        f"Your account is not set up to use {name}. Please visit "
        f"https://dashboard.stripe.com/{product}/overview to get started.",
    )


def source_not_attached() -> StripeError:
    """A legacy source without a customer is no payment method (any more)."""
    return StripeError(400, "A source must be attached to a customer to be used as a `payment_method`")


def exists_already(object_name: str) -> StripeError:
    name = object_name.replace("_", " ").capitalize()
    return StripeError(400, f"{name} already exists.", code="resource_already_exists")


def not_deletable(object_name: str, id: str) -> StripeError:
    return StripeError(400, f"The {object_name} '{id}' cannot be deleted in the state it is in.")


def wrong_status(object_name: str, before: str, after: str) -> StripeError:
    return StripeError(
        400,
        f"This {object_name} has a status of {before}, from which it cannot become {after}.",
        param="status",
    )
