# make play   sets everything up and opens the instrument (without display or sound card: renders it)
# make test   sets everything up and runs every test
.PHONY: play test setup lint clean

play: setup-play
	@.venv/bin/sopi play

test: setup-test lint
	@.venv/bin/python -m pytest

lint:
	@.venv/bin/ruff check . && .venv/bin/ruff format --check -q . && .venv/bin/mypy

setup: setup-play
setup-%:
	@sh .ci/setup $*

clean:
	rm -rf build .venv sopilib/native/*.so
	$(MAKE) -C pd/pyext clean
