# Everything that is done with a checkout: `make help` lists it.
#
# A target sets up what it needs by itself, from Python 3.11+, make and git alone: Poetry in .poetry/, the packages
# of poetry.lock in .venv/ (see tools/poetry.py). It does so again only when pyproject.toml or poetry.lock changes.

PYTHON  ?= python3
FLOWCTL ?= python -m sandbox
export FLOWCTL

SOURCE  ?= $(if $(filter discover,$(MAKECMDGOALS)),test.flow.yaml,$(if $(WEBHOOKS),test-webhooks,test-prices).flow.yaml)

STAMP   := .venv/set-up-with-$(notdir $(PYTHON))
POETRY  := $(PYTHON) tools/poetry.py
IN_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH"

define NEEDS_PYTHON
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
  echo "$(PYTHON) is missing or older than 3.11: name a newer one, as in make PYTHON=python3.12" >&2; exit 1; }
endef

BENCHES := speed limits requests accounts cadence webhooks start memory

# Where the connector listens for posts.
WEBHOOK_PORT ?= 8081
export WEBHOOK_PORT
POSTS   := $(if $(WEBHOOKS),--webhooks http://127.0.0.1:$(WEBHOOK_PORT)/)

# The project's own specifications have the local Stripe's key. Yours have your own, for Stripe itself.
WITH_STRIPE := $(if $(filter test%.flow.yaml,$(notdir $(SOURCE))),python -m sandbox stripe $(STRIPE) $(POSTS) --)
# flowctl has no flag that ends a preview which has all.
FLAGS   ?= $(if $(WEBHOOKS),,$(if $(findstring sandbox,$(FLOWCTL)),--until-caught-up --table,--delay 1s --timeout 8s))

.PHONY: $(BENCHES) help check audit fmt test soak clients preview discover stripe bench lock image clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: $(STAMP) ## look for mistakes: format, lint, types, layers, pages; audit
	@$(IN_VENV) ruff format --check --quiet .
	@$(IN_VENV) ruff check --quiet .
	@$(IN_VENV) mypy
	@$(IN_VENV) lint-imports --no-logo
	@$(IN_VENV) python tools/describe_streams.py --check
	@$(IN_VENV) python tools/personal.py --check
	@! command -v pip-audit >/dev/null || $(MAKE) --no-print-directory audit

audit: $(STAMP) ## look up known vulnerabilities (needs pip-audit)
	@pip-audit --progress-spinner off --path "$$($(IN_VENV) python -c 'import sysconfig as s; print(s.get_path("purelib"))')"

fmt: $(STAMP) ## format the code, and mend what the linter can
	@$(IN_VENV) ruff format --quiet .
	@$(IN_VENV) ruff check --fix --quiet .

test: $(STAMP) ## run the tests, in under three minutes on two cores
	@$(IN_VENV) python -m compileall -q source_stripe_native sandbox tests # once, instead of in each process
	@$(IN_VENV) pytest -n 4 --dist worksteal

preview: $(STAMP) ## capture a local Stripe's prices (SOURCE=my.flow.yaml: your own)
	@$(IN_VENV) $(WITH_STRIPE) $(FLOWCTL) preview --source $(SOURCE) $(FLAGS)

discover: $(STAMP) ## write bindings into test.flow.yaml (SOURCE=my.flow.yaml: yours)
	@$(IN_VENV) $(WITH_STRIPE) $(FLOWCTL) raw discover --source $(SOURCE)

stripe: $(STAMP) ## serve the local Stripe until Ctrl-C (STRIPE="--demo": a shop)
	@$(IN_VENV) python -m sandbox stripe $(STRIPE)

soak: $(STAMP) ## run captures with faults and kills (SECONDS=600, SEED=n)
	@$(IN_VENV) python -m tests.soak --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

clients: $(STAMP) ## try Stripe's clients on the local Stripe (needs npm, network)
	@$(IN_VENV) python -m tests.clients

bench: $(STAMP) ## measure everything in about 20 minutes, or parts: bench speed
	@$(IN_VENV) python -m bench $(filter $(BENCHES),$(MAKECMDGOALS))

$(BENCHES): bench
	@:

lock: ## write poetry.lock anew from pyproject.toml
	@$(NEEDS_PYTHON)
	@$(POETRY) lock

image: ## build the connector's image, with Docker
	@docker build --platform linux/amd64 --tag source-stripe-native .

clean: ## remove what the other targets made
	@rm -rf .venv .poetry .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml poetry.lock tools/poetry.py tools/poetry.txt
	@$(NEEDS_PYTHON)
	@echo "The first time this downloads 150 MB into the checkout, in about a minute:" >&2
	@$(POETRY) sync --all-extras
	@touch $@
