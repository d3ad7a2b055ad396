"""Evaluation: nights are replayed and compared with controls and with the truth of synthetic insurers."""
