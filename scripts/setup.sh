#!/usr/bin/env bash
# Set up what hakprof needs: Debian packages where that is permitted, and a virtual environment.
# usage: scripts/setup.sh VENV-FOLDER [tests]      with "tests" also what only the checks need
# A package that cannot be installed is named with the command that installs it; the rest goes on without it.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:?usage: scripts/setup.sh VENV-FOLDER [tests]}
purpose=${2:-}
python=${PYTHON:-python3}

needed=(linux-perf strace gcc libc6-dev binutils make git valgrind libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4)
"$python" -c 'import ensurepip, venv' 2>/dev/null || needed+=(python3-venv)
extras=
if [ "$purpose" = tests ]; then
    extras='[dev]'
    # Real programs that the allocator's tests run. redis-tools holds redis-server as well, without the service that starts it.
    needed+=(g++ perl sqlite3 xz-utils redis-tools)
    # The test modules belong to the system's Python, whichever that is.
    if [ -x /usr/bin/python3 ]; then
        needed+=("libpython$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')-testsuite")
    fi
fi

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1; fi
}

install_debian_packages() {
    local missing=() package
    for package in "${needed[@]}"; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "setup: installing ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq >&2 || true
    # All at once is quick; one by one where one of them is not to be had.
    as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 && return 0
    local left=()
    for package in "${missing[@]}"; do
        as_root apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 || left+=("$package")
    done
    [ ${#left[@]} -eq 0 ] || echo "setup: could not install ${left[*]}; what needs them is left out. To mend: apt-get install ${left[*]}" >&2
}

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
    install_debian_packages
else
    echo "setup: not a Debian system; install by hand what is missing of: ${needed[*]}" >&2
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: Python 3.11 or newer is needed; name one with PYTHON=" >&2; exit 2; }
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
# Python compiles what is imported; compiling all that is installed takes longer than installing it.
"$venv/bin/pip" install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".$extras"
