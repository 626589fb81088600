#!/usr/bin/env bash
# Known vulnerabilities of the pinned packages, and strings that look like secrets: information, never a failure.
# The tools have an environment of their own; without a network nothing is shown.
set -uo pipefail
cd "$(dirname "$0")/.."
tools=.environments/security

if [ ! -x "$tools/bin/pip-audit" ]; then
  { timeout 60 python3 -m venv "$tools" &&
    timeout 120 "$tools/bin/pip" install --quiet --disable-pip-version-check pip-audit==2.9.0 detect-secrets==1.5.0; } >/dev/null 2>&1 ||
    { echo "security check: its tools cannot be installed here"; exit 0; }
fi

echo "security check: known vulnerabilities of requirements.lock (pip-audit)"
timeout 120 "$tools/bin/pip-audit" --requirement requirements.lock --no-deps --disable-pip --progress-spinner off >"$tools/audit.txt" 2>&1
missing=$(grep -c "could not be audited" "$tools/audit.txt")
grep -v "could not be audited" "$tools/audit.txt" | grep -vE "^(Name +Skip Reason|[- ]+)$" | tail -n 40
[ "$missing" = 0 ] || echo "$missing packages could not be audited: their database cannot be reached from here"
echo "security check: strings that look like secrets (detect-secrets)"
git ls-files -z | timeout 120 xargs -0 "$tools/bin/detect-secrets-hook" --disable-plugin HexHighEntropyString --exclude-files '.*\.(svg|jsonl)' 2>&1 |
  grep -E "^(Secret Type|Location)" | head -n 40
echo "security check: done"
exit 0
