# Vedette. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

HOST    := $(shell go env GOHOSTARCH)
ARCH    ?= $(HOST)
BUILD   := build
BINARY  := $(BUILD)/vedette-$(ARCH)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# An operator's own library and model stand in for the fetched ones.
ifeq ($(VEDETTE_ONNXRUNTIME),)
VEDETTE_ONNXRUNTIME := $(CURDIR)/$(BUILD)/onnxruntime/$(HOST)/libonnxruntime.so
endif
ifeq ($(VEDETTE_MODEL),)
VEDETTE_MODEL := $(CURDIR)/$(BUILD)/models/coco.onnx
endif
export VEDETTE_ONNXRUNTIME VEDETTE_MODEL
# Set-up is to see the operator's only.
OWN   = $(1)="$(if $(filter file,$(origin $(1))),,$($(1)))"
SETUP = env $(call OWN,VEDETTE_ONNXRUNTIME) $(call OWN,VEDETTE_MODEL) CGO_ENABLED=0 GOARCH= \
        go run ./packaging/setup -build $(BUILD)

ifneq ($(ARCH),$(HOST))
SYSROOT := $(CURDIR)/$(BUILD)/sysroot/$(ARCH)/usr
CROSS    = CC=aarch64-linux-gnu-gcc CGO_CFLAGS="-O2 -g -I$(SYSROOT)/include" \
           CGO_LDFLAGS="-O2 -g -L$(SYSROOT)/lib/aarch64-linux-gnu"
endif

.PHONY: build run test lint fmt bench fuzz faults system-test nightly deb apt-repo help setup clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## install and fetch what is missing
	@$(SETUP) -arch $(ARCH)

build: setup ## build the binary into build/; ARCH=arm64 cross-compiles
	@echo "building $(BINARY)"
	@env CGO_ENABLED=1 GOARCH=$(ARCH) $(CROSS) \
	  go build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BINARY) ./cmd/vedette

run: build ## show detections of a built-in scene
	@exec $(BINARY) demo

# Of another kind of processor, for which the compilers make other instructions: what reckons with pixels and boxes. A real model
# takes minutes there.
ifeq ($(ARCH),$(HOST))
TESTED = ./...
else
TESTED = -exec "qemu-aarch64-static -L /usr/aarch64-linux-gnu" -skip 'TestYOLOXAgainst|TestCenterNetAgainst' \
  ./infer/preprocess/... ./infer/decode/... ./infer/half ./track/...
test: VEDETTE_ONNXRUNTIME := $(CURDIR)/$(BUILD)/onnxruntime/$(ARCH)/libonnxruntime.so
endif
RACE ?= 0
test: setup ## run the tests; RACE=1 with the race detector; ARCH=arm64 those of pixels and boxes, emulated
	env CGO_ENABLED=1 GOARCH=$(ARCH) $(CROSS) go test $(if $(filter 1,$(RACE)),-race) -timeout 25m $(TESTED)

LINTER := $(BUILD)/bin/golangci-lint-$(shell sed -nE 's|.*/golangci-lint/v2 (v[^ ]+).*|\1|p' tools/go.mod)
$(LINTER):
	@echo "building $(@F) (minutes, once)"
	@mkdir -p $(@D)
	@cd tools && CGO_ENABLED=0 GOARCH= go build -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

lint: setup $(LINTER) ## check formatting, import directions and common mistakes
	$(LINTER) run ./...

fmt: $(LINTER) ## format the Go code
	$(LINTER) fmt ./...

MODELS ?= coco
bench: build ## measure: the Go benchmarks, the pipeline beside the bare model, with a model that takes no time, after kill -9; the outbox beside other stores; MODELS=…
	go test -run '^$$' -bench . -benchmem ./...
	for model in $(MODELS); do $(BINARY) bench --kill 20 --model "$$model"; done
	go run ./packaging/tinymodel $(BUILD)/tiny.onnx && $(BINARY) bench --draw --model $(BUILD)/tiny.onnx
	cd test/stores && VEDETTE_BENCH_DIR=$(CURDIR)/$(BUILD) CGO_ENABLED=1 go test -run '^$$' -bench . .

FUZZTIME ?= 10s
fuzz: setup ## run each fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

# The guest's rows build on test/vm; WHERE=host leaves them out.
WHERE ?= host guest
faults: setup ## break what may break, and look who survives; ROW=7 for one row, WHERE=host for those that need no guest
	@CGO_ENABLED=1 go build -tags faultinject -o $(BUILD)/vedette-faultinject ./cmd/vedette
	@CGO_ENABLED=0 go build -o $(BUILD)/faults ./test/faults
	@cd test/fleet && CGO_ENABLED=0 go build -o $(CURDIR)/$(BUILD)/fleet .
	@for where in $(WHERE); do $(BUILD)/faults -where $$where -row $(or $(ROW),0) -soak $(or $(SOAK),0) || failed=1; done; [ -z "$${failed:-}" ]

system-test: build ## install and run the appliance in virtual machines; ARCH=arm64 for the other kind
	@rm -rf $(BUILD)/deb/{next-,}$(ARCH)
	@packaging/deb/build $(ARCH)
	@LINTIAN=no VERSION_SUFFIX=+next OUT=$(BUILD)/deb/next-$(ARCH) packaging/deb/build $(ARCH) vedette
	@test/vm/image/build $(ARCH) >/dev/null
	@env CGO_ENABLED=1 GOARCH=$(ARCH) $(CROSS) go build -o $(BUILD)/grab-$(ARCH) ./test/system/grab
	@CGO_ENABLED=0 GOARCH=$(ARCH) go build -o $(BUILD)/feed-$(ARCH) ./test/loopback/feed
	VEDETTE_VM_ARCH=$(ARCH) go test -tags system -count 1 -p 1 -timeout 45m -v ./test/vm ./test/system | grep -v '^=== '

nightly: setup ## the long tests, hours of them: kills, damaged models, the outbox, cameras in guests, packages
	VEDETTE_KILLS=50 go test -count 1 -timeout 30m -run TestEachObjectHasOneLifeOverKills -v ./cmd/vedette
	VEDETTE_LONG=1 go test -count 1 -timeout 1h -run Video -v ./infer/decode
	VEDETTE_MUTATIONS=10000 go test -count 1 -timeout 6h -run TestDamagedModels -v ./cmd/vedette
	go test -count 1 -timeout 1h ./mqtt/outbox -seeds 50
	go run ./test/chaos -events 100000
	$(MAKE) faults ROW=25 WHERE=host SOAK=1h
	VEDETTE_NIGHTLY=1 $(MAKE) system-test
	packaging/deb/prove $(ARCH)

deb: setup ## make the Debian packages, into build/deb/ARCH; ARCH=arm64 for the other kind
	@packaging/deb/build $(ARCH)

apt-repo: ## make a signed repository for apt of the packages in build/deb; URL=… APT_KEY=…
	@packaging/deb/apt-repo "$(URL)"

clean: ## remove what was built and fetched
	rm -rf $(BUILD)
