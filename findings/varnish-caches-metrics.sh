#!/usr/bin/env bash
# Varnish 7.1.1 (Debian 12) answers /metrics from its cache for 120 s; it is told apart by `X-Varnish` alone.
#
# Found: with one backend and nothing else set, a server's Prometheus page without Cache-Control is kept for
# default_ttl (120 s). A load test that takes the server's counters before and after a run gets the same page twice:
# the server seems to have served nothing. The `Age` header stays 0 in the first second, so it proves nothing there;
# X-Varnish holds two numbers on a hit and one on a miss. A chunked event stream goes through as it was sent.
# Cure: `sub vcl_recv { if (req.url ~ "^/metrics") { return (pass); } }`.
# Seen 2026-11-29 (varnish 7.1.1-2+deb12u1): three scrapes 1.2 s apart: counter 1, 1, 1, Age 0, 1, 2; cured: 2, 3, 4.
set -euo pipefail
source "$(dirname "$0")/support/debian.sh"
unpack varnish libvarnishapi3
varnishd="$TMP/root/usr/sbin/varnishd"
version=$("$varnishd" -V 2>&1 | sed -n 1p)
echo "$version"
[[ $version == *"varnish-7.1.1"* ]] || { echo "another version: look anew"; exit 2; }

server=$(free_port); plain=$(free_port); cured=$(free_port)
begin "${STREAM[@]}" serve "$server"
answers "$server"
backend="backend default { .host = \"127.0.0.1\"; .port = \"$server\"; }"
printf 'vcl 4.1;\n%s\n' "$backend" >"$TMP/plain.vcl"
printf 'vcl 4.1;\n%s\nsub vcl_recv { if (req.url ~ "^/metrics") { return (pass); } }\n' "$backend" >"$TMP/cured.vcl"
for way in plain:$plain cured:$cured; do
  begin "$varnishd" -F -j none -n "$TMP/${way%:*}" -f "$TMP/${way%:*}.vcl" -a "127.0.0.1:${way#*:}" \
    -p vmod_path="$LIBRARIES/varnish/vmods" >"$TMP/log" 2>&1
  answers "${way#*:}"
done
python3 - "$plain" "$cured" <<'PY'
import sys, time
from urllib.request import urlopen

def scrapes(port):
    for number in range(3):
        if number:
            time.sleep(1.2)
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            yield int(answer.read().split()[1]), answer.headers["Age"], answer.headers["X-Varnish"]

seen = {"plain": list(scrapes(sys.argv[1])), "cured": list(scrapes(sys.argv[2]))}
for way, each in seen.items():
    print(way, "(counter, Age, X-Varnish):", *each)
plain, cured = ([count for count, *_ in seen[way]] for way in ("plain", "cured"))
hits = [len(varnish.split()) for *_, varnish in seen["plain"]]
held = plain[0] == plain[2] and cured[2] - cured[0] == 2 and hits == [1, 2, 2]
sys.exit(0 if held else "this is no longer so")
PY
