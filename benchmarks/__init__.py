"""Measured comparisons; each prints a table and writes it under results/.

Python imports this file before any benchmark, so that TensorFlow, which is
talkative at its start, is quiet in all of them.
"""

from applications import startup

startup.import_tensorflow()
