# Dealwright's tasks. `make` alone, or `make help`, lists them.
#
# Needed: Go (the version in go.mod) and PostgreSQL's server programs; without
# the latter they are downloaded. Everything built lands in .bin/.

BIN := $(CURDIR)/.bin

# The version that binaries report; a release build sets it.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# When what is built was committed: it puts builds of the worker in order for Temporal.
COMMITTED ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%dT%H%M%SZ 2>/dev/null)
STAMP := -X main.version=$(VERSION) -X github.com/dealwright/dealwright/cmd/dealwright/app.committed=$(COMMITTED)

# Stamping asks git about the checkout, and git refuses when another user owns it.
BUILD := go build -buildvcs=false

# The race detector needs cgo, and Go turns cgo off where there is no C compiler.
RACE = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

# How long each fuzz target runs.
FUZZTIME ?= 30s

.DEFAULT_GOAL := help

# One thing after the other: the Go tool uses every core by itself, and the
# steps of `make test` build on what the ones before them have cached.
.NOTPARALLEL:

##@ Run

# Only the server may write to stdout (its `ready` line is for programs to
# read), and it replaces the shell, so that signals reach it.
.PHONY: run
run: ## Start everything in one process: API, worker, Temporal, its UI, Postgres
	@test -x $(BIN)/dealwright-standalone || echo 'building (about 4 minutes the first time)…' >&2
	@cd standalone && $(BUILD) -o $(BIN)/dealwright-standalone . >&2
	@exec $(BIN)/dealwright-standalone

.PHONY: demo
demo: ## Walk a customer and two proposals through everything (needs make run)
	@go run ./demo

##@ Build

.PHONY: build
build: ## Build the binaries into .bin/
	$(BUILD) -ldflags '$(STAMP)' -o $(BIN)/dealwright ./cmd/dealwright
	cd standalone && $(BUILD) -ldflags '$(STAMP)' -o $(BIN)/dealwright-standalone .

.PHONY: clean
clean: ## Remove what was built (a standalone server's data in .dealwright/ stays)
	rm -rf $(BIN) coverage.*

##@ Check

.PHONY: test
test: lint vet test-unit test-e2e test-chaos ## Everything: lint, vet, all tests of both modules

# These tests want a Postgres server; withpostgres starts a private one and
# hands its address on.
.PHONY: test-unit
test-unit: withpostgres ## Test the main module against a private Postgres
	$(BIN)/withpostgres go test $(RACE) ./...

.PHONY: test-e2e
test-e2e: ## Test the standalone server from end to end
	cd standalone && go test -timeout 15m ./...

# By itself, since the tests beside it would take the CPU that its time limits count on.
.PHONY: test-chaos
test-chaos: ## Kill and cut what can be killed and cut for a minute, under load
	@cd standalone && go run ./chaos -short -seed 1

.PHONY: race
race: withpostgres ## Test both modules under the race detector
	$(BIN)/withpostgres go test -race ./...
	cd standalone && go test -race -timeout 30m ./...

.PHONY: vet
vet: ## Run go vet on both modules
	go vet ./...
	cd standalone && go vet ./...

# workflowcheck looks for what would break replay: clocks, random numbers,
# goroutines and the order of maps, wherever a workflow's calls lead.
.PHONY: lint
lint: $(BIN)/golangci-lint $(BIN)/workflowcheck ## Run golangci-lint on both modules and workflowcheck on the workflows
	$(BIN)/golangci-lint run ./...
	cd standalone && $(BIN)/golangci-lint run ./...
	$(BIN)/workflowcheck -config .workflowcheck.yml ./workflows/... ./worker/...

.PHONY: fmt
fmt: $(BIN)/golangci-lint ## Format the code of both modules
	$(BIN)/golangci-lint fmt ./...
	cd standalone && $(BIN)/golangci-lint fmt ./...

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (30s) each
	@set -e; grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | \
	while IFS=: read -r file func; do \
		target=$${func#func }; \
		echo "fuzzing $$target in $${file%/*} for $(FUZZTIME)"; \
		(cd "$${file%/*}" && go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) .) </dev/null; \
	done

# Not part of `make test`: it asks a server, and a machine without a way there has to be able to
# test. Continuous integration runs it as a job of its own.
.PHONY: vulncheck
vulncheck: $(BIN)/govulncheck ## Look for known vulnerabilities in what the code calls (needs vuln.go.dev)
	@.ci/vulncheck $(BIN)/govulncheck

.PHONY: bench
bench: ## Measure throughput and latency beside a bare workflow on the same server
	@cd standalone && go run ./bench

.PHONY: chaos
chaos: ## The same for 5 minutes, in an order of its own (SEED=… repeats a run)
	@cd standalone && go run ./chaos $(if $(SEED),-seed $(SEED))

.PHONY: previous
previous: ## Run the release before (the newest tag, or PREVIOUS=ref) on the present schema
	cd standalone && go test ./e2e -run TestThePreviousReleaseRunsOnThisSchema -count=1 -v -previous=$(PREVIOUS)

##@ Maintain

.PHONY: histories
histories: ## Record new workflow histories for the replay tests, beside the older ones: make histories RECORD=name
	cd standalone && go test ./e2e -run TestRecordHistories -record=$(or $(RECORD),$(error say RECORD=name: what this version is remembered by)) -count=1

# The document is what the API serves, and a test compares the copy with it. Another one compares
# the digest, so that nobody forgets to generate the client from a document that has changed.
.PHONY: client
client: $(BIN)/oapi-codegen ## Generate package client from the API's OpenAPI document
	go test ./api -run TestTheClientIsMadeFromThisDocument -count=1 -update >/dev/null
	cd client && $(BIN)/oapi-codegen -config generate.yaml -o api.gen.go openapi.json
	cd client && sha256sum openapi.json overlay.yaml generate.yaml >made-from.sha256

.PHONY: tidy
tidy: ## Tidy the go.mod files
	go mod tidy
	cd standalone && go mod tidy
	cd tools && go mod tidy

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo

# Built with every use, which is quick when nothing has changed.
.PHONY: withpostgres
withpostgres:
	@cd standalone && $(BUILD) -o $(BIN)/withpostgres ./cmd/withpostgres

# Linters are pinned in tools/go.mod, and built once (a few minutes the first time).
$(BIN)/golangci-lint: tools/go.mod tools/go.sum
	@echo 'building golangci-lint (about 3 minutes the first time)…' >&2
	@cd tools && $(BUILD) -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

$(BIN)/oapi-codegen: tools/go.mod tools/go.sum
	@cd tools && $(BUILD) -o $@ github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen
	@touch $@

$(BIN)/workflowcheck: tools/go.mod tools/go.sum
	@cd tools && $(BUILD) -o $@ go.temporal.io/sdk/contrib/tools/workflowcheck
	@touch $@

$(BIN)/govulncheck: tools/go.mod tools/go.sum
	@cd tools && $(BUILD) -o $@ golang.org/x/vuln/cmd/govulncheck
	@touch $@
