# The few verbs. CI calls `make test`; `make help` lists them.
GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BIN      := bin/orbitd
SOURCES  := $(shell git ls-files -co --exclude-standard '*.go' 'js/*' 2>/dev/null) go.mod

export GOFLAGS += -trimpath

.PHONY: deb repo guest help run build test quick lint fmt fuzz long mutants bench profile clean

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

run: build ## build and serve the demo on http://localhost:8080
	@mkdir -p var
	@echo; echo "  The demo: http://localhost:8080/    (Ctrl-C ends it; start it again and see that nothing is lost)"
	@echo "  How it is: $(BIN) status --socket var/control.sock"; echo
	@exec $(BIN) serve -c etc/demo.toml

build: $(BIN) ## build bin/orbitd

$(BIN): $(SOURCES)
	CGO_ENABLED=0 $(GO) build -ldflags "-X main.version=$(VERSION)" -o $@ ./cmd/orbitd

test: ## everything; installs what it needs (as root or with sudo)
	@tests/run

quick: ## the subset for every save: under a minute, no root, no install
	@tests/run quick

lint: ## gofmt, vet, staticcheck
	@tests/run lint

fuzz: ## each fuzz target for FUZZTIME (default 10s)
	@tests/run fuzz

long: ## what takes long: LONG (default 1h) of mixed load without growth
	@tests/run long

mutants: ## plant bugs, and see that the tests find each; MUTANTS='-run 08' for one
	@$(GO) run ./tests/mutants $(MUTANTS)

bench: build ## orbitd beside a bare loop in C; BENCH='-run TEXT -passes 1' for less
	$(CC) -O2 -Wall -Wextra -o bin/bareloop tests/bench/bareloop.c
	$(GO) build -o bin/bench ./tests/bench
	@bin/bench $(BENCH)

profile: ## CPU and heap profiles of orbitd in every scenario of bench, in var/profiles
	$(GO) build -o bin/bench ./tests/bench
	$(GO) build -o bin/profiled ./tests/bench/profiled
	$(CC) -O2 -Wall -Wextra -o bin/bareloop tests/bench/bareloop.c
	@bin/bench -orbitd bin/profiled -profile var/profiles -passes 1 $(BENCH)
	@echo 'look at them with: go tool pprof -http=: bin/profiled var/profiles/SCENARIO/WHAT.cpu.pprof'

deb: ## the Debian packages, in build/; ARCH=arm64 for another machine
	@tests/guest/deb $(ARCH)

repo: deb ## a signed apt repository of them, for amd64 and arm64, in build/repo
	@tests/guest/deb arm64
	@tests/guest/repo

guest: deb ## the packages in a booted Debian 12 (as root); SCENES=upgrade for one, SCENES=all for the long ones, too
	@tests/guest/run $(SCENES)

fmt: ## format the Go code
	gofmt -w cmd pkg tests js man

clean: ## remove what the other verbs made
	rm -rf bin var build tests/out
