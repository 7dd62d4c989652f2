# make play   sets everything up and opens the instrument (without display or sound card: renders it)
# make test   sets everything up and runs every test but the long ones
# make test-long   runs those, the sanitizers, fuzzing and short benches; BUDGET=1800: what 30 minutes have time for
.PHONY: play test test-long setup lint clean

play: setup-play
	@.venv/bin/sopi play

# First side by side, then those that need the machine for themselves; more processes than cores, for many tests wait.
WORKERS ?= 3
test: setup-test lint
	@failed=0; \
	.venv/bin/python -m pytest -n $(WORKERS) --dist worksteal -m "not alone" || failed=1; \
	.venv/bin/python -m pytest -m alone || failed=1; \
	exit $$failed

test-long: setup-test
	@.venv/bin/python tests/long.py $(if $(BUDGET),--budget $(BUDGET)) $(if $(ONLY),--only "$(ONLY)")

lint:
	@.venv/bin/ruff check . && .venv/bin/ruff format --check -q . && .venv/bin/mypy

setup: setup-play
setup-%:
	@sh .ci/setup $*

clean:
	rm -rf build .venv sopilib/native/*.so
	$(MAKE) -C pd/pyext clean
