"""How an account is set up: its portal, payment methods, templates, domains, webhooks and apps; and what
Stripe says of countries and currencies."""

from collections.abc import Mapping
from typing import ClassVar

from source_stripe_native.streams.row import ACTIVE, AccountObject, DatedAccountObject, ops


class BillingPortalConfigurations(DatedAccountObject):
    NAME = "BillingPortalConfigurations"
    SEARCH_NAME = "billing_portal/configurations"
    PERMISSION = "Customer portal"
    VARIANTS = ACTIVE
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops("billing_portal.configuration.created", "billing_portal.configuration.updated")


class InvoiceRenderingTemplates(DatedAccountObject):
    NAME = "InvoiceRenderingTemplates"
    SEARCH_NAME = "invoice_rendering_templates"
    PERMISSION = "Invoices"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "_active": {"status": "active"},
        "_archived": {"status": "archived"},
    }
    LISTS_BY_CREATED = False
    SNAPSHOTS = True


class PaymentMethodConfigurations(AccountObject):
    NAME = "PaymentMethodConfigurations"
    SEARCH_NAME = "payment_method_configurations"
    PERMISSION = "Payment Method Configurations"
    VARIANTS = ACTIVE
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True


class PaymentMethodDomains(DatedAccountObject):
    NAME = "PaymentMethodDomains"
    SEARCH_NAME = "payment_method_domains"
    PERMISSION = "Payment Method Domains"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "_enabled": {"enabled": "true"},
        "_disabled": {"enabled": "false"},
    }
    LISTS_BY_CREATED = False
    SNAPSHOTS = True


class ApplePayDomains(DatedAccountObject):
    NAME = "ApplePayDomains"
    SEARCH_NAME = "apple_pay/domains"
    PERMISSION = "Apple Pay Domains"
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
    SHOWS_DELETIONS = True


class WebhookEndpoints(DatedAccountObject):
    NAME = "WebhookEndpoints"
    SEARCH_NAME = "webhook_endpoints"
    PERMISSION = "Webhook Endpoints"
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
    SHOWS_DELETIONS = True


class AppsSecrets(DatedAccountObject):
    # The list has the names of secrets. Their payload is never asked for.
    NAME = "AppsSecrets"
    SEARCH_NAME = "apps/secrets"
    PERMISSION = "Apps: Secrets"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {"scope[type]": "account"}}
    LISTS_BY_CREATED = False
    RETRIEVE = ""
    SNAPSHOTS = True
    SHOWS_DELETIONS = True


class AppsInstalls(DatedAccountObject):
    NAME = "AppsInstalls"
    SEARCH_NAME = "apps/installs"
    PERMISSION = "Apps: Installs"
    SINCE_VERSION = "2026-09-30"
    EVENT_TYPES = ops("apps.install.created", "apps.install.updated", "apps.install.deleted")


class _ForEverybody(AccountObject):
    PER_ACCOUNT = False
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True


class CountrySpecs(_ForEverybody):
    NAME = "CountrySpecs"
    SEARCH_NAME = "country_specs"
    PERMISSION = "Country specs"


class ExchangeRates(_ForEverybody):
    NAME = "ExchangeRates"
    SEARCH_NAME = "exchange_rates"
    PERMISSION = "Exchange rates"
