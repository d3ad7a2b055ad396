# Start here: `make demo`, then `make test`.
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help setup dev demo triage dossier notebook test lint lock audit sbom words docs pictures bench clean

help:  ## show the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/installed  ## create .venv with the payeewatch command in it

dev: .venv/dev  ## and what tests, style, notebooks and DVC need

SYNC := VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode
EDITABLE := VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --editable .

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed (make setup PYTHON=python3.11)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(SYNC) requirements.lock
	$(EDITABLE)
	touch $@

.venv/dev: .venv/installed requirements-dev.lock
	$(SYNC) requirements-dev.lock
	$(EDITABLE)
	touch $@

DEMO := PAYEEWATCH_HOME=demo PAYEEWATCH_KEY_FILE=.demo/keys.json
DEMO_HISTORY := 2024-09-22
DEMO_FIRST := 2024-09-23
DEMO_LAST := 2024-09-29

demo: setup  ## create a small synthetic insurer anew: history, training, the last seven nights, tonight's flags
	rm -rf demo .demo
	$(BIN)/payeewatch simulate --tier desk --home demo --truth .demo/truth --until $(DEMO_LAST)
	$(DEMO) $(BIN)/payeewatch init
	$(DEMO) $(BIN)/payeewatch ingest --until $(DEMO_HISTORY)
	$(DEMO) $(BIN)/payeewatch train --as-of $(DEMO_HISTORY) --promote
	$(DEMO) $(BIN)/payeewatch night --from $(DEMO_FIRST) --to $(DEMO_LAST)
	@echo 'to go on  export $(DEMO) PATH="$$PWD/$(BIN):$$PATH"'

TRIAGE := $(DEMO) PAYEEWATCH_NOW=2024-09-30T07:00
SIGN_INS := .demo/sign-ins.txt
CAST := reviewer2=reviewer senior=senior scientist=scientist auditor=auditor administrator=administrator

triage: setup  ## serve the reviewers' application on the demo insurer, with one user per role
	test -e demo/runs/$(DEMO_LAST).json || $(MAKE) demo
	test -e $(SIGN_INS) -a -d demo/triage || (umask 077; $(TRIAGE) $(BIN)/payeewatch triage-user reviewer --role reviewer \
		$(CAST:%=--also %) --lasting >$(SIGN_INS).part && mv $(SIGN_INS).part $(SIGN_INS))
	@cat $(SIGN_INS)
	$(TRIAGE) $(BIN)/payeewatch triage

DEMO_END := 2024-10-01
ASKS := 00000042
LEAVES := 00000043
at = $(DEMO) PAYEEWATCH_NOW=$(1) $(BIN)

dossier: setup  ## two days of a team on a new demo (verdicts, rights, fairness, a purge), and the dossier of it
	test -e demo/runs/$(DEMO_LAST).json -a ! -e demo/triage/triage.sqlite3 || $(MAKE) demo
	$(call at,2024-09-30T07:00)/python -m benchmarks.morning
	$(call at,2024-09-30T15:00)/payeewatch person $(ASKS) --right access --out .demo/requests/access
	$(call at,2024-09-30T15:30)/payeewatch person $(LEAVES) --right objection --out .demo/requests/objection
	$(DEMO) $(BIN)/payeewatch night 2024-09-30 --no-news
	$(call at,$(DEMO_END)T07:00)/python -m benchmarks.morning
	$(DEMO) $(BIN)/payeewatch fairness
	$(call at,$(DEMO_END)T17:00)/payeewatch purge --member $(LEAVES) --until $(DEMO_END)
	$(call at,$(DEMO_END)T17:30)/payeewatch purge --until $(DEMO_END)
	$(DEMO) $(BIN)/payeewatch dossier --as-of $(DEMO_END)

HOME_TO_STUDY := $(abspath $(or $(PAYEEWATCH_HOME),demo))
# whole paths, because Jupyter starts each notebook in its own folder; of the demo insurer, its key and truth too
STUDY := PAYEEWATCH_HOME=$(HOME_TO_STUDY) $(if $(filter $(abspath demo),$(HOME_TO_STUDY)),\
	PAYEEWATCH_KEY_FILE=$(abspath .demo/keys.json) TRUTH=$(abspath .demo/truth),\
	$(if $(PAYEEWATCH_KEY_FILE),PAYEEWATCH_KEY_FILE=$(abspath $(PAYEEWATCH_KEY_FILE))))
QUIET_LAB := --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --LabApp.news_url= --LabApp.extension_manager=readonly

.venv/notebook: .venv/dev requirements-notebook.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements-notebook.lock
	touch $@

notebook: .venv/notebook  ## open the notebooks on the demo insurer, or on PAYEEWATCH_HOME=FOLDER, in Jupyter
	test $(HOME_TO_STUDY) != $(abspath demo) || test -e demo/runs/$(DEMO_LAST).json || $(MAKE) demo
	$(STUDY) $(BIN)/jupyter lab $(QUIET_LAB) notebooks

# what uses no database, or a SQLite of its own wherever it runs
OWN_DATABASE := browser commands language evidence/test_no_contradiction.py server/test_serve.py

test: dev  ## run every test, and those of the reviewers' application again on PostgreSQL
	tests/debian.sh
	env -u DATABASE_URL OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m tests.on_postgresql -n auto --dist loadfile -m "not once" tests/triage $(OWN_DATABASE:%=--ignore tests/triage/%)

lint: dev  ## check style, types, and the code for usual security faults
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive triage
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive --skip B105,B608 \
		dossier evaluation features payeewatch/*.py payeewatch/commands pipeline simulator

COMPILE := $(BIN)/uv pip compile pyproject.toml --extra sso --generate-hashes --no-emit-index-url --no-header \
	--upgrade --python-version 3.11 --quiet

lock: setup  ## resolve the dependencies again: with hashes, without index addresses
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	echo 'jupyterlab>=4.4,<5' | $(BIN)/uv pip compile - --generate-hashes --no-emit-index-url --no-header --upgrade \
		--python-version 3.11 --quiet --no-annotate --constraint requirements-dev.lock --output-file requirements-notebook.lock

audit: setup  ## compare the locks with an OSV file of known advisories that you bring: make audit FILE=osv.json
	$(BIN)/python -m payeewatch.advisories "$(FILE)" requirements.lock requirements-dev.lock

sbom: setup  ## write the software bill of materials of requirements.lock, as CycloneDX
	$(BIN)/python -m payeewatch.materials requirements.lock sbom.cdx.json

words: setup  ## update the French catalogue; list what is new or changed and needs a translation
	$(BIN)/python -m payeewatch.catalogue

docs: setup  ## write the generated pages, and the schemas for editors
	$(BIN)/python -m payeewatch.features.docs > .docs.part && mv .docs.part docs/features.md
	$(BIN)/python -m payeewatch.pipeline.pages.inputs
	$(BIN)/python -m payeewatch.pipeline.pages.checks
	$(BIN)/python -m payeewatch.pipeline.pages.schemas
	$(BIN)/python -m payeewatch.triage.access_docs

pictures: dev  ## photograph the documents' pictures on the demo insurer, with Debian's chromium
	test -e demo/runs/$(DEMO_LAST).json || $(MAKE) demo
	$(BIN)/python -m benchmarks.pictures

bench: dev  ## measure speed and memory of a night (with a lower bound and a plain version) and of the reviewers' application
	$(BIN)/python -m benchmarks.night
	test -e demo/runs/$(DEMO_LAST).json || $(MAKE) demo
	$(BIN)/python -m benchmarks.triage --database sqlite
	$(BIN)/python -m benchmarks.triage --database postgresql

clean:  ## remove the demo insurer and caches, keep .venv
	rm -rf demo .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
