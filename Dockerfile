# The connector as Flow runs it: poetry.lock's main dependencies and the package, nothing else.
# Flow runs linux/amd64 alone, wherever the image is built: see `make image`.
# To build through a mirror: docker build --build-arg PIP_INDEX_URL=...

FROM python:3.12-slim AS build
ARG PIP_INDEX_URL
WORKDIR /app
COPY pyproject.toml poetry.lock ./
COPY tools/ tools/
RUN python tools/poetry.py sync --only main --no-root --compile
COPY source_stripe_native/ source_stripe_native/
# Once: the connector's user may not write.
RUN python -m compileall -q source_stripe_native

FROM python:3.12-slim
# The rate is in Flow's usage credits a second. 1.0 is what connectors of this kind have.
ARG USAGE_RATE=1.0
LABEL FLOW_RUNTIME_PROTOCOL=capture \
      FLOW_RUNTIME_CODEC=json \
      dev.estuary.usage-rate=${USAGE_RATE} \
      dev.estuary.port-public.8080=true \
      org.opencontainers.image.title="source-stripe-native" \
      org.opencontainers.image.description="Captures a Stripe account, and the accounts connected to it, into Estuary Flow" \
      org.opencontainers.image.documentation="https://go.estuary.dev/source-stripe-native" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --system --no-create-home connector
WORKDIR /app
COPY LICENSE ./
COPY --from=build /app/.venv/ .venv/
COPY --from=build /app/source_stripe_native/ source_stripe_native/
ENV PATH=/app/.venv/bin:$PATH
USER connector
# Where Stripe's posts come in, if the capture has a signing secret for them: they authenticate themselves.
EXPOSE 8080
ENTRYPOINT ["python", "-m", "source_stripe_native"]
