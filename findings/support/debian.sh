# Sourced. unpack PACKAGE...: fetch Debian packages and lay them out under $TMP/root, without installing them.
# Needs apt's lists (`apt-get update`). The version that came is checked by the script that sources this.
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

unpack() {
  (cd "$TMP" && apt-get -qq download "$@" 2>/dev/null) || { echo "cannot fetch $*"; exit 2; }
  for each in "$TMP"/*.deb; do dpkg -x "$each" "$TMP/root"; done
  LIBRARIES=$(echo "$TMP"/root/usr/lib/*-linux-gnu)
  LD_LIBRARY_PATH="$LIBRARIES:$LIBRARIES/varnish"
  export LD_LIBRARY_PATH
}

STREAM=(python3 "$HERE/support/stream.py")

# answers PORT: wait until something listens there.
answers() {
  for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.1; done
  echo "nothing listens on port $1"; exit 2
}
