#!/bin/bash
# Prints a command of the README, so that what is checked is what is told. Usage: tools/readme_command.sh posttrain|test
set -euo pipefail
readme=$(dirname "$0")/../README.md
found=$(awk -v mark="<!-- command: $1 -->" '$0 == mark {want = 1; next} want && /^```bash/ {inside = 1; next} inside && /^```/ {exit} inside' "$readme")
[ -n "$found" ] || { echo "readme_command.sh: README.md has no command '$1'" >&2; exit 2; }
echo "$found"
