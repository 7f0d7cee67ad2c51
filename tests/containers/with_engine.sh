#!/usr/bin/env bash
# Runs a command with a Docker engine and the base images at hand:
#
#   tests/containers/with_engine.sh make test-containers
#
# Where an engine answers and images can be pulled, it only pulls. On a Debian machine without an engine, root gets one
# for the time of the command, with its images kept in the user's cache directory. Where nothing can be pulled,
# stand-ins are built from Debian's packages under the names that deploy/ uses. What cannot be had is said, and the
# command runs all the same: the tests then skip.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${HEADRACE_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/headrace}
python=${PYTHON:-$root/.venv/bin/python}
work=$(mktemp -d "${TMPDIR:-/tmp}/headrace-engine.XXXXXX")
engine_pid=

say() { printf 'with_engine: %s\n' "$*" >&2; }

finish() {
    if [ -n "$engine_pid" ]; then
        kill -TERM "$engine_pid" || true
        wait "$engine_pid" || true
    fi
    rm -rf "$work"
}
trap finish EXIT

install_packages() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install --yes --no-install-recommends "$@"; } >"$work/apt.log" 2>&1 ||
        { tail -n 5 "$work/apt.log" >&2; return 1; }
}

answers() { docker version >/dev/null 2>&1; }

start_engine() {
    [ "$(id -u)" = 0 ] || return 1
    command -v dockerd >/dev/null || install_packages docker.io || return 1
    # Debian 13 has the client in a package of its own.
    command -v docker >/dev/null || install_packages docker-cli || return 1
    export DOCKER_HOST=unix://$work/docker.sock
    mkdir -p "$cache/docker"
    # dockerd takes the best storage driver that works here; vfs, the last one, always does.
    dockerd --host "$DOCKER_HOST" --data-root "$cache/docker" --exec-root "$work/run" --pidfile "$work/pid" \
        >"$work/dockerd.log" 2>&1 &
    engine_pid=$!
    for _ in $(seq 60); do
        if answers; then
            say "started an engine (pid $engine_pid)"
            # What was left untagged by the builds of earlier days.
            docker image prune --force --filter until=48h >/dev/null
            return 0
        fi
        kill -0 "$engine_pid" 2>/dev/null || break
        sleep 0.5
    done
    tail -n 5 "$work/dockerd.log" >&2
    return 1
}

have_local() { docker image inspect "$1" >/dev/null 2>&1; }

have_image() { have_local "$1" || docker pull --quiet "$1" >/dev/null 2>&1; }

# A Debian with Python, and with this machine's certificates and settings of pip: behind a proxy, builds need them.
build_debian() {
    have_local headrace-stand-in:debian && return 0
    command -v debootstrap >/dev/null || install_packages debootstrap || return 1
    local suite tree=$work/debian
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    say "building headrace-stand-in:debian ($suite)"
    debootstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates "$suite" "$tree" \
        >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log" >&2; return 1; }
    ln -s /usr/bin/python3 "$tree/usr/local/bin/python"
    cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
    [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$tree/etc/pip.conf"
    rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/archives/*.deb
    local changes=() name
    for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_CERT HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!name:-}" ] || changes+=(--change "ENV $name=${!name}")
    done
    tar -C "$tree" -c . | docker import "${changes[@]}" - headrace-stand-in:debian >/dev/null
    rm -rf "$tree"
}

build_python() {
    build_debian && docker tag headrace-stand-in:debian "$1"
}

build_kafka() {
    build_debian || return 1
    cp -r "$here/stand_ins/kafka" "$work/kafka"
    mkdir "$work/kafka/jars"
    "$python" -c 'import shutil, sys
from headrace.broker.jars import jars
for jar in jars():
    shutil.copy(jar, sys.argv[1])' "$work/kafka/jars" || return 1
    say "building $1"
    docker build --tag "$1" "$work/kafka" >"$work/kafka.log" 2>&1 || { tail -n 5 "$work/kafka.log" >&2; return 1; }
}

need_image() {
    local image=$1 build=$2
    have_image "$image" || "$build" "$image" || say "$image can neither be pulled nor built here"
}

if answers || start_engine; then
    need_image "$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$root/deploy/Dockerfile")" build_python
    need_image "$(sed -n 's/^ *image: \(apache\/kafka:.*\)/\1/p' "$root/deploy/compose.yaml")" build_kafka
else
    say "no Docker engine answers, and none could be started"
fi
"$@"
