"""SGLang 0.5 (0.5.23) `bench_serving` (sglang.benchmark.serving): `--output-file --output-details`: TTFT,
gaps, lengths and error of each request; not when it was sent.

Read off sglang/benchmark/serving.py (`async_request_openai_chat_completions`, `calculate_metrics`). One JSON
object a line, with the keys `backend`, `dataset_name`, `random_range_ratio`, `request_rate` (1/s, "trace";
Infinity), `max_concurrency`,
`duration` (s), `completed`, `total_output_tokens`, `request_throughput`, `output_throughput`,
`mean|median|p90|p95|p99_ttft|tpot|itl|e2e_latency_ms`; with details the lists `input_lens`, `output_lens`,
`ttfts`, `itls` (s), `errors`. There are no send times, so nothing follows for rates and order, and no list of
latencies: they are TTFT + gaps, which leaves out what came after the last token.

Definitions: TTFT = first chunk with text - send; ITL = gaps between chunks with text, pooled (per token,
retokenised, where the server tells an accept length); TPOT = (latency - TTFT) / (tokens - 1), where latency
ends with the stream's last event, usage included; all of completed requests; percentiles interpolate. Tokens
are `usage`'s, or those asked for where the server says none.
"""

from reports.runs.importers.definitions import SHARES
from reports.runs.importers.imported import Imported
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.source import Source
from reports.runs.importers.vllm import MEANING, MS, Dialect, Result, read_results, read_vllm

CLAIMS = {
    "output_throughput": ("output_token_throughput", 1.0),
    "request_throughput": ("completed_rate", 1.0),
    "completed": ("completed", 1.0),
} | {
    f"{how}_{name}_ms": (f"{row}_{share}", MS)
    for name, row in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2e_latency", "latency"))
    for how, share in (
        *(("mean", "mean"), ("median", "p50")),
        *((share, share) for share in SHARES),
    )
}
_END = "of completed requests only, to the end of the stream, which the lists do not hold"
DIALECT = Dialect(
    "SGLang bench_serving",
    CLAIMS,
    {**MEANING, "latency": _END, "tpot": _END},
    tail=0.01,  # its usage event and [DONE] follow the last token
)


@importer
class SgLang(Importer):
    tool = DIALECT.tool
    files = "--output-file, with or without --output-details"

    def knows(self, source: Source) -> bool:
        marks = {"random_range_ratio", "request_throughput", "dataset_name"}
        return source.shape == "object" and marks <= source.names

    def read(self, source: Source) -> list[Imported]:
        return [_imported(source, each) for each in read_results(source)]


def _imported(source: Source, result: Result) -> Imported:
    """As vLLM's, from which the tool comes."""
    server = result.found.get("server_info")
    if isinstance(server, dict) and server.get("model_path"):
        result.found["model_id"] = server["model_path"]
    return read_vllm(source.path, result, DIALECT)
