# make, or make help, lists the targets. build, test and demo need nothing but Go and make.

GO ?= go
FUZZTIME ?= 30s
RACECOUNT ?= 10
CHAOSRUNS ?= 30
BENCH ?= .
BENCHCOUNT ?= 6
BENCHPKGS ?= ./...
BENCHFLAGS ?= -short

# A workspace of the user's must not change what is built here, and neither may a tree that isn't a git checkout.
export GOWORK := off
export GOFLAGS := $(GOFLAGS) -buildvcs=false

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# The race detector needs a C compiler. Without one the tests run all the same, and say so; CI passes RACE=-race and insists.
RACE ?= $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

TOOLS := .tools/tools.stamp
PROTOC := .tools/protoc.stamp
LINT := .tools/golangci-lint
BUF := .tools/buf

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## Build bin/consentd
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/consentd ./cmd/consentd

.PHONY: demo
demo: build ## Build, start a replica, and walk through the example shop
	CONSENTD='$(CURDIR)/bin/consentd' examples/shop/demo.sh

.PHONY: demo-cluster
demo-cluster: build ## Build, start three replicas, kill the leader, back up and restore
	CONSENTD='$(CURDIR)/bin/consentd' examples/cluster/demo.sh

# -count=1: some tests run the real binary, and go's cache of results doesn't see what a child process reads. The race detector makes pools
# forget, so what allocates nothing is looked at without it.
.PHONY: test
test: ## Run all tests, with the race detector
	$(if $(RACE),,@echo 'make test: the race detector is off; it needs a C compiler' >&2)
	$(GO) test $(RACE) -count=1 -timeout=20m ./...
	$(if $(RACE),$(GO) test -count=1 -run=AllocatesNothing ./bench ./cache ./client)
	$(GO) -C bench/rivals test -count=1 ./...

.PHONY: race
race: ## Stress: all tests RACECOUNT times (10), shuffled, on 1, 2 and 4 processors, with the race detector
	$(GO) test -race -count=$(RACECOUNT) -shuffle=on -cpu=1,2,4 -timeout=4h ./...

# What fails prints the seed to repeat it with, as in: make chaos CHAOSSEED=1795551829466 CHAOSRUNS=1
CHAOS = CHAOSRUNS='$(CHAOSRUNS)' CHAOSSEED='$(CHAOSSEED)' CHAOSFAULTS='$(CHAOSFAULTS)' CHAOSOUT='$(if $(CHAOSOUT),$(abspath $(CHAOSOUT)))'

.PHONY: chaos
chaos: chaos-processes chaos-inprocess chaos-bugs ## Break clusters CHAOSRUNS times (30) each way, and find every deliberate bug; CHAOSOUT=FILE gets a report

.PHONY: chaos-processes
chaos-processes: ## Break clusters of processes CHAOSRUNS times (30), and damage their disks; CHAOSSEED repeats, CHAOSFAULTS chooses
	$(CHAOS) $(GO) test -count=1 -timeout=2h -v ./cluster/chaos

.PHONY: chaos-inprocess
chaos-inprocess: ## Break clusters in one process CHAOSRUNS times (30), with the race detector; CHAOSSEED repeats
	$(CHAOS) $(GO) test $(RACE) -count=1 -timeout=2h -v -run='^TestChaos' ./cluster

.PHONY: chaos-bugs
chaos-bugs: ## Show that the judges of the chaos runs find every deliberate bug
	$(GO) test -tags=consentd_bugs -count=1 -timeout=1h -v -run='^TestBugsAreCaught$$' ./cluster

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s)
	GO='$(GO)' tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Run the benchmarks BENCH (.) of BENCHPKGS (./...) into bench/results; with OLD=FILE, compare; BENCHFLAGS= for full size
	GO='$(GO)' tools/bench.sh '$(COMMIT)' $(BENCHFLAGS) -bench='$(BENCH)' -count=$(BENCHCOUNT) $(BENCHPKGS)
	$(if $(OLD),@$(MAKE) --no-print-directory $(TOOLS) && .tools/benchstat '$(OLD)' bench/results/latest.txt)

.PHONY: bench-guard
bench-guard: ## Compare allocations, and ratios to baselines, with those of an earlier commit (AGAINST=COMMIT), in one run
	GO='$(GO)' $(GO) run ./bench/guard $(if $(AGAINST),-against='$(AGAINST)')

.PHONY: figures
figures: ## Measure what near caches and sidecars are held to, beside their baselines, into bench/results; prints asked and reached
	GO='$(GO)' tools/figures.sh '$(COMMIT)' near

.PHONY: figures-speed
figures-speed: ## The same of what replicas are held to; twenty minutes, and 12 GB of disk
	GO='$(GO)' tools/figures.sh '$(COMMIT)' speed

.PHONY: rivals
rivals: ## Measure Redis, etcd, OPA and other caches beside consentd into bench/results, with a picture; takes some six minutes
	GO='$(GO)' tools/rivals.sh '$(COMMIT)'

.PHONY: lint
lint: $(TOOLS) ## Check the style of Go and protobuf
	@files=$$(gofmt -l $$(find . -name '*.go' -not -path './.tools/*')) && test -z "$$files" || { echo "gofmt these: $$files" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags=consentd_bugs ./cluster ./store ./client ./server ./cache
	$(GO) -C bench/rivals vet ./...
	$(LINT) run ./...
	cd bench/rivals && ../../$(LINT) run ./...
	$(BUF) lint
	$(BUF) format --diff --exit-code

.PHONY: vuln
vuln: $(TOOLS) ## Look for known vulnerabilities that the code reaches; needs the network
	.tools/govulncheck ./...

.PHONY: fmt
fmt: $(TOOLS) ## Format Go and protobuf
	gofmt -w $$(find . -name '*.go' -not -path './.tools/*')
	$(BUF) format --write

.PHONY: generate
generate: $(TOOLS) $(PROTOC) ## Generate the code beside the protos
	$(BUF) generate

.PHONY: verify
verify: $(TOOLS) $(PROTOC) ## Check that generated code and go.mod are current, and that the contract is kept (AGAINST=COMMIT)
	GO='$(GO)' tools/verify.sh $(AGAINST)

.PHONY: tools
tools: $(TOOLS) $(PROTOC) ## Build the pinned tools into .tools

$(TOOLS): tools/go.mod tools/go.sum
	$(GO) build -C tools -o ../.tools/ tool
	@touch $@

$(PROTOC): tools/protoc/go.mod tools/protoc/go.sum
	$(GO) build -C tools/protoc -o ../../.tools/ tool
	@touch $@

.PHONY: clean
clean: ## Remove what make built
	rm -rf bin .tools
