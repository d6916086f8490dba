"""Where the texts beside a chart's points stand, so that none covers another, or a point."""

import math
from collections.abc import Sequence

POINT = 4.0  # half of a point's size
HEIGHT = 9.0  # of a line of text
CHARACTER = 5.2  # width of one, on average, of a sans-serif font at 8.5 points
_DOWN_RIGHT = [(8.0, -12.0 * row) for row in (1, 2, 3)]
_UP_LEFT = [(-8.0, 12.0 * row - 7) for row in (1, 2, 3)]
ANYWHERE = [place for both in zip(_DOWN_RIGHT, _UP_LEFT, strict=True) for place in both]
ANYWHERE += [(8.0, 5.0), (8.0, 17.0), (-8.0, -12.0), (-8.0, -24.0), (8.0, -48.0), (-8.0, 41.0)]
BESIDE = [(8.0, -3.0), (-8.0, 4.0)]  # for points that have a row of their own; else above the interval

Place = tuple[float, float]
_Box = tuple[float, float, float, float]


def place_labels(
    points: Sequence[Place],
    widths: Sequence[float],
    places: Sequence[Place] = ANYWHERE,
    span: tuple[float, float] = (-math.inf, math.inf),
) -> list[Place]:
    """Of each text, where its lower edge begins against its point: (right, up), in points of 1/72 inch as all
    lengths here. One that is placed to the left (below 0) ends there. `span`: from where to where texts may
    reach; one that fits nowhere else may cover what is there, but not be cut off."""
    taken = [(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in points]
    found = []
    for (x, y), width in zip(points, widths, strict=True):
        boxes = [_box(x, y, width, place) for place in places]
        inside = [number for number, box in enumerate(boxes) if span[0] <= box[0] and box[2] <= span[1]]
        free = [number for number in inside if not any(_overlap(boxes[number], other) for other in taken)]
        chosen = (free or inside or [0])[0]
        taken.append(boxes[chosen])
        found.append(places[chosen])
    return found


def _box(x: float, y: float, width: float, place: Place) -> _Box:
    right, up = place
    left = x + right - (width if right < 0 else 0)
    return left, y + up, left + width, y + up + HEIGHT


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
