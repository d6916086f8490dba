"""Variants over a range of rates: their points, where one overtakes the other, and how it is shown."""
