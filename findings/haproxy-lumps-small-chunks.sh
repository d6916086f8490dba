#!/usr/bin/env bash
# HAProxy 2.6.12 (Debian 12) with its packaged defaults holds small chunks of a streamed answer back.
#
# Found: a server sends 50 events of 26 bytes, the first after 80 ms and then one each 20 ms. A client directly at
# the server sees just that. Behind HAProxy (mode http and the three time-outs of its packaged defaults) the first
# event comes after some 200 ms and the others in lumps of ten, some 200 ms apart: it leaves Nagle's algorithm on
# for the client's side, which waits for the client's delayed acknowledgement.
# `option http-no-delay` cures it. The client sees no sign of HAProxy: it adds no header.
# Seen 2026-11-29 (HAProxy 2.6.12-1+deb12u4): direct first 83 ms, gaps 20 ms; behind it first 203 ms, 45 of 49 gaps below
# 1 ms, the longest 223 ms; with http-no-delay first 84 ms, none below 1 ms.
set -euo pipefail
source "$(dirname "$0")/support/debian.sh"
unpack haproxy liblua5.3-0
version=$("$TMP/root/usr/sbin/haproxy" -v | sed -n 1p)
echo "$version"
[[ $version == *" 2.6.12"* ]] || { echo "another version: look anew"; exit 2; }

server=$(free_port); plain=$(free_port); cured=$(free_port)
begin "${STREAM[@]}" serve "$server"
cat >"$TMP/haproxy.cfg" <<CFG
defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
listen plain
    bind 127.0.0.1:$plain
    server one 127.0.0.1:$server
listen cured
    option http-no-delay
    bind 127.0.0.1:$cured
    server one 127.0.0.1:$server
CFG
begin "$TMP/root/usr/sbin/haproxy" -f "$TMP/haproxy.cfg" -db
answers "$server"; answers "$plain"
for way in direct:$server plain:$plain cured:$cured; do
  "${STREAM[@]}" read "http://127.0.0.1:${way#*:}/stream" >"$TMP/${way%:*}.json"
done
python3 - "$TMP" <<'PY'
import json, sys
from pathlib import Path

seen = {way: json.loads(Path(sys.argv[1], f"{way}.json").read_text()) for way in ("direct", "plain", "cured")}
together = {way: sum(gap < 1 for gap in each["gaps_ms"]) for way, each in seen.items()}
for way, each in seen.items():
    print(f"{way:7} first {each['first_ms']:6.1f} ms, longest gap {max(each['gaps_ms']):6.1f} ms, "
          f"{together[way]} of {len(each['gaps_ms'])} gaps below 1 ms")
held = together["plain"] > 35 and together["direct"] < 10 and together["cured"] < 10
sys.exit(0 if held else "this is no longer so")
PY
