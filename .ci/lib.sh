# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the scripts beside this one share. Sourced, in bash with `set -euo pipefail`.

fail() {
  printf 'ci: %s\n' "$1" >&2
  exit 1
}

step() {
  printf '\n== %s\n' "$1"
}

# The lines of the first `sh` block of a README.
readme_commands() {
  awk '/^```sh$/ && !seen { inside = 1; seen = 1; next } /^```/ { inside = 0 } inside' "$1"
}

# Fails unless the first `sh` block of README.md is the two commands that everything begins with.
require_readme_commands() {
  [ -f README.md ] || fail 'there is no README.md'
  local commands
  mapfile -t commands < <(readme_commands README.md)
  [ "${#commands[@]}" -eq 2 ] ||
    fail "README.md: the first sh block has ${#commands[@]} lines, not 2"
  [ "${commands[0]}" = 'npm ci && npm start' ] || fail "README.md: unexpected: ${commands[0]}"
  [ "${commands[1]}" = 'npm ci && npm test' ] || fail "README.md: unexpected: ${commands[1]}"
}

# What a test run said at its end, if it got that far.
counts() {
  grep -E '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -n 1
}

# Run one command, keeping its output in a file and showing it: with the numbers of a test run
# indented, so that only the last line of all has them plain.
run_shown() {
  local command=$1 output=$2 begin=$SECONDS
  step "$command"
  if ! bash -euo pipefail -c "$command" 2>&1 | tee "$output" |
    sed -E 's/^([0-9]+ passed, [0-9]+ failed)$/  \1/'; then
    printf 'ci: failed after %s s: %s\n' "$((SECONDS - begin))" "$command" >&2
    counts "$output" || true
    exit 1
  fi
  printf '   (%s s)\n' "$((SECONDS - begin))"
}

# Nothing may lie about in a checkout that git does not know of, or that is not as it was.
require_clean() {
  local left
  left=$(git status --porcelain)
  [ -z "$left" ] || fail "$1 left files behind, or changed them: $left"
}
