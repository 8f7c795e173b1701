"""Statistics of figures and texts: intervals, diversity. numpy and scipy, no torch."""
