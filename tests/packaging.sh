#!/usr/bin/env bash
# Builds the sdist and from it the wheel, installs the wheel bare in an empty environment, and uses it.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

.venv/bin/python -m build --no-isolation --outdir "$work/dist" . > "$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "$work"/dist/*.whl
cd "$work"
venv/bin/headrace --version
venv/bin/headrace --help > /dev/null
venv/bin/python -c 'import headrace.client, headrace.signing'
if venv/bin/headrace gateway 2> error.txt; then
    echo "a bare installation has no services"; exit 1
fi
grep -q "headrace\[server\]" error.txt
for path in schemas/ids.json schemas/feeds/flights.departures.toml schemas/avro/flights.Departure.avsc \
    schemas/released/flights.Departure/1.sample broker/kafka.lock py.typed; do
    test -e venv/lib/python3*/site-packages/headrace/"$path" || { echo "the wheel lacks $path"; exit 1; }
done
echo "the wheel is whole"
