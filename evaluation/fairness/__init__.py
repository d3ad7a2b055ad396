"""Fairness: how often the members of each group are flagged, and the report of it."""
