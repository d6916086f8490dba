# Sourced. $TMP is a temporary folder, $HERE that of the findings. What `begin` starts is stopped, and $TMP removed, on
# every way out.
TMP=$(mktemp -d)
CHILDREN=()
trap '[ ${#CHILDREN[@]} = 0 ] || kill "${CHILDREN[@]}" 2>/dev/null || true; wait; rm -rf "$TMP"' EXIT
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

begin() { "$@" >"$TMP/${#CHILDREN[@]}.log" 2>&1 & CHILDREN+=($!); }
