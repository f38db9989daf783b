# Everything here works on a bare Debian 12 machine, as root; each target installs what it needs.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
# Where CI runs, a test that cannot run is a failure.
REQUIRED := fuse,registry,containerd,podman
REQUIRE := $(if $(CI),--require=$(REQUIRED))
# All tests: two workers. The first is dealt the beginning of the list, and so the end-to-end tests, which share what is costly
# to make; the second all others meanwhile. A few: in this process.
PARALLEL := $(if $(TESTS),,--numprocesses=2)

.PHONY: install lint format test demo bench proto constraints clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt .ci/packages .ci/install
	PYTHON=$(PYTHON) .ci/install

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(INSTALLED)
	$(BIN)/python -m pytest $(REQUIRE) $(PARALLEL) $(TESTS)

demo: $(INSTALLED)
	$(BIN)/python -m benchmarks.demo

# Hours, unless told otherwise; interrupted, it goes on where it was. docs/benchmarks.md has the options.
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.startup $(BENCH)

# Generated code is committed: users need no compiler for it.
proto: $(INSTALLED)
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. \
		snapshotter/proto/*.proto fs/proto/*.proto
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. tests/e2e/proto/cri.proto
	rm snapshotter/proto/mount_pb2_grpc.py snapshotter/proto/cri_pb2_grpc.py snapshotter/proto/descriptor_pb2_grpc.py # they have no service

# Names and versions only: where they come from is the user's choice.
constraints: $(INSTALLED)
	$(BIN)/pip freeze --exclude-editable --all | grep -v '^pip==' > constraints.txt

clean:
	rm -rf .venv build dist
