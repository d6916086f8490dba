"""Figures as pictures: what a chart shows, and how it is drawn."""
