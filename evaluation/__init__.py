"""How good it would have been: nights replayed, compared with controls, and with the truth of synthetic insurers."""
