# Two commands matter: `make demo` tells the whole story on an offline AWS, `make test` proves the collection.
# A machine needs Python 3.11+, make and PyPI; everything is made below this folder and nowhere else.

# The newest Python of the machine, since it brings the newest ansible-core; any other on request.
ifndef PYTHON
PYTHON := $(shell python3 tools/find_python.py newest)
endif
LINE := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(LINE),)
$(error No Python found: set PYTHON to a Python 3.11 or newer, as in `make test PYTHON=python3.13`)
endif

VENV := .venv/$(LINE)
COLLECTION := $(VENV)/collection
SANDBOX := $(VENV)/sandbox
DOCS := $(VENV)/docs
BIN := $(COLLECTION)/bin
UV := $(VENV)/uv/bin/uv
LINK := .cache/collections/ansible_collections/podidentity/eks
SANDBOX_RUN := PYTHONPATH=sandbox $(SANDBOX)/bin/python -m eks_sandbox
# What the sandbox's clusters are: embedded (a small API server of ours) or envtest (the real kube-apiserver and etcd).
CONTROL_PLANE ?= embedded
# How its pods run: namespaces, processes, or auto (namespaces where this machine allows them).
POD_MODE ?= auto
SANDBOX_OPTIONS := --control-plane $(CONTROL_PLANE) --pod-mode $(POD_MODE)

# For ansible-core 2.19, in `make test-all`; found when a target needs it.
OLDEST_PYTHON = $(shell $(PYTHON) tools/find_python.py oldest)

# A file is one piece of work, and the longest files start first (tests/support/scheduling.py). One process more than two
# cores need, because tests of playbooks wait a fifth of their time.
PYTEST = mkdir -p build && $(BIN)/python -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

# What a pod's Python imports: pods see it read-only, so it is compiled beforehand.
POD_PACKAGES := awscli dateutil jmespath s3transfer urllib3

# Tools keep their caches and homes in the checkout, and never find a copy of the collection in the user's home.
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
# Where a company's own certificate authority stands in between, the system knows it and uv's own list does not.
export UV_SYSTEM_CERTS ?= true
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export ANSIBLE_HOME := $(CURDIR)/build/ansible
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export XDG_CACHE_HOME := $(CURDIR)/.cache
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport ANSIBLE_COLLECTIONS_PATH ANSIBLE_INVENTORY
# Compiled once, Ansible and its modules start three times as fast.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-sandbox test-cluster test-all test-deep test-oldest test-line pytest bench lint sanity docs lock dist release \
  sandbox-up sandbox-down clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

demo: $(VENV)/.collection $(VENV)/.sandbox ## the whole story, from nothing to proof, on the sandbox
	@$(BIN)/python tools/demo.py $(SANDBOX_OPTIONS)

test: lint sanity ## every push: lint, sanity, unit, modules, smoke playbooks, Molecule, one proof from a real pod
	@$(PYTEST) --basetemp build/pytest -m "not deep" --ignore tests/conformance --ignore tests/cluster tests

test-sandbox: $(VENV)/.dev $(VENV)/.sandbox ## every push: the sandbox is as strict as AWS and Kubernetes
	@$(PYTEST) --basetemp build/pytest-sandbox tests/conformance

test-cluster: export SANDBOX_CONTROL_PLANE := envtest
test-cluster: $(VENV)/.dev $(VENV)/.sandbox ## every push: conformance and the story on the real kube-apiserver
	@$(SANDBOX_RUN) control-plane
	@$(PYTEST) --basetemp build/pytest-cluster tests/cluster tests/conformance
	@$(BIN)/python tools/demo.py --control-plane envtest

test-all: test test-sandbox test-cluster docs test-deep test-oldest ## before a release: all of these, and what takes longer

pytest: $(VENV)/.dev $(VENV)/.sandbox ## ARGS="tests/unit -k trust": chosen tests, as pytest takes them
	@mkdir -p build
	@$(BIN)/python -m pytest --basetemp build/pytest-chosen $(ARGS)

test-deep: $(VENV)/.dev $(VENV)/.sandbox $(VENV)/.lowest $(VENV)/.newest
	@$(PYTEST) --basetemp build/pytest-deep -m deep --durations 30 --ignore tests/conformance --ignore tests/cluster tests

# On ansible-core 2.19, where the newest Python of the machine brings a newer one.
test-oldest:
	@$(if $(filter-out $(PYTHON),$(OLDEST_PYTHON)),$(MAKE) --no-print-directory PYTHON=$(OLDEST_PYTHON) sanity test-line)

test-line: $(VENV)/.dev $(VENV)/.sandbox
	@$(PYTEST) --basetemp build/pytest-line tests/unit tests/runner tests/playbooks/test_story.py

bench: $(VENV)/.collection ## time and API calls of whole runs, beside their rivals
	@PYTHONPATH=tests $(BIN)/python tests/bench/bench.py

lint: $(VENV)/.dev $(VENV)/.sandbox ## ruff, mypy, yamllint, ansible-lint, changelog
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/python tools/typecheck.py
	@$(BIN)/yamllint --strict .
	@$(BIN)/ansible-lint --profile production --offline
	@$(BIN)/antsibull-changelog lint

sanity: $(VENV)/.collection ## ansible-test sanity, with the ansible-core of this Python
	@$(BIN)/python tools/sanity.py

docs: $(VENV)/.docs $(VENV)/.collection ## build the documentation site in build/docs/html
	@$(DOCS)/bin/python tools/docs.py

dist: $(VENV)/.collection ## build the collection's tarball in build/dist
	@mkdir -p build/dist
	@$(BIN)/ansible-galaxy collection build --force --output-path build/dist

release: $(VENV)/.dev ## VERSION=1.2.3: version, changelog, commit, tag and tarball; DRY_RUN=1 shows them only
	@$(BIN)/python tools/release.py $(if $(DRY_RUN),--dry-run) "$(VERSION)"

sandbox-up: $(VENV)/.collection $(VENV)/.sandbox ## start the offline AWS and Kubernetes in the background
	@$(SANDBOX_RUN) up --directory build/sandbox $(SANDBOX_OPTIONS)
	@echo 'export PATH="$(CURDIR)/$(BIN):$$PATH" ANSIBLE_HOME="$(ANSIBLE_HOME)"; unset PYTHONDONTWRITEBYTECODE' >> build/sandbox/env

sandbox-down: ## stop it, and every pod with it
	@test ! -x $(SANDBOX)/bin/python || $(SANDBOX_RUN) down --directory build/sandbox

lock: $(UV) ## resolve the lock files anew; one file serves Python 3.11 and 3.12+
	@for name in collection dev docs sandbox go lowest; do \
	  test $$name = lowest && resolution=lowest-direct || resolution=highest; \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
	    --resolution $$resolution requirements/$$name.in --output-file requirements/$$name.txt || exit 1; done

clean: sandbox-down ## remove what the targets made
	@rm -rf .venv .cache build

# --- virtual environments, made on demand -----------------------------------------------------------------------------

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)/uv
	@$(VENV)/uv/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

define install
	@test -x $(VENV)/$(1)/bin/python || $(UV) venv --quiet --python $(or $(3),$(VENV)/uv/bin/python) $(VENV)/$(1)
	@$(UV) pip install --quiet --python $(VENV)/$(1)/bin/python --require-hashes -r requirements/$(2).txt
	@touch $@
endef

$(VENV)/.collection: requirements/collection.txt $(UV) | $(LINK)
	$(call install,collection,collection)

$(VENV)/.dev: requirements/dev.txt $(VENV)/.collection
	$(call install,collection,dev)

$(VENV)/.docs: requirements/docs.txt $(UV)
	$(call install,docs,docs)

# Where the built collection is tried, without what the tests need beside it: with the lowest versions that it supports, and
# with the newest. A machine may have no Python for the lowest.
$(VENV)/.lowest: requirements/lowest.txt $(UV)
	$(if $(OLDEST_PYTHON),$(call install,lowest,lowest,$(OLDEST_PYTHON)),@echo 'ansible-core 2.19 needs Python 3.11 to 3.13.')

$(VENV)/.newest: requirements/collection.txt $(UV)
	$(call install,newest,collection)

$(VENV)/.sandbox: requirements/sandbox.txt $(UV)
	$(call install,sandbox,sandbox)
	@$(SANDBOX)/bin/python -m compileall -q -j 2 $(SANDBOX)/lib/python*/site-packages/boto* \
	  $(POD_PACKAGES:%=$(SANDBOX)/lib/python*/site-packages/%)

# Ansible finds a collection by its folder's name, whatever this checkout is called.
$(LINK):
	@mkdir -p $(dir $@)
	@ln -s ../../../.. $@
