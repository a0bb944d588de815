# What one does with weir's sources. `make help` lists it.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# Everything that is fetched or built for the work itself lives here, outside
# the tree, under its version's name, so that nothing is ever half up to date.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weir

BUF_VERSION           := v1.75.0
PROTOC_GEN_GO_VERSION := v1.36.12
STATICCHECK_VERSION   := v0.8.2
GOTESTSUM_VERSION     := v1.13.0

BUF           := $(CACHE)/tools/buf-$(BUF_VERSION)/buf
PROTOC_GEN_GO := $(CACHE)/tools/protoc-gen-go-$(PROTOC_GEN_GO_VERSION)/protoc-gen-go
STATICCHECK   := $(CACHE)/tools/staticcheck-$(STATICCHECK_VERSION)/staticcheck
GOTESTSUM     := $(CACHE)/tools/gotestsum-$(GOTESTSUM_VERSION)/gotestsum

# What `make generate` writes; `make check-generated` compares exactly this.
GENERATED := schemas/batch.pb.go schemas/panes.pb.go docs/configuration.md \
	$(addprefix dashboards/grafana/dashboards/,now.json incident.json site.json edges.json pipeline.json forensics.json)

# Passed on: make test TESTFLAGS='-run Golden', make demo ARGS=--keep.
TESTFLAGS ?=
PACKAGES  ?= ./...
ARGS      ?=

.PHONY: help build plugin plugin-twice front test demo closed-loop screenshots setup lint vet fmt fmt-check generate check-generated tidy-check check bench bench-ingest clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

build: ## bin/weir, the program
	go build -trimpath -o bin/weir ./cmd/weir

plugin: ## bin/weir-weir-datasource, Grafana's plugin, for linux amd64 and arm64
	@dashboards/build.sh bin/weir-weir-datasource

plugin-twice: ## builds Grafana's plugin twice from the same sources, and compares every byte
	@dashboards/twice.sh

front: ## Grafana's plugin in the browser: types and tests
	dashboards/plugin/front/front.sh types
	dashboards/plugin/front/front.sh test

setup: ## what a fresh Debian machine lacks: nginx, and ClickHouse as a library
	@deploy/setup/packages.sh
	@deploy/setup/libchdb.sh
	@deploy/setup/browser.sh

GO_TEST = -race -timeout 40m $(TESTFLAGS)
# Real servers beside each other on a machine that is busy elsewhere make one test in
# hundreds miss its half minute now and then. With AGAIN=1 up to three that fail are run
# once more, alone, and named; one that fails then too fails all, as do more than three.
# A data race is never tried again.
test: setup ## every test, with the race detector; AGAIN=1: up to three that fail get a second try, alone
ifdef AGAIN
	@$(MAKE) --no-print-directory $(GOTESTSUM)
	$(GOTESTSUM) --format standard-quiet --rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-run-root-test \
		--rerun-fails-abort-on-data-race --packages='$(PACKAGES)' -- $(GO_TEST)
else
	go test $(GO_TEST) $(PACKAGES)
endif

demo: build setup ## an attack and its end, live, on this machine (ARGS=--keep leaves it running)
	bin/weir demo $(ARGS)

closed-loop: build setup ## judges each promise of the closed loop, without weir and with it; docs/closed-loop.svg (a good twenty minutes)
	bin/weir demo --closed-loop --picture docs/closed-loop.svg $(ARGS)

screenshots: setup ## docs/statuspage-*.png: the status page on a phone and a desktop, light and dark; docs/incident.png
	WEIR_SCREENSHOTS=$(CURDIR)/docs go test ./sinks/statuspage ./sinks/report -count 1 -run TestBrowser

bench: ## every benchmark once; compare on one machine only
	go test -run '^$$' -bench . -benchmem $(TESTFLAGS) $(PACKAGES)

bench-ingest: build setup ## how fast weir replay is, stored and not, with rollups and without (ARGS=--long: ten million requests, too)
	bin/weir bench ingest $(ARGS)

fmt: ## gofmt what is not
	gofmt -w $$(gofmt -l .)

fmt-check:
	@out="$$(gofmt -l .)"; if [ -n "$$out" ]; then echo "not formatted, run make fmt:"; echo "$$out"; exit 1; fi

vet:
	go vet $(PACKAGES)

lint: fmt-check vet $(STATICCHECK) $(BUF) ## gofmt, go vet, staticcheck, buf lint
	$(STATICCHECK) $(PACKAGES)
	$(BUF) lint

generate: $(BUF) $(PROTOC_GEN_GO) ## what is generated and committed
	PATH="$(dir $(PROTOC_GEN_GO)):$$PATH" $(BUF) generate
	go run ./internal/config/gendocs docs/configuration.md
	go run ./dashboards/panels/gen dashboards/grafana/dashboards

# Works on a dirty tree and without git: it compares with what stood there before.
check-generated: ## fails where `make generate` would change a committed file
	@before="$$(mktemp -d)"; trap 'rm -rf "$$before"' EXIT; \
	cp --parents $(GENERATED) "$$before"; \
	$(MAKE) --no-print-directory generate; \
	for f in $(GENERATED); do \
		diff -u "$$before/$$f" "$$f" || { echo "$$f was out of date: commit what make generate wrote"; exit 1; }; \
	done

tidy-check:
	go mod tidy -diff

check: lint front check-generated tidy-check test ## all that continuous integration asks

clean: ## what was built here; the cache outside the tree stays
	rm -rf bin

$(BUF):
	@mkdir -p $(@D)
	GOBIN=$(@D) go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)

$(PROTOC_GEN_GO):
	@mkdir -p $(@D)
	GOBIN=$(@D) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)

$(STATICCHECK):
	@mkdir -p $(@D)
	GOBIN=$(@D) go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

$(GOTESTSUM):
	@mkdir -p $(@D)
	GOBIN=$(@D) go install gotest.tools/gotestsum@$(GOTESTSUM_VERSION)
