"""The load's options, each one entry: Locust's command line, its web UI and our verbs read them.

`loadgen.protocol.settings` checks their values; the Makefile takes those of the verbs in capitals.
"""

from dataclasses import dataclass
from typing import Any

from common.usage import Joined


@dataclass(frozen=True)
class Option:
    """`takes`: what stands for its value in help; None: it is given or not. Values travel as texts."""

    name: str
    takes: str | None
    text: str
    asked: bool = True  # in the web UI's form, too
    verbs: bool = True  # of the verbs that make load, too
    path: bool = False  # its value is one
    joined: bool = False  # it may be given again, and its values are joined

    @property
    def kind(self) -> dict[str, Any]:
        """What a parser's `add_argument` takes for it."""
        if self.takes is None:
            return {"action": "store_true"}
        return {"metavar": self.takes} | ({"action": Joined} if self.joined else {})

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"


_OWN = "empty: the scenario's"
_LENGTHS = f"MEAN[,SD[,MIN-MAX]] tokens, lognormal; {_OWN}"

LOAD_OPTIONS = (
    Option(
        "label", "K=V", "what to call the run: a name or KEY=VALUE, with commas between several", joined=True
    ),
    Option("note", "T", "a text that is kept with the run, and shown in reports"),
    Option("rps", "R", f"arrivals per second; {_OWN}"),
    Option("duration", "S", f"s that are judged; {_OWN}"),
    Option("warmup", "S", f"s before them; {_OWN}"),
    Option("drain", "S", f"s for answers to end; {_OWN}"),
    Option("arrivals", "P", f"poisson, hawkes, …; {_OWN}"),
    Option("concurrency", "N", f"clients of a closed loop; {_OWN}"),
    Option("max_concurrency", "N", f"in flight at most, the rest waits; {_OWN}"),
    Option("input_tokens", "N", f"of a prompt: {_LENGTHS}"),
    Option("output_tokens", "N", f"of an answer: {_LENGTHS}"),
    Option("slo_ttft", "MS", f"ms, of the scheduled TTFT; {_OWN}"),
    Option("slo_tpot", "MS", f"ms per later token; {_OWN}"),
    Option("slo_share", "P", f"share that must meet the SLO, 0.99; {_OWN}"),
    Option("seed", "N", f"of times, lengths, prompts; {_OWN}"),
    Option("timeout", "S", f"s for one request; {_OWN}"),
    Option("api", "KIND", "chat, completions, responses, messages, …; empty: the user class's own"),
    Option("endpoint", "P", "where requests go; empty: the user class's own"),
    Option("extra_body", "JSON", "an object whose fields each request has, too"),
    Option("temperature", "T", "of sampling; empty: the user class's own"),
    Option("top_p", "P", "of sampling; empty: the server's own"),
    Option("max_tokens_field", "F", "what the server calls max_tokens; empty: max_tokens"),
    Option("no_ignore_eos", None, "answers may end before the length that was asked for"),
    Option("metrics_host", "URL,…", "where each engine's own /metrics is, behind a gateway"),
    Option(
        "direct",
        "URL",
        "the server behind a gateway: one request in fifty goes there, to show what the gateway takes",
        asked=False,
    ),
    Option("model", "NAME", "as served; empty: the only one there is"),
    Option(
        "metrics_port",
        "P",
        "serve live metrics for Prometheus there, too ([HOST:]PORT; default host: 127.0.0.1); "
        "the web UI has them at /metrics",
        asked=False,
    ),
    Option(
        "tokenizer",
        "DIR",
        "folder with tokenizer.json, for a server without /tokenize",
        asked=False,
        path=True,
    ),
    Option("ca_file", "FILE", "authority to trust for https", asked=False, path=True),
    Option("insecure", None, "do not check the https certificate", asked=False),
    Option(
        "stop_when_saturated",
        "yes",
        "end a run once its server falls behind beyond doubt (default: no)",
        asked=False,
    ),
    Option("keep_going", None, "make the run although the server refuses its request", asked=False),
    Option(
        "polite",
        None,
        "workers take no priority over other processes while they send",
        asked=False,
        verbs=False,
    ),
    Option("keep_text", None, "keep the answers' text in the records", asked=False, verbs=False),
    Option(
        "dry_run",
        None,
        "show one request in full, values of headers hidden, and end",
        asked=False,
        verbs=False,
    ),
)
