"""Intervals, trends and memory of a series of numbers; nothing here knows of requests."""
