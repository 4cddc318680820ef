# Sourced by .ci/run and .ci/slow: a copy of the tracked tree and an empty virtual environment in a temporary folder, both
# removed on exit. The checkout itself is never written to, and what is not tracked is not seen: what a fresh clone has.
set -euo pipefail
export CI=true PYTHONDONTWRITEBYTECODE= PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONHASHSEED
exec </dev/null

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
mkdir "$tree"
if git -C "$top" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  (cd "$top" && git ls-files -z --cached | while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done |
    tar --null -T - -cf -) | tar -xf - -C "$tree"
else
  (cd "$top" && tar --exclude=.git -cf - .) | tar -xf - -C "$tree"
fi
cd "$tree"

# stage NAME COMMAND...: runs the command, prints how long it took, stops everything if it fails.
timings=()
stage() {
  local name=$1 began=$SECONDS
  shift
  printf '\n=== %s\n' "$name"
  if ! "$@"; then
    printf '\nFAILED: %s (after %s s)\n' "$name" "$((SECONDS - began))"
    exit 1
  fi
  timings+=("$(printf '%5s s  %s' "$((SECONDS - began))" "$name")")
}

finish() {
  printf '\n=== timings\n'
  printf '%s\n' "${timings[@]}"
  printf '%5s s  total\n' "$SECONDS"
}

# The README's command N, exactly as printed there.
readme() { bash -euo pipefail -c "$(python .ci/readme_commands.py "$1")"; }

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, found {sys.version}")'
stage "virtual environment" "$python" -m venv "$work/venv"
export PATH=$work/venv/bin:$PATH VIRTUAL_ENV=$work/venv
