# Sourced. unpack PACKAGE...: fetch Debian packages and lay them out under $TMP/root, without installing them.
# Needs apt's lists (`apt-get update`). The version that came is checked by the script that sources this.
TMP=$(mktemp -d)
CHILDREN=()
trap '[ ${#CHILDREN[@]} = 0 ] || kill "${CHILDREN[@]}" 2>/dev/null; wait; rm -rf "$TMP"' EXIT
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

unpack() {
  (cd "$TMP" && apt-get -qq download "$@" 2>/dev/null) || { echo "cannot fetch $*"; exit 2; }
  for each in "$TMP"/*.deb; do dpkg -x "$each" "$TMP/root"; done
  LIBRARIES=$(echo "$TMP"/root/usr/lib/*-linux-gnu)
  LD_LIBRARY_PATH="$LIBRARIES:$LIBRARIES/varnish"
  export LD_LIBRARY_PATH
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

begin() { "$@" & CHILDREN+=($!); }

STREAM=(python3 "$HERE/support/stream.py")

# answers PORT: wait until something listens there.
answers() {
  for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.1; done
  echo "nothing listens on port $1"; exit 2
}
