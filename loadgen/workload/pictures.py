"""Pictures of random pixels, as PNG files in a URL: each is another, and none packs to less."""

import base64
import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 3  # red, green, blue of 8 bits each


def picture(width: int, height: int, rng: np.random.Generator) -> str:
    """A data URL. Source of the layout: https://www.w3.org/TR/png-3/ (chunks IHDR, IDAT, IEND)."""
    rows = np.zeros((height, 1 + COLOURS * width), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = rng.integers(0, 256, (height, COLOURS * width), np.uint8)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 0)
    file = SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
