"""What a laptop without a Stripe account or flowctl needs: a local Stripe and a local Flow runtime.

The connector never imports from here, and nothing here imports the connector: code in common would be a
mistake in common."""
