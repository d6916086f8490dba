"""The server's GPUs: did others compute there, did heat hold their clocks, did anything break on them?"""

from reports.metrics import gpus
from reports.metrics.gpus import Other
from reports.runs.runs import Run
from reports.text.formatting import quantity
from reports.verdict.rule import Rule, Verdict, not_checked, rule_where

USED = 0.1  # of a GPU's time, from which on another's process counts in a reading; as of the cores
OTHERS_SHARE = 0.01  # of the readings; as of the window's seconds for the cores
HEAT_SHARE = 0.01  # of the readings; more, and the slow ones make a p99
_NOT_TOLD = "no GPU of the server's tells"


@rule_where(gpus.were_read)
def others_on_gpu(run: Run) -> Rule:
    """Share of the readings in which another's process used a tenth or more of the time of a GPU that the
    server runs on. Where a card tells who is there and not what it computes, it only warns.
    """
    name, found = "others_on_gpu", gpus.others(run)
    if found is None:
        why = "which processes on its GPUs are the server's is not told"
        return not_checked(name, Verdict.DISTURBED, OTHERS_SHARE, "share", why)
    figures = [(float((each.used >= USED).mean()) * each.seen) for each in found if each.used is not None]
    unknown = [each for each in found if each.used is None]
    figure = max(figures, default=1.0 if unknown else 0.0)
    text = "; ".join(map(_told, found[:3])) or "nobody else computed on the server's GPUs"
    advice = "have the GPU to yourself, and run again: `nvidia-smi` lists who is there"
    verdict = Verdict.DISTURBED if figures or not unknown else Verdict.VALID
    return Rule(name, verdict, figure <= OTHERS_SHARE, figure, OTHERS_SHARE, "share", text, advice)


def _told(each: Other) -> str:
    text = f"{each.process} held {quantity(each.memory, 'B')} of GPU {each.gpu}"
    if each.used is None:
        return f"{text}; how much it computed is not told"
    return f"{text} and used {100 * float(each.used.mean()):.0f} % of its time, while it was there"


@rule_where(gpus.were_read)
def gpu_throttled(run: Run) -> Rule:
    """Share of the readings in which heat or a power brake held a GPU's clocks down. A power limit that is
    reached is how a card works at full load, and is only told.
    """
    name, found = "gpu_throttled", gpus.clocks(run)
    if found is None:
        return not_checked(name, Verdict.VALID, HEAT_SHARE, "share", _NOT_TOLD)
    text = f"heat or a power brake held the clocks down in {100 * found.heat:.0f} % of the readings, "
    text += f"the power limit in {100 * found.power_limit:.0f} %"
    if found.hertz is not None:
        text += f"; multiprocessors ran at {found.hertz / 1e6:,.0f} MHz (mean while busy)"
    advice = "see to the card's cooling and power, or let it cool down before each run"
    return Rule(name, Verdict.VALID, found.heat <= HEAT_SHARE, found.heat, HEAT_SHARE, "share", text, advice)


@rule_where(gpus.were_read)
def gpu_errors(run: Run) -> Rule:
    """How often a GPU reported a memory error that it could not correct, or a critical error (Xid)."""
    name, found = "gpu_errors", gpus.errors(run)
    if found is None:
        return not_checked(name, Verdict.VALID, 0.0, "errors", _NOT_TOLD)
    figure = sum(found.values())
    text = ", ".join(f"{count:.0f} x {what}" for what, count in found.items()) or "none"
    advice = (
        "see the kernel's log (dmesg) for what the driver says of it: the card, or what ran on it, failed"
    )
    return Rule(name, Verdict.VALID, figure <= 0, figure, 0.0, "errors", text, advice)
