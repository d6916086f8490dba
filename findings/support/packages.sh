# Sourced. packages SPECIFIER...: pinned public packages into an environment of their own, $VENV, under $TMP.
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"
VENV=$TMP/venv
CHAT=(python3 "$HERE/support/chat.py")

packages() {
  python3 -m venv "$VENV" && "$VENV/bin/pip" install --quiet "$@" 2>"$TMP/pip.log" || {
    tail -n 3 "$TMP/pip.log"
    exit 2
  }
}

# answers URL: wait at most 180 s until it answers 200.
answers() {
  for _ in $(seq 900); do
    python3 -c "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=1)" "$1" 2>/dev/null && return
    sleep 0.2
  done
  echo "$1 does not answer"
  exit 2
}
