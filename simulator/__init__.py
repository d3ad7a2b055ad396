"""A synthetic insurer: honest life, look-alikes and fraud campaigns, with the truth kept apart."""

from payeewatch.simulator.insurer import simulate

__all__ = ["simulate"]
