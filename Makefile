# Flotilla. `make` lists the targets. Everything that they install goes to .tools.

GO        ?= go
TOOLS     := $(CURDIR)/.tools
GOTESTSUM := $(TOOLS)/gotestsum
STATICCHECK := $(TOOLS)/staticcheck

GOTESTSUM_VERSION   := v1.13.0
STATICCHECK_VERSION := v0.8.2
PROTOC_GEN_GO_VERSION      := v1.36.12
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/flotilla-db/flotilla/cmd/internal/version.version=$(VERSION)
BUILD    := CGO_ENABLED=0 $(GO) build -mod=readonly -trimpath -ldflags '$(LDFLAGS)'

FUZZTIME ?= 10s
SOAK     ?= 20
RUNS     ?= 3

.DEFAULT_GOAL := help
.PHONY: help build demo test race lint fuzz bench soak cross proto clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/flotilla
	$(BUILD) -o bin/flotilla ./cmd/flotilla

demo: build ## real processes and readings, kills, a wiped disk, a new node, every point checked: some 3 minutes
	bin/flotilla demo

test: $(GOTESTSUM) ## all tests, under 8 minutes (go vet is part of lint)
	$(GOTESTSUM) --format pkgname-and-test-fails -- -mod=readonly -vet=off -p 3 -timeout 15m ./...

# Tests damage files on purpose; where bbolt reads such a page, checkptr, which -race brings, would end the process.
RACEFLAGS = -gcflags=go.etcd.io/bbolt/...=-d=checkptr=0

race: $(GOTESTSUM) ## all tests under the race detector, under 15 minutes
	CGO_ENABLED=1 $(GOTESTSUM) --format pkgname-and-test-fails -- -mod=readonly -vet=off -race $(RACEFLAGS) -timeout 30m ./...

lint: $(STATICCHECK) ## gofmt, go vet, staticcheck, the layout rules
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet -mod=readonly ./...
	$(STATICCHECK) ./...
	$(GO) test -mod=readonly ./cmd/internal/layouttest

fuzz: ## fuzz every decoder for FUZZTIME (10s) each
	@set -e; grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
	    echo "== $$dir $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir; \
	  done; \
	done

bench: build ## package benchmarks, then three processes on loopback: RUNS (3) runs, medians
	$(GO) test -mod=readonly -run '^$$' -bench . -benchtime 1s ./...
	RUNS=$(RUNS) ./bench.sh

soak: $(GOTESTSUM) ## the randomized tests with SOAK (20) times the count; hours
	SOAK=$(SOAK) $(GOTESTSUM) --format standard-verbose -- -mod=readonly -timeout 24h ./...

cross: ## build for linux amd64 and arm64, darwin arm64, windows amd64 into dist
	@set -e; for target in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do \
	  os=$${target%/*}; arch=$${target#*/}; suffix=; [ $$os = windows ] && suffix=.exe; \
	  echo "== $$target"; \
	  GOOS=$$os GOARCH=$$arch $(BUILD) -o dist/flotilla-$$os-$$arch$$suffix ./cmd/flotilla; \
	done

proto: $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc ## generate rpc/pb again from rpc/pb/flotilla.proto
	@command -v protoc >/dev/null || { echo "installing protoc"; apt-get install -y protobuf-compiler; }
	cd rpc/pb && PATH="$(TOOLS):$$PATH" protoc --go_out=. --go_opt=paths=source_relative \
	  --go-grpc_out=. --go-grpc_opt=paths=source_relative flotilla.proto

clean: ## remove what the other targets made
	rm -rf bin dist .tools

$(GOTESTSUM):
	GOBIN=$(TOOLS) $(GO) install gotest.tools/gotestsum@$(GOTESTSUM_VERSION)

$(STATICCHECK):
	GOBIN=$(TOOLS) $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

$(TOOLS)/protoc-gen-go:
	GOBIN=$(TOOLS) $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)

$(TOOLS)/protoc-gen-go-grpc:
	GOBIN=$(TOOLS) $(GO) install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC_VERSION)
