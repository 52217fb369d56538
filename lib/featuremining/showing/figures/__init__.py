"""Figures as inline SVG: one file a kind of figure, one style for all. In come records, findings and verdicts, out go SVG
elements with a description and their data as CSV."""

from .activations import activation_histogram, activations
from .curves import LEARNING, MEMORISATION, curves
from .differences import differences, multiverse
from .samples import accuracy_over, over_samples
from .style import COLOURS, INK, STYLE, inline, nothing

__all__ = ["COLOURS", "INK", "LEARNING", "MEMORISATION", "STYLE", "accuracy_over", "activation_histogram", "activations",
           "curves", "differences", "inline", "multiverse", "nothing", "over_samples"]
