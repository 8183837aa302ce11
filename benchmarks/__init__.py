"""Measured comparisons; each prints a table and writes it under results/."""

import os

# Before one of them imports TensorFlow, which is talkative at its start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
