# Every step by name; the logic is in the Python that it calls. `make help` lists the targets.
SHELL := /bin/bash
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
PY := .venv/bin/python
TS := $(PY) -m tokenswarm
ENV := .venv/bin/tokenswarm

# What a run is made with; empty leaves it to the scenario (or, for TARGET, to the GPU that is there).
TARGET ?= auto
SCENARIO ?= chat-medium
LOCUSTFILE ?= locustfiles/chat.py
WORKERS ?= 1
PORT ?= 8000
VARIANT ?= baseline
VARIANTS ?= baseline optimized
REPEATS ?= 3
MASTER ?= 127.0.0.1
TOKEN_FILE ?=
WEB_PORT ?= 8089
FILES ?=
JOBS ?= 4
export OPENAI_API_KEY TOKENSWARM_RESULTS TOKENSWARM_TOKEN

# Options that are passed on only where they are given.
given = $(if $($(1)),--$(2) "$($(1))")
quoted = $(if $($(1)),--$(2) '$(subst ','\'',$($(1)))')
on = $(if $(filter-out 0 no false,$($(1))),--$(2))
LABELS = $(call quoted,LABEL,label) $(call quoted,NOTE,note)
LOAD = --scenario "$(SCENARIO)" $(call given,RPS,rps) $(call given,DURATION,duration) \
  $(call given,WARMUP,warmup) $(call given,DRAIN,drain) $(call given,ARRIVALS,arrivals) \
  $(call given,CONCURRENCY,concurrency) $(call given,MAX_CONCURRENCY,max-concurrency) $(call given,SEED,seed) $(call given,TIMEOUT,timeout) \
  $(call given,INPUT_TOKENS,input-tokens) $(call given,OUTPUT_TOKENS,output-tokens) \
  $(call given,SLO_TTFT,slo-ttft) $(call given,SLO_TPOT,slo-tpot) $(call given,SLO_SHARE,slo-share) \
  $(call given,MODEL,model) $(call given,METRICS_PORT,metrics-port) \
  $(call given,TOKENIZER,tokenizer) $(call given,CA_FILE,ca-file) $(call on,INSECURE,insecure) \
  $(call given,API,api) $(call given,ENDPOINT,endpoint) $(call quoted,EXTRA_BODY,extra-body) $(call quoted,HEADER,header) \
  $(call given,TEMPERATURE,temperature) $(call given,TOP_P,top-p) \
  $(call given,MAX_TOKENS_FIELD,max-tokens-field) $(call on,NO_IGNORE_EOS,no-ignore-eos) $(call on,KEEP_GOING,keep-going) \
  $(call given,STOP_WHEN_SATURATED,stop-when-saturated) \
  $(call given,METRICS_HOST,metrics-host) $(call given,DIRECT,direct) $(LABELS)
RUN = $(call given,TARGET,target) $(call given,PORT,port) $(call given,WORKERS,workers) $(call on,PIN,pin) \
  $(call given,LOCUSTFILE,locustfile) $(call given,HOST,host) $(LOAD)
NAMED = $(if $(and $(GRID),$(filter file,$(origin VARIANTS))),,$(VARIANTS)) \
  $(if $(GRID),--grid $(foreach flag,$(GRID),"$(flag)"))
STRICT_FLAG = $(call on,STRICT,strict)
GATE = $(foreach reason,$(FAIL_ON),--fail-on $(reason)) $(call given,JUNIT,junit) $(call given,SUMMARY,summary)
SERIES = $(call given,STARTS,starts) $(STRICT_FLAG) $(call on,FRESH,fresh) $(call on,UNTIL_DECIDED,until-decided) \
  $(call on,EVERY_REPEAT,every-repeat) $(GATE)

# A mistyped one (RSP=5) would be ignored without a word, and the run be another than was asked for.
SETTINGS = SCENARIO RPS DURATION WARMUP DRAIN ARRIVALS CONCURRENCY MAX_CONCURRENCY INPUT_TOKENS OUTPUT_TOKENS \
  SLO_TTFT SLO_TPOT SLO_SHARE SEED TIMEOUT LOCUSTFILE WORKERS PIN TARGET PORT VARIANT VARIANTS HOST MODEL REPEATS STARTS \
  FRESH STRICT TOLERANCE MAX_STEPS MASTER TOKEN_FILE METRICS_PORT WEB_PORT FILES JOBS PYTHON TOKENIZER CA_FILE INSECURE \
  API ENDPOINT EXTRA_BODY HEADER TEMPERATURE TOP_P MAX_TOKENS_FIELD NO_IGNORE_EOS KEEP_GOING METRICS_HOST DIRECT DRY_RUN LABEL NOTE \
  FROM FLAGS RATES GPU SCORE PEERS FAIL_ON JUNIT SUMMARY GRID STOP_WHEN_SATURATED \
  UNTIL_DECIDED EVERY_REPEAT SIDE_BY_SIDE BY BUDGET \
  OPENAI_API_KEY TOKENSWARM_RESULTS TOKENSWARM_TOKEN TOKENSWARM_SERVER_PYTHON
UNKNOWN := $(filter-out $(SETTINGS) SHELL MAKEFLAGS PY,$(foreach name,$(.VARIABLES),$(if \
  $(filter command line,$(origin $(name))),$(name))))
$(if $(UNKNOWN),$(error unknown setting $(UNKNOWN): `make help` lists those there are))

# Nor is one of use to a target that does not take it.
GOALS_VARIANT = run capacity ui serve master
GOALS_VARIANTS = compare sweep tune curve
GOALS_REPEATS = compare sweep tune
GOALS_STARTS = compare sweep tune
GOALS_FRESH = compare sweep tune curve capacity
GOALS_UNTIL_DECIDED = compare sweep
GOALS_EVERY_REPEAT = compare sweep
GOALS_SIDE_BY_SIDE = compare
GOALS_BY = tune
GOALS_BUDGET = tune
GOALS_TOLERANCE = capacity
GOALS_MAX_STEPS = capacity
GOALS_MASTER = worker
GOALS_TOKEN_FILE = master worker
GOALS_WEB_PORT = ui
GOALS_FILES = audit
GOALS_GRID = sweep tune curve
GOALS_FAIL_ON = compare sweep
GOALS_JUNIT = compare sweep check-run
GOALS_SUMMARY = compare sweep check-run
GOALS_FROM = forecast check-run
GOALS_FLAGS = forecast
GOALS_RATES = forecast curve
GOALS_GPU = forecast
GOALS_SCORE = forecast
GOALS_PEERS = bench-rosetta
GOALS_DRY_RUN = run
$(foreach name,VARIANT VARIANTS REPEATS STARTS FRESH UNTIL_DECIDED EVERY_REPEAT SIDE_BY_SIDE BY BUDGET TOLERANCE MAX_STEPS MASTER TOKEN_FILE WEB_PORT FILES FROM FLAGS RATES GPU SCORE PEERS DRY_RUN FAIL_ON JUNIT SUMMARY GRID,$(if \
  $(and $(filter command line,$(origin $(name))),$(MAKECMDGOALS)),$(if \
  $(filter $(GOALS_$(name)) help,$(MAKECMDGOALS)),,$(error $(name) is for: make $(GOALS_$(name))))))

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z -]*:.*## / {n = split($$1, name, " "); \
	  for (i = 1; i <= n; i++) printf "%-18s%s\n", name[i], $$2}' Makefile
	@echo
	@echo 'Settings, as in: make baseline RPS=10 DURATION=30 (see docs/measure.md)'
	@echo '  the load     SCENARIO RPS DURATION WARMUP DRAIN ARRIVALS CONCURRENCY'
	@echo '               MAX_CONCURRENCY SEED TIMEOUT LOCUSTFILE WORKERS PIN=1'
	@echo '               INPUT_TOKENS OUTPUT_TOKENS (mean[,sd[,min-max]])'
	@echo '  the bounds   SLO_TTFT SLO_TPOT (ms) SLO_SHARE (0.99)'
	@echo '  the server   TARGET PORT VARIANT VARIANTS HOST MODEL TOKENIZER CA_FILE'
	@echo '               INSECURE=1 METRICS_HOST DIRECT'
	@echo '  the request  API ENDPOINT EXTRA_BODY (JSON) HEADER (one "K: V")'
	@echo '               TEMPERATURE TOP_P MAX_TOKENS_FIELD NO_IGNORE_EOS=1 KEEP_GOING=1'
	@echo '               DRY_RUN=1 (make run) STOP_WHEN_SATURATED'
	@echo '  capacity     TOLERANCE (per cent) MAX_STEPS'
	@echo '  forecast     FROM (a run) FLAGS RATES (5,10) GPU SCORE=1'
	@echo '  the report   LABEL (rack=3, or a name) NOTE'
	@echo '  a gate       FAIL_ON (worse, slo) JUNIT SUMMARY (files); FROM (check-run)'
	@echo '  a sweep      RATES (curve); GRID ("--max-num-seqs=8,16 …")'
	@echo '  repeats      REPEATS STARTS UNTIL_DECIDED=1 EVERY_REPEAT=1 SIDE_BY_SIDE=1'
	@echo '  tune         BUDGET (30m) BY (ttft_p50)'
	@echo '  the rest     FRESH=1 STRICT=1 MASTER TOKEN_FILE METRICS_PORT'
	@echo '               WEB_PORT FILES JOBS PYTHON'

# Set-up ------------------------------------------------------------------------------------------

.venv/.made: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: PYTHON=...")'
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(PY) -m pip install --quiet -r requirements.txt
	@$(PY) -c 'import pathlib, site; pathlib.Path(site.getsitepackages()[0], "tokenswarm.pth").write_text("$(CURDIR)\n")'
	@touch $@

# The command by its name, from any folder; -P: what lies in that folder is not taken for a package of ours.
$(ENV): .venv/.made
	@printf '#!/bin/sh\nexec "$$(dirname "$$(readlink -f "$$0")")/python" -P -m tokenswarm "$$@"\n' > $@
	@chmod +x $@

.venv/.made-dev: $(ENV) requirements-dev.txt
	$(PY) -m pip install --quiet -r requirements-dev.txt
	@touch $@

.PHONY: setup server-setup wheelhouse offline-setup
setup: $(ENV) ## Make the environment for load and reports

server-setup: $(ENV) ## Make the server's environment, where one is launched here
	@$(if $(HOST),true,$(TS) server-setup --target "$(TARGET)")

wheelhouse: $(ENV) ## Download all wheels for a machine without network
	@$(TS) wheelhouse --target "$(TARGET)"

offline-setup: export PIP_NO_INDEX = 1
offline-setup: export PIP_FIND_LINKS = $(CURDIR)/wheelhouse
offline-setup: setup server-setup ## On that machine: make both environments from wheelhouse/

# Measure -----------------------------------------------------------------------------------------

.PHONY: baseline optimized run report compare sweep tune capacity curve ui
baseline optimized: server-setup ## Run a variant; once both have run, write the report
	@$(TS) run $@ $(STRICT_FLAG) $(RUN)
	@$(if $(filter $@,$(lastword $(filter baseline optimized,$(MAKECMDGOALS)))),$(TS) report --if-both)

run: server-setup ## Run VARIANT
	@$(TS) run "$(VARIANT)" $(STRICT_FLAG) $(call on,DRY_RUN,dry-run) $(RUN)

report: $(ENV) ## Write the report of the newest baseline and optimized runs
	@$(TS) report $(LABELS)

compare: server-setup ## Run VARIANTS in turn, REPEATS times each, and compare them
	@$(TS) compare $(VARIANTS) --repeats $(REPEATS) $(call on,SIDE_BY_SIDE,side-by-side) $(SERIES) $(RUN)

sweep: server-setup ## Run VARIANTS once each and compare all with the first; resumes
	@$(TS) sweep $(NAMED) $(if $(filter command line,$(origin REPEATS)),--repeats $(REPEATS)) $(SERIES) $(RUN)

tune: server-setup ## Race VARIANTS, drop who is beaten, name the best; resumes
	@$(TS) tune $(NAMED) $(if $(filter command line,$(origin REPEATS)),--repeats $(REPEATS)) $(call given,STARTS,starts) \
	  $(call given,BY,by) $(call given,BUDGET,budget) $(call on,FRESH,fresh) $(RUN)

capacity: server-setup ## Find the highest rate at which VARIANT meets the SLO
	@$(TS) capacity "$(VARIANT)" $(call given,TOLERANCE,tolerance) $(call given,MAX_STEPS,max-steps) $(call on,FRESH,fresh) $(RUN)

curve: server-setup ## Run VARIANTS over RATES, and say which to take where; resumes
	@$(TS) curve $(NAMED) $(call given,RATES,rates) $(call on,FRESH,fresh) $(RUN)

ui: server-setup ## Open Locust's web UI with VARIANT behind it
	@$(TS) ui "$(VARIANT)" --web-port $(WEB_PORT) $(RUN)

# Serve and distribute -----------------------------------------------------------------------------

.PHONY: serve serve-baseline serve-optimized variants master worker
serve: server-setup ## Serve VARIANT in the foreground
	@$(TS) serve "$(VARIANT)" --target "$(TARGET)" --port $(PORT)

serve-baseline serve-optimized: server-setup ## The same of a variant by its name
	@$(TS) serve $(@:serve-%=%) --target "$(TARGET)" --port $(PORT)

variants: $(ENV) ## List the variants and what each changes
	@$(TS) variants

master: $(ENV) ## Wait for WORKERS workers of other hosts, then load HOST
	@$(TS) master "$(VARIANT)" --host "$(HOST)" --workers $(WORKERS) --locustfile "$(LOCUSTFILE)" $(call given,TOKEN_FILE,token-file) \
	  $(STRICT_FLAG) $(call quoted,HEADER,header) $(LOAD)

worker: $(ENV) ## Make load for the master on MASTER
	@$(TS) worker --master "$(MASTER)" --workers $(WORKERS) --locustfile "$(LOCUSTFILE)" $(call given,TOKEN_FILE,token-file)

# Look back ----------------------------------------------------------------------------------------

.PHONY: history check-run audit forecast
history: $(ENV) ## List all runs, and what waits to be recovered
	@$(TS) history

forecast: $(ENV) ## What variants or FLAGS would do, said from one run (FROM)
	@$(TS) forecast $(FROM) $(if $(FLAGS),--set="$(FLAGS)") $(call given,RATES,rates) \
	  $(if $(filter command line,$(origin SCENARIO)),--scenario "$(SCENARIO)") \
	  $(call given,DURATION,duration) $(call given,GPU,gpu) $(call on,SCORE,score)

check-run: $(ENV) ## Is a run (FROM, or the newest) worse than those before it?
	@$(TS) check $(FROM) --against history $(call given,JUNIT,junit) $(call given,SUMMARY,summary)

audit: $(ENV) ## Report on other tools' result files: FILES="a.json b.json"
	@$(TS) audit $(FILES)

# Measure ourselves --------------------------------------------------------------------------------

.PHONY: bench bench-vllm calibrate bench-verdict bench-capacity bench-blame
.PHONY: bench-forecast bench-rosetta
bench: $(ENV) ## How exact and cheap the load generator is here (12 min)
	@$(TS) bench accuracy
	@$(TS) bench start
	@$(TS) bench streams
	@$(TS) bench report
	@$(TS) bench endurance

bench-vllm: $(ENV) ## The same, with vllm bench serve beside it
	@$(TS) server-setup --target cpu-tiny
	@$(TS) bench accuracy --vllm

calibrate: $(ENV) ## As bench, kept: reports then state the client's error
	@$(TS) bench calibrate

bench-verdict: $(ENV) ## How often a comparison claims what, in simulation
	@$(TS) bench verdict

bench-capacity: $(ENV) ## How true searches for the capacity are, in simulation
	@$(TS) bench capacity

bench-blame: $(ENV) ## Planted causes, and whom runs blame for them (25 min)
	@$(TS) bench blame

bench-forecast: server-setup ## How true forecasts are: ten settings, measured (40 min)
	@$(TS) bench forecast

bench-rosetta: $(ENV) ## What other tools report of a known stream (PEERS)
	@$(TS) bench rosetta --peers $(or $(PEERS),peers)

# Check --------------------------------------------------------------------------------------------

HOSTILE = tests/hostile tests/end_to_end/test_endings.py tests/loadgen/web/test_foreign_sites.py \
  tests/common/test_redact.py tests/common/test_terminal.py tests/common/test_strictyaml.py tests/common/test_web_guard.py

.PHONY: test test-hostile lint lint-deploy clean
test: .venv/.made-dev lint ## Run the checks and all tests, the real vLLM among them
	@$(TS) server-setup --target cpu-tiny
	$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder # else long files of few tests come last

test-hostile: .venv/.made-dev ## Every hostile situation, by kind; then a fuzz of one minute
	$(PY) -m pytest -n $(JOBS) -m "" --hypothesis-profile new \
	  -p tests.support.situations $(HOSTILE)
	$(PY) -m tests.hostile.fuzz --minutes 1

lint: .venv/.made-dev ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy .

lint-deploy: ## Check deploy/ with checkov, a policy linter
	@[ -x .cache/checkov/bin/checkov ] || \
	  { $(PYTHON) -m venv --clear .cache/checkov && .cache/checkov/bin/pip install --quiet checkov==3.3.30; }
	.cache/checkov/bin/checkov --config-file deploy/checkov.yaml

clean: ## Remove the environments and caches; results stay
	rm -rf .venv .venv-server .venv-server-gpu .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
