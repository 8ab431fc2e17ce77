# Every target sets up what is missing; nothing but Python 3.11 to 3.13 is assumed.
PYTHON ?= python3
WORKERS ?= 5
MACHINES ?= 300
LATENCY_MS ?= 20
BIN := .venv/bin
# the tests start hundreds of processes that import the same modules: these are compiled once
unexport PYTHONDONTWRITEBYTECODE
READY := .venv/.ready
AZURITE := sandbox/azurite/node_modules/.ready
HYCO := tests/relay_listener/node_modules/.ready
AXE := tests/browser/axe/node_modules/.ready
KUSTO := tests/infra/kusto/node_modules/.ready
WORKER := tests/worker/.venv-3.13/.ready
INFRA := tests/infra/.venv-checkov/.ready tests/infra/.venv-azure/.ready
CLIENTS := tests/nutanix_clients/.venv-4.0/.ready tests/nutanix_clients/.venv-4.3/.ready

.PHONY: demo serve package setup compiled test crash chaos soak bench screenshots browser audit lint clean

demo: $(READY) $(AZURITE)
	@$(BIN)/python -m sandbox demo

serve: $(READY) $(AZURITE)
	@$(BIN)/python -m sandbox serve $(ARGS)

# what is deployed; make package ARGS=--dependencies where Azure is to build nothing
package: $(READY)
	@$(BIN)/python infra/package.py $(ARGS)

# all that the tests need; with -j several at a time
setup: $(READY) $(AZURITE) $(HYCO) $(AXE) $(KUSTO) $(CLIENTS) $(WORKER) $(INFRA) browser

# the workers of the tests would each compile all test files; once is enough, while other things are set up
compiled: $(READY)
	@found=$$($(BIN)/python -m pytest --collect-only --quiet) || { echo "$$found"; exit 1; }

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# the host is killed at every step, and not only at some; the relay is cut for half a minute, and not only for seconds
crash: $(READY) $(AZURITE)
	REALIGN_LONG=1 $(BIN)/python -m pytest tests/e2e/test_kill_points.py tests/e2e/test_two_hosts.py tests/e2e/test_relay.py -n $(WORKERS) $(ARGS)

# all seeds, or one of them: make chaos SEED=17
chaos: $(READY) $(AZURITE)
	REALIGN_CHAOS=$(or $(SEED),all) $(BIN)/python -m pytest tests/chaos $(if $(SEED),,-n $(WORKERS)) $(ARGS)

soak: $(READY) $(AZURITE)
	REALIGN_LONG=1 $(BIN)/python -m pytest tests/stateful tests/unit/planning --timeout 7200 $(ARGS)

bench: $(READY) $(AZURITE)
	@$(BIN)/python -m tests.bench.scripts --machines $(MACHINES) --latency-ms $(LATENCY_MS)

# the pictures of the docs: the states of the review page as they are now
screenshots: $(READY) $(AZURITE) browser
	@$(BIN)/python -m tests.browser.screenshots docs/screenshots

# Chromium comes from the system, so no file of ours tells whether it is there
browser: $(READY)
	@$(BIN)/python -m tests.browser.chromium

# known vulnerabilities of what is deployed; asks PyPI's database, and fails where that does not answer for every package
audit: .venv-audit/.ready
	.venv-audit/bin/pip-audit --strict --requirement requirements.txt

.venv-audit/.ready:
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Realign needs Python 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "This Python cannot make virtual environments. On Debian: apt-get install python3-venv"; exit 1; }
	@echo "Setting up .venv (once, about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# without dependencies: the files list what the checks import, about half of what these tools would bring
tests/infra/.venv-%/.ready: tests/infra/requirements-%.txt $(READY)
	@echo "Setting up $* for the checks of the Bicep (once)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile -r $<
	@touch $@

$(AZURITE): sandbox/azurite/package.json sandbox/azurite/package-lock.json $(READY)
	@echo "Setting up Azurite (once)"
	@$(BIN)/python -m sandbox.azurite
	@touch $@

$(HYCO): tests/relay_listener/package.json tests/relay_listener/package-lock.json $(READY)
	@echo "Setting up Microsoft's relay listener library, for the tests (once)"
	@$(BIN)/python -m sandbox.npm tests/relay_listener
	@touch $@

$(AXE): tests/browser/axe/package.json tests/browser/axe/package-lock.json $(READY)
	@echo "Setting up axe-core, for the tests (once)"
	@$(BIN)/python -m sandbox.npm tests/browser/axe
	@touch $@

$(KUSTO): tests/infra/kusto/package.json tests/infra/kusto/package-lock.json $(READY)
	@echo "Setting up Microsoft's parser of Kusto queries, for the tests (once)"
	@$(BIN)/python -m sandbox.npm tests/infra/kusto
	@touch $@

tests/nutanix_clients/.venv-%/.ready: tests/nutanix_clients/requirements-%.txt $(READY)
	@echo "Setting up Nutanix's own clients $*, for the tests (once)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Only Python 3.13 can install Microsoft's worker library. Where there is none, its tests are skipped.
$(WORKER): tests/worker/requirements-3.13.txt requirements.txt $(READY)
	@for python in $(PYTHON) python3.13 $$HOME/.pyenv/versions/3.13.*/bin/python; do \
	  "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || continue; \
	  echo "Setting up Microsoft's worker library for Python 3.13, for the tests (once)"; \
	  "$$python" -m venv $(@D) && \
	  $(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $< && touch $@; exit; \
	done; echo "No Python 3.13 here: the tests of Microsoft's worker library are skipped"

clean:
	rm -rf .venv .venv-audit sandbox/azurite/node_modules tests/relay_listener/node_modules tests/browser/axe/node_modules \
	  tests/infra/kusto/node_modules \
	  tests/nutanix_clients/.venv-* tests/worker/.venv-* tests/infra/.venv-* dist
