# The connector as Flow runs it: poetry.lock's main dependencies and the package, nothing else.
# To build through a mirror: docker build --build-arg PIP_INDEX_URL=...

FROM python:3.12-slim AS build
ARG PIP_INDEX_URL
WORKDIR /app
COPY pyproject.toml poetry.lock ./
COPY tools/ tools/
RUN python tools/poetry.py sync --only main --no-root --compile

FROM python:3.12-slim
LABEL FLOW_RUNTIME_PROTOCOL=capture FLOW_RUNTIME_CODEC=json
RUN useradd --system --no-create-home connector
WORKDIR /app
COPY --from=build /app/.venv/ .venv/
COPY source_stripe_native/ source_stripe_native/
ENV PATH=/app/.venv/bin:$PATH
USER connector
ENTRYPOINT ["python", "-m", "source_stripe_native"]
