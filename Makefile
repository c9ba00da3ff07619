# SPDX-License-Identifier: Apache-2.0
#
# `make` lists the targets. Everything is built without cgo, so that one static
# program runs on any Linux of its architecture.

export CGO_ENABLED := 0
# For every go command, tests and lint included: with other flags each would
# compile all dependencies for itself. The version comes from VERSION below, so
# Go need not look at git.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -buildvcs=false)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.built=$(SOURCE_DATE_EPOCH)
GO_BUILD = go build -ldflags "$(LDFLAGS)"

# The control plane says which Kubernetes it is: charts decide by it.
KUBERNETES_VERSION := v1.37.2
CONTROLPLANE       := test/k3d/controlplane
CONTROLPLANE_FLAGS := -s -w \
	-X k8s.io/component-base/version.gitVersion=$(KUBERNETES_VERSION) \
	-X k8s.io/component-base/version.gitMajor=1 \
	-X k8s.io/component-base/version.gitMinor=37

# Every module of this repository. The tools have their own, so that what they
# need never raises a version of ours.
MODULES := . tools $(CONTROLPLANE)
# Vet and lint look into every dependency: all of Kubernetes, for three small
# files of a test program, takes longer than everything else together.
LINTED := . tools

GOLANGCI_LINT := go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint

# Packages that decide what runs on a node; less coverage than this is a failure.
COVERED          := ./internal/verify ./internal/journal ./internal/reconcile
COVERAGE_MINIMUM := 80

TEST_TIMEOUT ?= 40m

# Timestamps inside packages are those of the last commit: the same commit gives
# the same bytes on every machine.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Build

.PHONY: build
build: ## bin/edgeagent for this machine
	$(GO_BUILD) -o bin/edgeagent ./cmd/edgeagent

.PHONY: cross
cross: ## dist/edgeagent-linux-{amd64,arm64,armv7}
	GOOS=linux GOARCH=amd64 $(GO_BUILD) -o dist/edgeagent-linux-amd64 ./cmd/edgeagent
	GOOS=linux GOARCH=arm64 $(GO_BUILD) -o dist/edgeagent-linux-arm64 ./cmd/edgeagent
	GOOS=linux GOARCH=arm GOARM=7 $(GO_BUILD) -o dist/edgeagent-linux-armv7 ./cmd/edgeagent

.PHONY: controlplane
controlplane: bin/controlplane ## bin/controlplane, a real Kubernetes for the tests (first build: minutes)

# Linking it takes a while even from a warm cache, so it is built only when its
# sources changed.
bin/controlplane: $(wildcard $(CONTROLPLANE)/*.go) $(CONTROLPLANE)/go.mod $(CONTROLPLANE)/go.sum
	cd $(CONTROLPLANE) && go build -ldflags "$(CONTROLPLANE_FLAGS)" -o $(CURDIR)/bin/controlplane .

## Use

.PHONY: cluster
cluster: bin/controlplane ## start a test cluster and print its kubeconfig
	go run ./test/k3d/cmd/cluster

# KEEP=1 leaves everything running; a variable given to make is in the
# environment of what it runs.
.PHONY: demo
demo: prerequisites build bin/controlplane ## watch the agent converge, refuse, repair and roll back (KEEP=1 to play on)
	go run ./test/k3d/cmd/demo

.PHONY: bench
bench: prerequisites build bin/controlplane ## measure the agent beside its floors
	go run ./test/k3d/cmd/bench
	go test -run '^$$' -bench . -benchtime 1x ./internal/verify

## Check

.PHONY: prerequisites
prerequisites:
	@test/prerequisites.sh

.PHONY: test-prerequisites
test-prerequisites:
	@test/prerequisites.sh --packaging

.PHONY: test
test: test-prerequisites build bin/controlplane ## every test, end to end ones included
	cd tools && go test ./...
	@mkdir -p coverage
	go test -timeout $(TEST_TIMEOUT) -coverprofile=coverage/all.out ./...
	@$(MAKE) --no-print-directory cover

# The tests come last and on their own, so that the output ends with theirs.
.PHONY: check
check: ## what CI runs: format, vet, lint, tidy, tests
	@$(MAKE) --no-print-directory fmt-check
	@$(MAKE) --no-print-directory vet
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory tidy-check
	@$(MAKE) --no-print-directory test

.PHONY: fmt
fmt: ## format the code
	gofmt -s -w $$(git ls-files '*.go')

.PHONY: fmt-check
fmt-check: ## fail when a file is not formatted
	@unformatted=$$(gofmt -s -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## go vet
	@set -e; for module in $(LINTED); do echo "go vet $$module"; (cd $$module && go vet ./...); done

.PHONY: lint
lint: ## golangci-lint, import direction included
	@set -e; for module in $(LINTED); do echo "golangci-lint $$module"; \
		(cd $$module && $(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...); done

.PHONY: tidy-check
tidy-check: ## fail when a go.mod or go.sum is not tidy
	@set -e; for module in $(MODULES); do echo "go mod tidy -diff $$module"; (cd $$module && go mod tidy -diff); done

# Silent when all is well, so that the tests' lines stay the last ones.
.PHONY: cover
cover: ## fail where the last make test covered less than 80 % of what decides
	@set -e; for package in $(COVERED); do \
		profile=coverage/$$(basename $$package).out; \
		{ echo "mode: set"; grep "/$${package#./}/[^/]*:" coverage/all.out; } > $$profile; \
		go tool cover -func=$$profile | awk -v minimum=$(COVERAGE_MINIMUM) -v package=$$package \
			'/^total:/ {sub("%", "", $$3); total = $$3} END { \
			if (total + 0 < minimum) {printf "%s: %s %% of statements covered, %s %% wanted\n", package, total, minimum; exit 1}}'; \
	done

# The files of internal/verify that decide. Each of their guards is switched off
# in turn, and some test must notice.
DECIDE := decide.go examine.go head.go steps.go way.go content.go blames.go authority.go enter.go rotation.go protected.go binding.go merger.go mergebase.go \
	published.go statement.go policy.go release.go trustfile.go ancestry.go history.go waiver.go return.go moment.go

# It takes long, and is not a part of CI. RUN='^rotation' tries a slice.
.PHONY: mutation
mutation: ## switch off each guard of the trust decision: a test must notice
	go run ./test/mutation -timeout 1m -work $(CURDIR)/bin/.mutation $(if $(RUN),-run '$(RUN)') $(DECIDE)

.PHONY: nightly-differential
nightly-differential: ## compare 200,000 signed and damaged objects with git
	EDGEAGENT_DIFFERENTIAL=200000 go test -count=1 -v -timeout 2h -run '^TestGitAgreesAboutSignedObjects$$' ./internal/verify

.PHONY: nightly-link
nightly-link: ## cut and kill a 5 MB first sync at every width of link, and the stores many times
	PULL_TEST_CUTS=1 PULL_TEST_KILLS=200 go test -count=1 -timeout 2h -run 'Cut|Killed|DoesNotFit' ./internal/pull
	OBJECTS_TEST_KILLS=500 go test -count=1 -timeout 2h -run 'Kill' ./internal/pull/objects
	EDGEAGENT_POWER_CUTS=all go test -count=1 -timeout 2h -run 'PowerCut' ./internal/journal

.PHONY: nightly
nightly: nightly-link nightly-differential mutation ## what takes too long for every commit

.PHONY: golden
golden: ## write the golden files of render anew
	go test ./internal/render -run Golden -update

## Package

.PHONY: deb
deb: build cross ## dist/*.deb for amd64, arm64, armhf
	cd tools && SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) go run ./deb \
		-root $(CURDIR) -version "$(VERSION)" -host-binary $(CURDIR)/bin/edgeagent -out $(CURDIR)/dist \
		amd64=$(CURDIR)/dist/edgeagent-linux-amd64 \
		arm64=$(CURDIR)/dist/edgeagent-linux-arm64 \
		armhf=$(CURDIR)/dist/edgeagent-linux-armv7

.PHONY: deb-check
deb-check: test-prerequisites deb ## lintian on the packages; they are the same when built twice
	lintian --allow-root --fail-on error,warning dist/*.deb
	@sha256sum dist/*.deb > dist/first.sha256
	$(MAKE) --no-print-directory deb
	sha256sum --check dist/first.sha256

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist coverage bench/results
