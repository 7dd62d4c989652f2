#!/bin/sh
# The command `sopi`: starts the Python that it was installed for. -E, because variables of another Python would keep this one from
# starting, or have it import what is not for it; -P, because the current folder is no place to import from.
program=$0
while [ -L "$program" ]; do # realpath is no part of older systems
    link=$(ls -ld -- "$program")
    link=${link#*" $program -> "}
    case $link in
    /*) program=$link ;;
    *) program=$(dirname -- "$program")/$link ;;
    esac
done
bin=$(CDPATH='' cd -P -- "$(dirname -- "$program")" && pwd)
python=python3
if [ -f "$bin/../pyvenv.cfg" ]; then
    python=$bin/python
else # pip install --user, or into a system's own Python: the name of a folder says for which
    for info in "$bin"/../lib*/python*/*-packages/sopilib-*.dist-info; do
        [ -e "$info" ] || continue
        name=${info#"$bin"/../lib*/}
        name=${name%%/*}
        if [ "$name" = python ]; then # macOS: 3.12/bin, 3.12/lib/python
            name=${bin%/bin}
            name=python${name##*/}
        fi
        if [ -x "$bin/$name" ]; then
            python=$bin/$name
        elif command -v "$name" >/dev/null; then
            python=$name
        fi
    done
fi
exec "$python" -E -P -m sopilib.cli "$@"
