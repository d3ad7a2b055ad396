"""A synthetic insurer: honest life, look-alikes and fraud campaigns, with the truth in a separate folder."""

from payeewatch.simulator.insurer import simulate

__all__ = ["simulate"]
