#!/bin/sh
# Writes server.lock (what the image holds) and dev.lock (what `make` installs): exact versions with hashes.
# Run it with the oldest Python that is supported, so that what only that one needs is locked too.
set -eu
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/pip" install --quiet pip-tools

compile() {
    output=$1
    shift
    "$tools/bin/pip-compile" --quiet --upgrade --generate-hashes --strip-extras --no-annotate --no-header \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
        --output-file "$output" "$@" pyproject.toml
    # The extra `dev` names the project itself, which is installed from its folder; pip notes it as a file.
    sed -i '/^#/d; /^headrace @/d' "$output"
}

compile requirements/server.lock --extra server --extra flights
compile requirements/dev.lock --extra dev --constraint requirements/server.lock
