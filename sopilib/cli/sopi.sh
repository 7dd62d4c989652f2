#!/bin/sh
# The command `sopi`: starts the Python that it was installed for. -E, because variables of another Python would keep this one from
# starting, or have it import what is not for it; -P, because the current folder is no place to import from.
program=$(realpath -- "$0" 2>/dev/null) || program=$0
bin=$(dirname -- "$program")
python=python3
if [ -f "$bin/../pyvenv.cfg" ]; then
    python=$bin/python
else # pip install --user, or into a system's own Python: the folder's name says for which
    for info in "$bin"/../lib*/python3.*/*-packages/sopilib-*.dist-info; do
        name=${info#"$bin"/../lib*/}
        name=${name%%/*}
        if [ -x "$bin/$name" ]; then
            python=$bin/$name
        elif command -v "$name" >/dev/null; then
            python=$name
        fi
    done
fi
exec "$python" -E -P -m sopilib.cli "$@"
