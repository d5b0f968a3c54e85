"""Measurements: `make bench`. Figures and ratios of one run on one machine; nothing here is asserted."""
