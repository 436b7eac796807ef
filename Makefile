# The door to everything: "make help" lists the targets.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The go command uses all cores by itself; two of them at once only fight.
.NOTPARALLEL:

BIN := bin

# ARGS are handed to the program: make run ARGS=--once
ARGS ?=
# TESTFLAGS are handed to go test: make unit TESTFLAGS='-run TestSweep -v'
TESTFLAGS ?=
# PKG limits go test and the linter: make unit PKG=./internal/planner
PKG ?= ./...
# How long faults go on: make chaos SECONDS=60 SEED=1. Bash has a variable of
# that name, so only the command line counts.
CHAOS_SECONDS := $(if $(filter command line,$(origin SECONDS)),$(SECONDS),1200)
# N and SEED say how many schedules make simulate runs, and from which seed on.
N ?= 20000
SEED ?= 1
# FUZZTIME is how long each fuzz target runs.
FUZZTIME ?= 30s
# KUBEBUILDER_ASSETS names a directory with etcd, kube-apiserver and kubectl.
# Name another one to use programs that you have, and nothing is built.
KUBEBUILDER_ASSETS ?= $(CURDIR)/bin/k8s
export KUBEBUILDER_ASSETS

# Flags of the environment that would change what is built do not reach this module.
GOFLAGS := $(strip $(filter-out -mod=% -buildvcs=%,$(shell go env GOFLAGS 2>/dev/null)) -mod=readonly -buildvcs=false)
export GOFLAGS
export GOWORK := off

GOLANGCI_LINT := $(BIN)/golangci-lint
GOVULNCHECK := $(BIN)/govulncheck
CONTROLLER_GEN := $(BIN)/controller-gen

##@ Use

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The program replaces the shell, so that Ctrl-C and the exit code are its own.
.PHONY: run
run: go k8s-run ## Start an API server, a simulated Vast.ai and the operator; ARGS=--help lists flags.
	@$(call build,./hack/dev ./cmd/...)
	@exec $(BIN)/dev $(ARGS)

.PHONY: sim
sim: go ## Start the simulated Vast.ai alone; ARGS=--help lists flags.
	@$(call build,./cmd/vastsim)
	@exec $(BIN)/vastsim $(ARGS)

.PHONY: build
build: go ## Build the commands into bin/.
	@$(call build,./cmd/...)

##@ Prove

.PHONY: test
test: N = 20000
test: verify lint alerts unit integration chart-test page simulate once ## Everything that has to pass: verify, lint, all tests, 20,000 schedules, a whole run.

# The packages under test/ start API servers and whole operators on a clock that
# runs faster than the wall; the race detector would slow them below it. One life
# of a pool runs with it, the packages that it runs through all do.
TESTED_WITH_RACE = $$(go list ./... | grep -v /test/)

.PHONY: unit
unit: go cc k8s ## Unit, property and conformance tests with the race detector.
	CGO_ENABLED=1 go test -race -timeout 15m $(TESTFLAGS) $(TESTED_WITH_RACE)
	cd hack/image && go test $(TESTFLAGS) ./...

.PHONY: integration
integration: go cc k8s ## The operator against a real API server: a pool's life, kill -9 at every step; some simulated schedules.
	CGO_ENABLED=1 go test -race -timeout 10m -run TestPoolBecomesReady ./test/integration
	CGO_ENABLED=1 go test -race -timeout 10m -run 'TestSchedules|TestRegressions' ./test/simulate
	go test -p 2 -timeout 35m $(TESTFLAGS) $$(go list ./test/... | grep -v /test/page)

.PHONY: chart-test
chart-test: go k8s ## The chart, the kustomizations and Argo CD's health checks: rendered, checked by a real API server, upgraded and deleted while instances live.
	cd test/deploy && go test -timeout 20m $(TESTFLAGS) ./...

.PHONY: page
page: go chromium k8s ## The admin page in a real browser; PICTURES=<directory> keeps screenshots.
	go test -count=1 -timeout 10m $(TESTFLAGS) ./test/page

.PHONY: ledger
ledger: go ## Thirty simulated days of rentals and faults: the ledger against the simulator's meter.
	go test -count=1 -v -timeout 15m $(TESTFLAGS) ./test/ledger

.PHONY: faults
faults: go k8s ## Every fault of the simulator and every bad input, and what the user sees.
	go test -timeout 30m $(TESTFLAGS) ./test/integration

.PHONY: once
once: ## A pool from nothing to ready, scaled, deleted and billed for, without a terminal.
	@$(MAKE) --no-print-directory run ARGS=--once

.PHONY: simulate
simulate: go ## Run N schedules of the deterministic simulation from SEED on; N=1 prints the log of one.
	@$(call simulation)
	@exec $(BIN)/simulate.test -schedules=$(N) -seed=$(SEED)

.PHONY: soak
soak: go ## Run a million schedules, for hours; after Ctrl-C it goes on where it was.
	@$(call simulation)
	@exec $(BIN)/simulate.test -schedules=1000000 -seed=$(SEED) -state=$(BIN)/soak-$(SEED).json

.PHONY: lint
lint: go $(GOLANGCI_LINT) ## Run the linters, the arrows between packages included.
	@$(GOLANGCI_LINT) run $(PKG)
	@[ "$(PKG)" != ./... ] || for module in hack/image test/deploy; do (cd $$module && $(CURDIR)/$(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...); done

.PHONY: verify
verify: go $(CONTROLLER_GEN) k8s-kubectl ## Fail if anything generated is out of date.
	@hack/verify.sh

.PHONY: alerts
alerts: prometheus ## Check the rules of Prometheus and run their unit tests.
	@$(BIN)/prometheus/promtool check rules --lint-fatal config/observability/alerts.yaml
	@cd config/observability && $(CURDIR)/$(BIN)/prometheus/promtool test rules alerts_test.yaml

.PHONY: observability
observability: go k8s prometheus ## The demo under a real Prometheus: faults raise every alert, the dashboard has data; ARGS=--help lists flags.
	@$(call build,./hack/dev ./cmd/... ./test/observability)
	@exec $(BIN)/observability $(ARGS)

.PHONY: fuzz
fuzz: go ## Run each fuzz target for FUZZTIME.
	@FUZZTIME=$(FUZZTIME) hack/fuzz.sh

.PHONY: mutate
mutate: go ## Take out each safety gate in turn and demand that its test fails; ARGS=--help lists flags.
	@$(call build,./hack/mutate)
	@exec $(BIN)/mutate $(ARGS)

.PHONY: bench
bench: go k8s ## Print the figures against their bounds; ARGS=--help lists flags.
	@$(call build,./test/bench)
	@exec $(BIN)/bench $(ARGS)

.PHONY: chaos
chaos: go k8s ## Break real processes and networks for SECONDS (1200) by a SEED, and judge it; needs root.
	@$(call build,./test/chaos ./cmd/...)
	@exec $(BIN)/chaos --seconds=$(CHAOS_SECONDS) --seed=$(SEED) $(ARGS)

.PHONY: e2e
e2e: go ## Install, break, upgrade and uninstall in a real cluster; ARGS=--kubeconfig=<file> or, as root, one that it makes.
	@flags=$$(test/e2e/prepare.sh $(ARGS)) && $(call build,./test/e2e) && exec $(BIN)/e2e $$flags $(ARGS)

##@ Ship

.PHONY: image
image: go ## Write the image for amd64 and arm64 into bin/image, without Docker, with a list of what is inside.
	@hack/image/build.sh $(BIN)/image

.PHONY: image-check
image-check: go ## Build the image twice, from two places and no cache, and compare every byte.
	@hack/image/check.sh $(BIN)/image

.PHONY: vulncheck
vulncheck: go $(GOVULNCHECK) ## Look for known vulnerabilities in what the commands call; GOVULNDB names another database.
	@$(GOVULNCHECK) $${GOVULNDB:+-db=$$GOVULNDB} ./cmd/...

##@ Change

.PHONY: fmt
fmt: go $(GOLANGCI_LINT) ## Format the Go code.
	@$(GOLANGCI_LINT) fmt

.PHONY: generate
generate: go $(CONTROLLER_GEN) ## Write deepcopy, CRDs, RBAC, the references, licences, the page about gates, the chart's copies.
	@hack/generate.sh

.PHONY: situations
situations: go k8s ## Write what kubectl shows in five situations into docs/reference; ARGS=--help lists flags.
	@$(call build,./hack/situations ./cmd/kubectl-warmpool)
	@exec $(BIN)/situations $(ARGS)

.PHONY: tidy
tidy: go ## Tidy go.mod of every module.
	@for module in . hack/tools hack/controlplane hack/image test/deploy; do (cd $$module && GOFLAGS= go mod tidy); done

.PHONY: tools
tools: $(GOLANGCI_LINT) $(CONTROLLER_GEN) k8s ## Build all tools and the control plane; the rest does so when needed.

.PHONY: k8s
k8s: ## Build etcd, kube-apiserver and kubectl from Go modules, once.
	@$(call controlplane,etcd kube-apiserver kubectl)

.PHONY: clean
clean: ## Remove what was built in this clone; Go's build cache stays.
	rm -rf $(BIN)

# --- below: no targets for people -------------------------------------------

# build compiles commands of this module into bin/, named as their directories.
define build
read -r version commit _ < <(hack/version.sh) && \
  mkdir -p $(BIN) && CGO_ENABLED=0 go build -trimpath -ldflags "-X $(STAMP).release=$$version -X $(STAMP).commit=$$commit" -o $(BIN)/ $(1)
endef
STAMP := github.com/warmpool-dev/warmpool/internal/version

# simulation builds the program of make simulate: virtual time is Go's own, which
# only a test binary has.
define simulation
mkdir -p $(BIN) && CGO_ENABLED=0 go test -c -trimpath -o $(BIN)/simulate.test ./test/simulate
endef

# controlplane builds the named programs, unless KUBEBUILDER_ASSETS points elsewhere.
define controlplane
if [ "$(KUBEBUILDER_ASSETS)" = "$(CURDIR)/bin/k8s" ]; then hack/controlplane/build.sh $(BIN)/k8s $(1); fi
endef

# A run needs a kubectl for the person beside it, and any version will do.
.PHONY: k8s-run
k8s-run:
	@$(call controlplane,etcd kube-apiserver $$(command -v kubectl >/dev/null || echo kubectl))

# prometheus fetches promtool and prometheus, once.
.PHONY: prometheus
prometheus:
	@hack/prometheus.sh $(BIN)/prometheus

.PHONY: k8s-kubectl
k8s-kubectl:
	@$(call controlplane,kubectl)

# The scripts compare checksums and return at once when nothing changed.
.PHONY: $(GOLANGCI_LINT)
$(GOLANGCI_LINT):
	@hack/build-tool.sh hack/tools github.com/golangci/golangci-lint/v2/cmd/golangci-lint $@ "about 2 minutes on two cores, once"

.PHONY: $(CONTROLLER_GEN)
$(CONTROLLER_GEN):
	@hack/build-tool.sh hack/tools sigs.k8s.io/controller-tools/cmd/controller-gen $@ "under a minute, once"

.PHONY: $(GOVULNCHECK)
$(GOVULNCHECK):
	@hack/build-tool.sh hack/tools golang.org/x/vuln/cmd/govulncheck $@ "under a minute, once"

.PHONY: go
go:
	@command -v go >/dev/null || { echo "Go is not on the PATH. Install the version named in go.mod, or add its bin directory to PATH." >&2; exit 1; }

.PHONY: cc
cc:
	@command -v "$$(go env CC)" >/dev/null || { echo "The race detector needs a C compiler: apt-get install gcc libc6-dev" >&2; exit 1; }

# CHROMIUM names a browser of your own.
.PHONY: chromium
chromium:
	@command -v "$${CHROMIUM:-chromium}" chromium-browser google-chrome >/dev/null || { echo "The tests of the admin page need a browser: apt-get install chromium" >&2; exit 1; }
