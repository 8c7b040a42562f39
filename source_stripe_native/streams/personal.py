"""Which fields of Stripe's objects have personal data, and which do not: each text field is one of the two.

Rule: a field counts by its name, wherever its object stands. A few names are personal in some places only.
Discover writes the annotations of Flow from this table (flow/redaction.py), if the config asks for them.

Limits: keys and ids of Stripe are never personal, since documents are joined by them. Values from a set that
Stripe names, numbers and times are not, unless the table names them. In metadata the names count as well.

`*` stands for any part of a name. A place is what an object calls itself (`customer`), or with a dot the
field that has a part of an object (`.billing_details`). `python tools/personal.py --check` names each text
field that the table lacks.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

PERSONAL: Final[Mapping[str, str]] = {
    "names of persons, and names that businesses have by law: those of sole traders are their own": """
        *account_holder_name business_name cardholder_name customer_name *first_name first_name_* full_name
        full_name_aliases given_name individual_name *last_name last_name_* maiden_name matched_name name_kana
        name_kanji passenger_name payer_name provided_name public_name registered_name sender_name surname
        username verified_name""",
    "email addresses and phone numbers": """
        *email *email_address email_sent_to *phone *phone_number verified_phone_last4""",
    "addresses and places, whosever they are, but no country: too many share it": """
        *address_city *address_line1 *address_line2 *address_state *address_zip billing_address billing_zip
        buyer_address city latitude line1 line2 longitude *postal_code raw_address shipping_address town
        verified_address""",
    "addresses and fingerprints of somebody's browser or device": """
        accept_header access_activity_log client_ip customer_device_fingerprint customer_device_id
        customer_purchase_ip device_fingerprint ip ip_address user_agent""",
    "what else describes a person": """
        ethnicity ethnicity_other gender legal_gender nationalities nationality political_exposure race
        race_other self_identified_gender unparsed_place_of_birth unparsed_sex""",
    "numbers by which an office, a bank or a wallet knows somebody": """
        account_number cashtag clabe confirmation_number eori_number iban id_number pay_id refund_iban
        sender_account_number sender_iban tax_id vat vpa""",
    "text that somebody writes freely about a person or a payment, and signatures": """
        body cancellation_policy_disclosure cancellation_rebuttal comment customer_data
        duplicate_charge_explanation evidence_customer_signature explanation filename memo reason_for_filing
        refund_policy_disclosure refund_refusal_explanation return_description uncategorized_text""",
    "links to pages that show a name or an address to whoever opens them": """
        hosted_instructions_url hosted_invoice_url hosted_regulatory_receipt_url hosted_voucher_url
        invoice_pdf mandate_url pdf receipt_url""",
}
"""Names that are personal everywhere, by the reason."""


class Split(NamedTuple):
    """Names that are personal in some places only."""

    names: str
    personal: str
    other: str
    """Where they are not personal."""
    why: str


SPLIT: Final = (
    Split(
        "name",
        """.billing_details .card .company .counterparty .customer_details .customer_shipping .device
        .masterpass .owner .shipping .shipping_details .three_d_secure .visa_checkout card customer
        financial_connections.account_owner issuing.cardholder""",
        """.business_profile .custom_fields .headers .marketing_features .merchant_data application
        apps.secret billing.credit_grant billing_portal.configuration climate.product climate.supplier coupon
        entitlements.feature issuing.personalization_design issuing.physical_bundle
        payment_method_configuration product radar.value_list reporting.report_type tax_code
        terminal.configuration test_helpers.test_clock v2.core.event_destination""",
        "things and shops have names too",
    ),
    Split(
        "description",
        """.default_settings .invoice_data .invoice_settings .items .line_items .mandate_options .payment_data
        .payment_intent_data .paypal .phases .subscription_data .transfer_data .upi balance_transaction charge
        credit_note_line_item customer customer_balance_transaction financial_connections.transaction invoice
        invoiceitem item line_item payment_attempt_record payment_intent payment_record payout quote refund
        reserve_transaction setup_intent subscription topup transfer treasury.*
        v2.money_management.*""",
        """.card_present .custom_text .entries .errors .fee_details .interac_present .original_entries
        .receipt .toggles billing.feedback_option product tax.location tax_code tax_rate
        v2.core.event_destination webhook_endpoint""",
        "free text about one customer or payment, as against goods, settings and Stripe's own text",
    ),
    Split(
        "value",
        """.custom_fields .customer_tax_ids .email .headers .numeric .phone .tax_ids .text
        radar.value_list_item tax_id""",
        ".dropdown .options .signature .trace_id",
        "what a customer enters, tax numbers, and what a list of Radar looks for",
    ),
    Split("default_value", ".numeric .text", ".dropdown", "it is what the customer would enter"),
    Split(
        "state",
        """.*address .*addresses .address_kana .address_kanji .kana .kanji .merchant_data
        .principal_place_of_business""",
        ".jurisdiction .location .tax_rate_details .us tax_rate",
        "part of an address, as against the state of a tax",
    ),
    Split("region", ".ip_address_location", ".location .locations", "where somebody was, or a project is"),
    Split("location", ".device", "*", "where somebody's device was, as against ids of locations"),
    Split(
        "day month year", ".date_of_birth .dob .expiration_date .issued_date", "", "parts of dates of persons"
    ),
    Split("number", ".document", "*", "the number of an identity document, as against invoices and vouchers"),
    Split("second_line", "issuing.card", ".features", "the text on a card"),
    Split("title", ".relationship file", "*", "what a person is in a company, and what a file is called"),
    Split(
        "display_name",
        "v2.core.account",
        "*",
        "the name of a customer, as against names that a business shows to all",
    ),
    Split(
        "created_by", "radar.value_list radar.value_list_item", "apps.install", "an email address, or an id"
    ),
    Split(
        "product_description cancellation_reason",
        """.canceled .disputed_transaction .evidence .not_received .other .prior_undisputed_transactions
        .service_not_as_described""",
        ".business_profile .konbini .profile",
        "evidence in a dispute, as against what a business sells",
    ),
    Split(
        "alphanumeric_id driver_id unspecified_id user_id vehicle_number",
        ".cardholder_prompt_data",
        "",
        "what a driver enters at a pump",
    ),
    Split(
        "reference",
        ".bank_transfer .chf_credit_transfer .gbp_credit_transfer .sepa_credit_transfer",
        "*",
        "what a payer writes on a bank transfer, as against references that join records",
    ),
    Split(
        "url",
        ".au_becs_debit .bacs_debit .regulatory_receipt .sepa_debit",
        "*",
        "links to mandates and receipts, which show a name, as against pages of Stripe or of a business",
    ),
)

NOT_PERSONAL: Final[Mapping[str, str]] = {
    "ids, keys and references, which join documents": """
        *_id *_key account address adjustment alias app application calculation certificate charge
        checkout_session configuration_overrides connected_account context credit_reversal creditor_identifier
        currency_conversion customer customer_account customer_reference debit_reversal default_mandate
        default_payment_method destination destination_payment_method entity fee_batch file financial_account
        financial_address financial_connections_account flight_number flow from_account generated_card id imad
        inbound_transfer inquiry integration_identifier invoice invoice_item invoice_line_item
        invoice_line_items invoice_prefix invoices issuing_authorization issuing_card issuing_dispute
        issuing_transaction key latest_outbound_setup_intent latest_payment_attempt_record line_item_ids
        mandate mandate_reference meter network_settlement_identifier omad on_behalf_of order_reference
        origin_payment_method original_line_item original_transaction outbound_payment outbound_transfer
        parent payment_intent payment_method payment_method_configuration payment_record payment_reference
        payout payout_intent payout_method payout_methods performance_location person prefix
        previous_authentication price prices primary_account_identifier product products quote reader
        receipt_number received_credit received_credits received_debit received_debits recipient
        recipient_verification recovered_from reference_prefix refund_group related_customer
        related_customer_account released_subscription resource retrieval_reference session setup_intent
        shipping_rate shipping_tracking_number snapshot_event source source_flow subscription
        subscription_item subscription_reference system_trace_audit_number template test_clock topup
        tracking_number transaction transaction_hash transaction_refresh transfer transfer_group trial_offer
        user value_list verification_flow verification_session""",
    "files, whose content takes the API key": """
        additional_files back ca_certificate_file client_certificate_file document files front icon logo
        payment_flow_file private_key_file selfie supporting_files""",
    "parts of card and account numbers, which thousands share, and codes that tell one from another": """
        *_last4 *bin exp_month exp_year fingerprint last4 suffix""",
    "banks and their branches": """
        bank bank_address_* bank_name bic branch_* bsb_number *_routing_number institution_* issuer
        routing_number sender_bank sender_branch service_user_number *sort_code swift_code transit_number""",
    "businesses, as they present themselves to everybody": """
        *statement_descriptor* account_name business_url descriptor display_name_* doing_business_as
        domain_name event_name headline local_name merchant_name mcc nickname page_title product_name
        registrar registration_number sold_by stripe_name support_url tax_deduction_account_number
        tax_id_registrar token_requestor_name""",
    "codes, versions and kinds": """
        *_code *_type *_types *_version action advice_code amount_tax_display application_cryptogram
        application_preferred_name avalgo brand brand_product browser card cardholder_verification_method
        category cb_exemption cb_score chips code columns device default_columns dedicated_file_name
        display_brand eci electronic_commerce_indicator emv_auth_data enabled_events events_from
        evidence_transaction_certificate fiscal_year_end funding funding_method funding_source_group interval
        jurisdiction method network object ownership package payment_method_categories payment_method_category
        payments_pricing platform pos_entry_mode preferred provider province read_method
        refund_attributes_method reporting_category risk_level serial_number service_agreement service_class
        settlement_service shipping_carrier carrier terminal_verification_results three_d_secure
        token_risk_score tokenization_method transaction_status_information travel_agency type unit unit_label
        unit_of_measure usage us_bank_account version wallet weekly_anchor""",
    "states, checks, requirements and errors": """
        *_check *_due *_status available currently_due details error error_message failure_message
        failure_reason field message minimum missing_fields additional param past_due pending_verification
        reason reason_message requirement seller_message status stripe_report user_report""",
    "money and quantities": """
        *_decimal *currencies *currency *rate metric_tons metric_tons_available percent_ownership""",
    "times": "*_at *_date created date end_time execute_on expires sent start_time time timestamp updated",
    "countries, languages and time zones, which millions share": """
        *_countries *_country countries country language locale *_locale *_locales *_language timezone""",
    "settings of the business, and text that it shows to everybody": """
        *_color *_title allowed_* azure_* aws_* button_* connect_src content custom custom_message endpoints_*
        font_family footer footer_body header header_body image_src images inactive_message
        interval_description label localization_key permissions_* pay_later_* pay_now_* pay_over_time_*
        placeholder predicate skip_button sql ssid submit_button supported_* text validation_regex""",
    "links that lead to no page with personal data, or that only the payer has for a while": """
        background_image_url cancel_url custom_mandate_url default_return_url destination_ip_address doc_url
        hosted_verification_url image_data_url image_url image_url_* info_url logo_url mobile_auth_url
        native_data native_url data data_string nonce_str sign privacy_policy_url product_url qr_code_url
        redirect_url registry_url request_log_url return_url specified_commercial_transactions_act_url
        success_url terms_of_service_url tracking_url""",
    "secrets, which no document has": """
        *password admin_menu_passcode ares auth_code challenge_url client_secret client_token cryptogram cvc
        cvc_token fingerprinting_url payload rreq secret signing_secret""",
    "what your own software puts there: often a key of yours": "metadata",
}
"""Names that are personal nowhere, by the reason. A name of PERSONAL or SPLIT counts before a pattern."""
