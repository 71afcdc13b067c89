#!/usr/bin/env bash
# Packs the project, looks into the package, installs it into an empty prefix and runs it from there.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm pack --silent --ignore-scripts --pack-destination "$work" >/dev/null
tar -tzf "$work"/pacifica-*.tgz | sed 's|^package/||' | sort >"$work/files"
if unwanted=$(grep -vE '^(bin/run\.js|dist/.*\.js|dist/licenses\.txt|config/pacifica\.ini|oclif\.manifest\.json|package\.json|README\.md|CHANGELOG\.md|LICENSE)$' "$work/files"); then
  echo "the package holds what does not run: $unwanted"
  exit 1
fi

npm install --silent --no-audit --no-fund --global --prefix "$work/prefix" "$work"/pacifica-*.tgz
"$work/prefix/bin/pacifica" --version
# the plug-in for completion loads an oclif of its own
HOME="$work" "$work/prefix/bin/pacifica" autocomplete script bash >/dev/null
"$work/prefix/bin/pacifica" db sync --data-dir "$work/data"
"$work/prefix/bin/pacifica" db check --equal --data-dir "$work/data"
echo "the package works: $(wc -l <"$work/files") files, $(du -k "$work"/pacifica-*.tgz | cut -f1) KiB"
