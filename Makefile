# Two commands: `make run` and `make test`. PRESET= chooses a configuration (`make help` lists them), PROFILE= a profile directory.
PRESET ?= demo
PROFILE ?= profiles/default
PYTHON ?= python3
VENV := .venv
# The packages are compiled as they are imported, and each only once.
unexport PYTHONDONTWRITEBYTECODE
# SITE= names a file with what the scheduler of a site wants to be told; profiles/README.md.
SITE ?=
# CORES= overrides the profile. On a cluster it would limit every job to the cores of this machine: there it has no default.
# On this machine no more jobs run side by side than its free memory holds. The profile follows, since --resources takes every
# word up to the next option.
FREE_MB = $(shell awk '/^MemAvailable/ {print int($$2 / 1024)}' /proc/meminfo)
SNAKEMAKE = PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake $(if $(CORES),--cores $(CORES)) \
  $(if $(filter profiles/default,$(PROFILE)),$(if $(CORES),,--cores all) --resources mem_mb=$(FREE_MB)) --workflow-profile $(PROFILE)
# Targets stand before --configfile, which takes every word after it.
# Presets that are laid over another than the demo.
UNDER_one-base = config/paper.yaml
UNDER_two-nodes = config/paper.yaml
FILES = $(if $(filter demo,$(PRESET)),,$(UNDER_$(PRESET)) config/$(PRESET).yaml) $(SITE)
CONFIG = $(if $(strip $(FILES)),--configfile $(FILES))

# Two processes share the test files, in their order.
PYTEST = PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

PRESETS = demo $(filter-out schema,$(patsubst config/%.yaml,%,$(wildcard config/*.yaml)))
PROFILES = $(patsubst %/,%,$(dir $(wildcard profiles/*/config.yaml)))

.PHONY: help setup run check unit test test-full further lint plan preflight probe chaos report readme trace verify expected archive restore clean known
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18
	@echo "  PRESET=$(PRESET) (of $(PRESETS)), PROFILE=$(PROFILE) (of $(PROFILES))"

# What PRESET and PROFILE name is looked for before anything else happens.
known:
	@[ -n "$(filter $(PRESET),$(PRESETS))" ] || \
	  { echo "error: there is no preset \`$(PRESET)\`"; echo "  where: PRESET=$(PRESET), config/$(PRESET).yaml"; \
	    echo "  what to do: choose one of $(PRESETS), or write that file"; exit 2; } >&2
	@[ -n "$(wildcard $(PROFILE)/config*.yaml $(PROFILE)/config*.yml)" ] || \
	  { echo "error: there is no profile \`$(PROFILE)\`"; echo "  where: PROFILE=$(PROFILE), $(PROFILE)/config.yaml"; \
	    echo "  what to do: choose one of $(PROFILES), or name a directory that holds a config.yaml"; exit 2; } >&2

setup: known $(VENV)/installed  ## the environment and all downloads; after it no network is needed
	@$(SNAKEMAKE) downloads --quiet all $(CONFIG)

$(VENV)/installed: requirements.lock
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo "error: there is no program \`$(PYTHON)\`"; echo "  where: PYTHON=$(PYTHON)"; \
	    echo "  what to do: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 2; } >&2
	@$(PYTHON) tools/set_up.py --environment $(VENV) $(if $(filter profiles/default,$(PROFILE)),,--gpus-elsewhere)
	@touch $@

run: known $(VENV)/installed  ## everything of the preset: data, models, scores, tables
	@$(SNAKEMAKE) $(CONFIG)

check: $(VENV)/installed  ## unit tests and lint, within a minute
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target unit lint

unit: $(VENV)/installed
	@$(PYTEST) --quiet -m "not slow" tests/unit

test: $(VENV)/installed  ## the tests but for those of test-full, the whole smoke DAG among them
	@$(PYTEST) -m "not full"

test-full: test further  ## all tests: SLURM, chaos and the full fuzz as well

further: $(VENV)/installed
	@FUZZ=100 $(PYTEST) -m "full or fuzz or hypothesis"

lint: $(VENV)/installed  ## formatting, types, workflow rules
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" sh -ec 'ruff check .; ruff format --check .; mypy; snakefmt --check Snakefile rules; snakemake --lint'

plan: known $(VENV)/installed  ## what a run needs before it runs: memory, hours, disk (PRESET=paper GPU=a100-40gb)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python scripts/plan_run.py $(CONFIG) --profile $(PROFILE) $(if $(GPU),--gpu $(GPU))

preflight: known $(VENV)/installed  ## whether the machine that will train is ready; every problem at once
	@$(SNAKEMAKE) results/$(PRESET)/report/machine.json --forcerun check_machine $(CONFIG)

probe: known $(VENV)/installed  ## whether this machine does the run: every method, short, at full width (PRESET=paper GPU=a100-40gb)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python scripts/probe_machine.py $(CONFIG) $(if $(GPU),--gpu $(GPU)) \
	  --folder results/$(PRESET)/probe --output results/$(PRESET)/probe.yaml

chaos: $(VENV)/installed  ## kill the smoke preset again and again and compare its results (SEED= repeats a run)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python tools/chaos.py $(if $(SEED),--seed $(SEED))

report: known $(VENV)/installed  ## the report page of the preset; whatever it needs and is not there yet is run first
	@$(SNAKEMAKE) results/$(PRESET)/report/report.html $(CONFIG)
	@echo "Report: file://$(CURDIR)/results/$(PRESET)/report/report.html"

readme: run  ## put the tables of the run into README.md and docs/demo.md
	@$(SNAKEMAKE) results/$(PRESET)/report/README.md --quiet all $(CONFIG)
	@cp results/$(PRESET)/report/README.md README.md && cp results/$(PRESET)/report/demo.md docs/demo.md
	@for name in accuracy learning_curves tradeoffs; do cp results/$(PRESET)/figures/$$name.svg docs/demo_$$name.svg; done

trace: $(VENV)/installed  ## what is behind a cell: make trace CELL=table3/smollm2-135m/coh/sst2/k1
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python scripts/trace_cell.py --results results/$(PRESET) --cell "$(CELL)"

verify: known $(VENV)/installed  ## compare a finished run with the expected results, or with another run: make verify AGAINST=demo.tar
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python scripts/verify_run.py --results results/$(PRESET) \
	  $(if $(AGAINST),--against "$(AGAINST)",--expected resources/expected/$(PRESET)) $(if $(ALL),--all)

expected: run  ## keep what this run found as the expected results of the preset
	@$(SNAKEMAKE) results/$(PRESET)/report/facts.json --quiet all $(CONFIG)
	@mkdir -p resources/expected/$(PRESET) && cp results/$(PRESET)/report/facts.json resources/expected/$(PRESET)/facts.json

archive: $(VENV)/installed  ## results of the preset with hashes in one file, without weights: make archive ARCHIVE=demo.tar
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python scripts/archive_results.py --results results/$(PRESET) --output "$(or $(ARCHIVE),results-$(PRESET).tar)"

restore: known $(VENV)/installed  ## unpack such a file; then all is rendered without training: make restore ARCHIVE=demo.tar
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python scripts/restore_results.py --archive "$(ARCHIVE)" --results results/$(PRESET)
	@$(SNAKEMAKE) --touch --quiet all $(CONFIG)
	@$(SNAKEMAKE) tables results/$(PRESET)/report/report.html \
	  --forcerun $$(sed -n 's/^use rule [a-z_]* as \(render_[a-z0-9]*\) with:/\1/p' rules/tables.smk rules/report.smk) $(CONFIG)
	@echo "Report: file://$(CURDIR)/results/$(PRESET)/report/report.html"

clean:  ## remove results and scratch state; models and downloads stay (it says which)
	@cd results 2>/dev/null && for preset in */; do for part in "$$preset"*/; do \
	  case "$$part" in */models/|*/downloads/) echo "kept: results/$$part (remove it by hand)";; *) rm -rf "$$part";; esac; done; done; true
