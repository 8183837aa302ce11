"""Measured comparisons; each prints a table and writes it under results/."""
