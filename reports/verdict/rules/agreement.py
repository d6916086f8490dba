"""INVALID: do the server's own counters and histograms agree with what the client saw?

Both count the whole run, warm-up and drain included, since counters cannot tell requests apart. Whether the
answers agree with what was asked for is only a warning.
"""

import numpy as np

from loadgen.records.record import COMPLETED, UNFINISHED
from reports.metrics import gaps
from reports.runs.runs import Floats, Run
from reports.text.formatting import milliseconds
from reports.verdict.both_sides import COUNTS, means, whole, why_no_counters
from reports.verdict.rule import Rule, Verdict, not_checked, rule

MEAN_SECONDS = 0.001  # s; the server's mean may be larger than ours by this: its stamps are of its own loop
MEAN_SHARE = 0.01  # ... or by this share, since its count may hold a request more or less
UNALIKE = 1.5  # times as long; a router's imbalance of load is less than that
ENGINES = ("engine", "address", "replica")  # labels that tell engines apart
SHORT = 0.01  # share of the answers; so many moved the mean by less than 1 %
SHORTER = 1  # tokens; servers differ in whether they count the token that ends an answer
WENT_ON = 0.5  # a server that notices makes some tokens more, one that does not makes all
CACHE = 0.01  # share of prompt tokens that may hit: a chat template's common beginning

_INVALID = Verdict.INVALID


@rule
def server_restarted(run: Run) -> Rule:
    """No counter of the server's fell during the run: it began anew, or several servers answer in turn."""
    name = "server_restarted"
    if not len(run.server.times):
        return not_checked(name, _INVALID, 0, "falls", "the server exports no metrics")
    falls = run.server.falls()
    most = max(falls, key=lambda each: falls[each], default=None)
    figure = falls[most] if most else 0
    text = f"{most} fell {figure} times, of {len(falls)} counters that did" if most else "no counter fell"
    advice = "see the server's log; where several servers answer at one address, name each: METRICS_HOST="
    return Rule(name, _INVALID, not figure, figure, 0, "falls", text, advice)


@rule
def engines_alike(run: Run) -> Rule:
    """The longest mean request latency of an engine / the shortest, by their own histograms.

    It only warns: behind one address a slow engine hides in the tail of all.
    """
    name, histogram = "engines_alike", "vllm:e2e_request_latency_seconds"
    means = {
        " ".join(f"{key} {labels[key]}" for key in ENGINES if key in labels) or "the first": mean
        for labels, mean in run.server.means(histogram, *whole(run))
    }
    if len(means) < 2:
        return not_checked(name, Verdict.VALID, UNALIKE, "times", "one engine, as far as the metrics tell")
    slow, fast = max(means, key=lambda each: means[each]), min(means, key=lambda each: means[each])
    figure = means[slow] / means[fast]
    text = f"of {len(means)} engines {slow} took {1e3 * means[slow]:.0f} ms for a request, {fast} "
    text += f"{1e3 * means[fast]:.0f} ms (means)"
    advice = f"look at {slow} by itself: its machine, its log, what the router sends it"
    return Rule(name, Verdict.VALID, figure <= UNALIKE, figure, UNALIKE, "times", text, advice)


@rule
def server_output_tokens(run: Run) -> Rule:
    """Tokens received against generation_tokens_total.

    The server may have made more for requests that we did not see to their end, but no more than asked.
    """
    received = _received(run)
    asked = np.nan_to_num(run.records.numbers("output_asked"), nan=np.inf)
    rest = float(np.maximum(asked - received, 0)[~run.records.status_is(COMPLETED)].sum())
    return _counts_agree(
        run, "server_output_tokens", "vllm:generation_tokens_total", float(received.sum()), rest
    )


@rule
def server_prompt_tokens(run: Run) -> Rule:
    """Prompt tokens of completed requests against prompt_tokens_total."""
    tokens, done = run.records.numbers("prompt_tokens"), run.records.status_is(COMPLETED)
    known = ~np.isnan(tokens)
    if not (done & known).any():
        return not_checked("server_prompt_tokens", _INVALID, COUNTS, "share", "no usage in the answers")
    largest = np.fmax(np.nanmax(tokens), np.nan_to_num(run.records.numbers("prompt_asked")).max())
    client = float(tokens[done & known].sum())
    rest = float(
        largest * int((~(done & known)).sum())
    )  # served, perhaps, without a word of it in the answer
    return _counts_agree(run, "server_prompt_tokens", "vllm:prompt_tokens_total", client, rest)


@rule
def server_ttft(run: Run) -> Rule:
    """The server's mean TTFT must not be larger than ours; the difference is network and client.
    Bound: 1 ms or 1 %.
    """
    numbers = run.records.numbers
    return _means_agree(
        run, "server_ttft", "vllm:time_to_first_token_seconds", numbers("first_token") - numbers("sent")
    )


@rule
def server_latency(run: Run) -> Rule:
    """The server's mean request latency must not be larger than ours. Bound: 1 ms or 1 %."""
    numbers, done = run.records.numbers, run.records.status_is(COMPLETED)
    ours = np.where(done, numbers("end") - numbers("sent"), np.nan)
    return _means_agree(run, "server_latency", "vllm:e2e_request_latency_seconds", ours)


@rule
def prefix_cache_hits(run: Run) -> Rule:
    """Share of prompt tokens that the prefix cache served, where prompts were meant to be unique."""
    name = "prefix_cache_hits"
    if not run.manifest.prompts.unique:
        return not_checked(
            name, _INVALID, CACHE, "share", "the scenario's prompts are not meant to be unique"
        )
    hits = run.server.increase("vllm:prefix_cache_hits_total", *whole(run))
    asked = run.server.increase("vllm:prefix_cache_queries_total", *whole(run))
    if hits is None or not asked:
        return not_checked(name, _INVALID, CACHE, "share", "the server exports no prefix-cache counters")
    figure = hits / asked
    text = f"{hits:.0f} of {asked:.0f} prompt tokens came from the prefix cache ({100 * figure:.1f} %)"
    advice = "restart the server, or change the seed: it has seen these prompts before"
    return Rule(name, _INVALID, figure <= CACHE, figure, CACHE, "share", text, advice)


@rule
def answer_lengths(run: Run) -> Rule:
    """Share of the completed answers that are not as long as asked: shorter, where the server counted their
    tokens; or longer, by any count.

    It only warns: hosts other than vLLM know no `ignore_eos`, a tool call ends where it ends, and a client
    may ask for a length of its own. With what such a run can be compared, `load` says.
    """
    name, asked, came = (
        "answer_lengths",
        *(run.records.numbers(f"output_{end}") for end in ("asked", "tokens")),
    )
    codes, names = run.records.codes("tokens_from")
    usage = codes == names.index("usage") if "usage" in names else np.zeros(len(codes), bool)
    ended = run.judged & run.records.status_is(COMPLETED) & (asked > 0) & ~np.isnan(came)
    long = ended & (came > asked + SHORTER)
    known = (ended & usage) | long
    if not known.any():
        why = "no answer has both a length that was asked for and the server's count"
        return not_checked(name, Verdict.VALID, SHORT, "share", why)
    short = known & (came < asked - SHORTER)
    figure = float((short | long).sum() / known.sum())
    text = f"{short.sum()} of {known.sum()} answers are shorter than asked"
    if short.any():
        text += f", on average {came[short].mean():.0f} of {asked[short].mean():.0f} tokens"
    if long.any():
        mean = f"{came[long].mean():.0f} of {asked[long].mean():.0f} tokens"
        text += f"; {long.sum()} are longer, on average {mean}: the server goes on beyond max_tokens"
    advice = (
        "see finish_reason in the records: does the server ignore ignore_eos, or the client ask for less?"
    )
    return Rule(name, Verdict.VALID, figure <= SHORT, figure, SHORT, "share", text, advice)


@rule
def cancelled(run: Run) -> Rule:
    """Share of the tokens that cancelled requests still lacked which the server made all the same.

    By generation_tokens_total. It only warns.
    """
    name, counter, numbers = "cancelled", "vllm:generation_tokens_total", run.records.numbers
    planned = ~np.isnan(numbers("cancel_after"))
    given_up = planned & run.records.status_is(UNFINISHED)
    count = int(given_up.sum())
    text = f"{count} of the {int(planned.sum())} requests that were to be cancelled had not ended by then"
    if count and (why := why_no_counters(run, counter)) is not None:
        return not_checked(name, Verdict.VALID, WENT_ON, "share", f"{text}; {why}")
    received = _received(run)
    lacked = float(np.nansum(np.maximum(numbers("output_asked") - received, 0)[given_up]))
    made = (run.server.increase(counter, *whole(run)) or 0.0) - float(received.sum())
    figure = min(max(made, 0.0) / lacked, 1.0) if lacked else 0.0
    text += (
        f"; of the {lacked:.0f} tokens that they lacked the server made {max(made, 0.0):.0f}" if count else ""
    )
    advice = "the server, or a gateway before it, goes on with requests whose client has gone"
    return Rule(name, Verdict.VALID, figure <= WENT_ON, figure, WENT_ON, "share", text, advice)


def _received(run: Run) -> Floats:
    """Output tokens of each record: by the server's word, or those that came; shape (records,)."""
    said = run.records.numbers("output_tokens")
    return np.where(np.isnan(said), gaps.token_flow(run).received, said)


def _counts_agree(run: Run, name: str, counter: str, client: float, rest: float) -> Rule:
    if (why := why_no_counters(run, counter)) is not None:
        return not_checked(name, _INVALID, COUNTS, "share", why)
    server = run.server.increase(counter, *whole(run)) or 0.0
    beyond = server - client - rest if server > client + rest else min(server - client, 0.0)
    figure = abs(beyond) / max(client, 1.0)
    text = f"client {client:,.0f}, server {server:,.0f}"
    if rest and server > client:
        explained = "the" if server - client <= rest else f"{rest:,.0f} of the"
        text += f"; requests that did not complete explain {explained} {server - client:,.0f} more"
    advice = "have the server to yourself; else tokens are counted wrongly: see the column tokens_from"
    return Rule(name, _INVALID, figure <= COUNTS, figure, COUNTS, "share", text, advice)


def _means_agree(run: Run, name: str, histogram: str, ours: Floats) -> Rule:
    found = means(run, histogram, ours)
    if isinstance(found, str):
        return not_checked(name, _INVALID, None, "s", found)
    client, server = found
    bound = max(MEAN_SECONDS, MEAN_SHARE * client)
    sign = "+" if client >= server else ""
    text = f"mean at the client {milliseconds(client)} = server {milliseconds(server)} "
    text += f"{sign}{milliseconds(client - server)} network and client"
    advice = "the client cannot see a token before the server sent it: is it the same server, and ours alone?"
    return Rule(name, _INVALID, server - client <= bound, server - client, bound, "s", text, advice)
