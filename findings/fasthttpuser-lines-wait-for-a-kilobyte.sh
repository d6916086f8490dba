#!/usr/bin/env bash
# Locust 2.47.0: FastHttpUser's iter_lines hands lines out by 1,024 bytes, so the first token is stamped some chunks late.
#
# Found: the stream's first event (the role) and first token leave the server after 80 ms, then one token each 20 ms, of
# 177 bytes. `iter_lines` reads by iter_content(1024), and geventhttpclient's read(1024) returns when it has that many. So
# the first line comes with the sixth event, and then six at a time: most gaps between tokens are zero. With
# `stream=True` and `response.stream.readline(b"\n")` each line comes when it was sent.
# Expected: a line when it is there, as the streams' reader that it was added for (locustio/locust#3018).
# Seen 2026-11-29 (geventhttpclient 2.6.1): iter_lines first 181 ms, 17 events at 3 moments; readline 81 ms, at 14.
set -euo pipefail
source "$(dirname "$0")/support/packages.sh"
packages 'locust==2.47.0' 'geventhttpclient==2.6.1'
server=$(free_port)
begin "${CHAT[@]}" serve "$server"
answers "http://127.0.0.1:$server/v1/models"
cat >"$TMP/locustfile.py" <<'PY'
import json
import time

from locust import FastHttpUser, task
from locust.exception import StopUser

PATH, ASKED = "/v1/chat/completions", {"model": "plain", "max_tokens": 14, "stream": True}


def moments(lines):
    """Milliseconds of each event; those within 5 ms are one moment."""
    begun = time.perf_counter()
    times = [1000 * (time.perf_counter() - begun) for line in lines() if line.startswith("data:")]
    return {
        "first": round(times[0]),
        "events": len(times),
        "moments": 1 + sum(later - before > 5 for before, later in zip(times, times[1:])),
    }


class Asker(FastHttpUser):
    def by_line(self):
        with self.client.post(PATH, json=ASKED, stream=True) as response:
            while line := response.stream.readline(b"\n"):
                yield line.decode()

    @task
    def both(self):
        found = {
            "iter_lines": moments(lambda: self.client.iter_lines(PATH, method="POST", json=ASKED)),
            "readline": moments(self.by_line),
        }
        print(json.dumps(found), flush=True)
        self.environment.runner.quit()
        raise StopUser
PY
(cd "$TMP" && "$VENV/bin/locust" -f locustfile.py --headless -u 1 -t 20s -H "http://127.0.0.1:$server" \
  --only-summary --loglevel ERROR >asked.txt 2>"$TMP/locust.log")
grep iter_lines "$TMP/asked.txt" | python3 -c '
import json, sys

seen = json.loads(sys.stdin.readline())
print(seen)
lines, reads = seen["iter_lines"], seen["readline"]
late = lines["first"] > reads["first"] + 40 and lines["moments"] < reads["moments"] / 2
sys.exit(0 if late else "this is no longer so")'
