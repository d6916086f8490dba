"""Texts beside points: none covers another, and each is placed once."""

from reports.charts.labels import BESIDE, CHARACTER, HEIGHT, place_labels


def spans(points: list[tuple[float, float]], widths: list[float]) -> list[tuple[float, float, float]]:
    """(left, right, lower edge) of each text."""
    found = []
    for (x, y), width, (right, up) in zip(points, widths, place_labels(points, widths), strict=True):
        left = x + right - (width if right < 0 else 0)
        found.append((left, left + width, y + up))
    return found


def test_texts_of_points_that_nearly_meet_do_not_cover_one_another() -> None:
    """Five variants of a sweep in one corner of the roofline."""
    points = [(407.4, 105.3), (355.1, 74.1), (386.4, 87.6), (405.7, 103.3), (382.0, 107.3)]
    found = spans(points, [CHARACTER * 28] * len(points))
    for number, (left, right, low) in enumerate(found):
        for other_left, other_right, other_low in found[:number]:
            assert right <= other_left or other_right <= left or abs(low - other_low) >= HEIGHT


def test_a_lone_text_stands_below_to_the_right_and_one_of_a_row_beside() -> None:
    assert place_labels([(0.0, 0.0)], [50.0]) == [(8.0, -12.0)]
    assert place_labels([(0.0, 0.0), (1.0, 30.0)], [50.0, 50.0], BESIDE) == BESIDE[:1] * 2


def test_a_text_that_would_be_cut_off_at_the_edge_stands_on_the_other_side() -> None:
    points = [(95.0, 50.0), (5.0, 50.0)]
    (right, _), (left, _) = place_labels(points, [40.0, 40.0], span=(0.0, 100.0))
    assert right < 0 < left
    assert place_labels([(50.0, 50.0)], [400.0], span=(0.0, 100.0)) == [(8.0, -12.0)], "where none fits"
