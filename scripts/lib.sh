# Sourced by the scripts beside it, with $root set to the project's directory.
#
# prepare EXTRAS installs this project with its extras into $root/.venv.  A stamp inside .venv has a checksum of
# pyproject.toml and the path of the project; while it is current, only cksum is started.  Otherwise set_up.py installs;
# it needs only the standard library.

fail() {
    printf '%s\n' "$*" >&2
    exit 69
}

new_enough() {
    command -v "$1" >/dev/null 2>&1 &&
        [ "$("$1" -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)" = True ]
}

# Prints the first Python that is new enough: $PYTHON if set, python3, or one with its version in its name.
find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

prepare() {
    if [ -n "${PYTHON:-}" ] && ! new_enough "$PYTHON"; then
        fail "\$PYTHON is $PYTHON, which is no Python 3.11 or newer; correct it, or unset PYTHON to have one found"
    fi
    stamp="$(cksum <"$root/pyproject.toml") $root"
    if [ -x "$root/.venv/bin/python" ] && [ -f "$root/.venv/stamp-$1" ]; then
        installed=
        IFS= read -r installed <"$root/.venv/stamp-$1" || :
        [ "$installed" = "$stamp" ] && return 0
    fi
    if ! python=$(find_python); then
        if command -v python3 >/dev/null 2>&1; then
            found=$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || found=unusable
            fail "Posthouse needs Python 3.11 or newer, and python3 here is $found;" \
                "install a newer one, or name it: PYTHON=/path/to/python3.12 $0"
        fi
        fail "Posthouse needs Python 3.11 or newer, and there is no python3 on this machine;" \
            "install it (on Debian: apt-get install python3 python3-venv)"
    fi
    "$python" "$root/scripts/set_up.py" "$root" "$1" "$stamp" || exit $?
}

# compile makes $root/build/compiled the product with its hot modules compiled, if the sources have changed since.
compile() {
    "$root/.venv/bin/python" "$root/scripts/compiling.py" "$root" "$root/build/compiled" || exit $?
}
