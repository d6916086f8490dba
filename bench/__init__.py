"""Measures of the load generator itself: a server on a known timetable and the benchmarks against it."""
