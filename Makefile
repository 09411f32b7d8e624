# What can be done here. CONTRIBUTING.md says when to do what.
#
#   make test      what a change must pass; installs what it needs and is absent
#   make build     the static binary ./parley
#   make help      the other targets

GO       ?= go
FUZZTIME ?= 10s
BENCH    ?= .
TOOL     := $(GO) tool -modfile=tools/go.mod

.DEFAULT_GOAL := help
.PHONY: help needs test race quick vectors interop fuzz bench conformance format lint tidy generate demo build clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

needs: ## install what the tests need and is absent
	@.ci/needs

test: needs ## vet and all tests, with the race detector where there is a C compiler
	@.ci/test

race: ## the same, and fail where there is no C compiler
	@.ci/needs --race
	@RACE=always .ci/test

quick: ## vet and all tests without the race detector
	@RACE=never .ci/test

vectors: ## the recorded vectors alone (PARLEY_VECTORS names another recording)
	$(GO) test ./... -run '^TestVectors'

interop: ## tests against go-waku and js-waku; installs what it needs and is absent
	@.ci/interop

fuzz: ## every Fuzz target for FUZZTIME (10s)
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

bench: ## every benchmark that BENCH (.) names
	$(GO) test ./... -run '^$$' -bench '$(BENCH)' -benchmem

conformance: ## record which requirements the tests prove
	$(GO) test ./conformance -count=1 -update

format: ## gofmt
	@find . \( -name '.?*' -o -name testdata \) -prune -o -name '*.go' -print0 | xargs -0 -r gofmt -l -w

lint: ## gofmt, vet and staticcheck, without changing anything
	@.ci/format
	$(GO) vet ./...
	$(TOOL) staticcheck ./...

tidy: ## go.mod and go.sum of both modules
	$(GO) mod tidy
	cd tools && $(GO) mod tidy

generate: ## pb/: Go out of the .proto files
	$(TOOL) buf generate

demo: ## two people meet and talk
	$(GO) run ./cmd/parley demo

build: ## one static binary, the same bytes for the same source
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o parley ./cmd/parley

clean: ## remove what was built
	rm -rf parley dist .bin
