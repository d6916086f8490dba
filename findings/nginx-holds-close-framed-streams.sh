#!/usr/bin/env bash
# nginx 1.22.1 (Debian 12) passes a chunked stream on at once, but holds one that is framed by the connection's end.
#
# Found: with `proxy_pass` and nothing else set, events of 26 bytes, 20 ms apart, arrive as they were sent where the
# server frames its answer in chunks. Where it answers HTTP/1.0-wise, by closing, the client gets nothing until
# 4 KiB are there or the answer has ended: here all 50 events come at once, after 1.2 s. So the same nginx in front of
# two servers gives one a TTFT of its own and the other one that is the whole answer's time.
# `proxy_buffering off` cures it, and so does the header `X-Accel-Buffering: no`.
# Seen 2026-11-29 (nginx 1.22.1-9+deb12u11): chunked: 0 of 49 gaps below 1 ms; closed: 49 of 49, first event after 1,181 ms.
set -euo pipefail
source "$(dirname "$0")/support/debian.sh"
unpack nginx
version=$("$TMP/root/usr/sbin/nginx" -v 2>&1)
echo "$version"
[[ $version == *"/1.22.1" ]] || { echo "another version: look anew"; exit 2; }

chunked=$(free_port); closed=$(free_port); front=$(free_port)
begin "${STREAM[@]}" serve "$chunked"
begin "${STREAM[@]}" serve "$closed" --close
cat >"$TMP/nginx.conf" <<CFG
worker_processes 1;
daemon off;
pid $TMP/pid;
error_log $TMP/error.log;
events {}
http {
  access_log off;
  client_body_temp_path $TMP/body; proxy_temp_path $TMP/proxy; fastcgi_temp_path $TMP/fastcgi;
  uwsgi_temp_path $TMP/uwsgi; scgi_temp_path $TMP/scgi;
  server {
    listen 127.0.0.1:$front;
    location /chunked/ { proxy_pass http://127.0.0.1:$chunked/; }
    location /closed/ { proxy_pass http://127.0.0.1:$closed/; }
    location /cured/ { proxy_pass http://127.0.0.1:$closed/; proxy_buffering off; }
  }
}
CFG
begin "$TMP/root/usr/sbin/nginx" -e "$TMP/error.log" -p "$TMP" -c "$TMP/nginx.conf"
answers "$chunked"; answers "$closed"; answers "$front"
for way in chunked closed cured; do "${STREAM[@]}" read "http://127.0.0.1:$front/$way/stream" >"$TMP/$way.json"; done
python3 - "$TMP" <<'PY'
import json, sys
from pathlib import Path

seen = {way: json.loads(Path(sys.argv[1], f"{way}.json").read_text()) for way in ("chunked", "closed", "cured")}
together = {way: sum(gap < 1 for gap in each["gaps_ms"]) for way, each in seen.items()}
for way, each in seen.items():
    print(f"{way:8} first {each['first_ms']:7.1f} ms, {together[way]} of {len(each['gaps_ms'])} gaps below 1 ms")
held = together["closed"] == 49 and together["chunked"] < 10 and together["cured"] < 10
sys.exit(0 if held else "this is no longer so")
PY
