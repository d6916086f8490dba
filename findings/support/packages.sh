# Sourced. packages SPECIFIER...: pinned public packages into an environment of their own, $VENV, under $TMP.
# Whatever is begun is stopped, and $TMP removed, on every way out.
TMP=$(mktemp -d)
CHILDREN=()
trap '[ ${#CHILDREN[@]} = 0 ] || kill "${CHILDREN[@]}" 2>/dev/null; wait; rm -rf "$TMP"' EXIT
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$TMP/venv
CHAT=(python3 "$HERE/support/chat.py")

packages() {
  python3 -m venv "$VENV" && "$VENV/bin/pip" install --quiet "$@" 2>"$TMP/pip.log" || {
    tail -n 3 "$TMP/pip.log"
    exit 2
  }
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

begin() { "$@" >"$TMP/${#CHILDREN[@]}.log" 2>&1 & CHILDREN+=($!); }

# answers URL: wait at most 90 s until it answers 200.
answers() {
  for _ in $(seq 450); do
    python3 -c "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=1)" "$1" 2>/dev/null && return
    sleep 0.2
  done
  echo "$1 does not answer"
  exit 2
}
