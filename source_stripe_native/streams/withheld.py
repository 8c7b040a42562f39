from source_stripe_native.streams.redacted import redact as withhold

__all__ = ["withhold"]
