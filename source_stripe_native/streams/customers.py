"""Customers and what belongs to them."""

from pydantic import ConfigDict

from source_stripe_native.streams.row import (
    DISCOUNT_EVENTS,
    BaseStripeObject,
    BaseStripeObjectWithEvents,
    DatedAccountObject,
    Expansion,
    RelatedEvents,
    ops,
)


class Customers(BaseStripeObjectWithEvents):
    NAME = "Customers"
    SEARCH_NAME = "customers"
    BY_TEST_CLOCK = True
    PERMISSION = "Customers"
    EVENT_TYPES = ops("customer.created", "customer.updated", "customer.deleted")
    RELATED_EVENTS = (
        RelatedEvents(DISCOUNT_EVENTS, ids=("customer",)),
        RelatedEvents(
            ("customer.tax_id.created", "customer.tax_id.updated", "customer.tax_id.deleted"),
            ids=("customer",),
        ),
        # The first comes only while funds are left, the second also when a payment has taken the last.
        RelatedEvents(
            ("cash_balance.funds_available", "customer_cash_balance_transaction.created"), ids=("customer",)
        ),
    )
    NESTED = ("sources", "subscriptions", "tax_ids")
    EXPANSIONS = (Expansion("tax"), Expansion("cash_balance"), Expansion("invoice_credit_balance"))


class _Sources(BaseStripeObject):
    PERMISSION = "Payment Methods"
    CREATED = ""
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops(
        "customer.source.created",
        "customer.source.updated customer.source.expiring",
        "customer.source.deleted",
    )
    PARENT = Customers
    EMBEDDED = "sources"
    EMBEDDED_EXPANDED = True


class BankAccounts(_Sources):
    model_config = ConfigDict(title="Bank_Accounts")

    NAME = "BankAccounts"
    SEARCH_NAME = "customers/{parent}/bank_accounts"
    RETRIEVE = "customers/{customer}/bank_accounts/{id}"
    EVENT_OBJECT = "bank_account"
    EMBEDDED_OBJECT = "bank_account"


class Cards(_Sources):
    NAME = "Cards"
    SEARCH_NAME = "customers/{parent}/cards"
    RETRIEVE = "customers/{customer}/cards/{id}"
    EVENT_OBJECT = "card"
    EMBEDDED_OBJECT = "card"


class CustomerBalanceTransaction(BaseStripeObject):
    NAME = "CustomerBalanceTransaction"
    SEARCH_NAME = "customers/{parent}/balance_transactions"
    PERMISSION = "Customers"
    PARENT = Customers
    PARENT_EVENT_TYPES = ("customer.created", "customer.updated")


class PaymentMethods(BaseStripeObject):
    NAME = "PaymentMethods"
    SEARCH_NAME = "customers/{parent}/payment_methods"
    PERMISSION = "Payment Methods"
    LISTS_BY_CREATED = False
    RETRIEVE = "payment_methods/{id}"
    # Most that have no customer never had one: no event tells of them.
    WITHOUT_PARENT = "payment_methods"
    POLLS = True
    # A detached payment method goes on to exist, without a customer.
    EVENT_TYPES = ops(
        u="payment_method.attached payment_method.automatically_updated payment_method.updated "
        "payment_method.detached"
    )
    PARENT = Customers


class CustomerCashBalanceTransactions(DatedAccountObject):
    NAME = "CustomerCashBalanceTransactions"
    SEARCH_NAME = "customers/{parent}/cash_balance_transactions"
    PERMISSION = "Customers"
    LISTS_BY_CREATED = False
    RETRIEVE = "customers/{customer}/cash_balance_transactions/{id}"
    EVENT_TYPES = ops("customer_cash_balance_transaction.created")
    PARENT = Customers
