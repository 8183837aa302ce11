"""Runs the example in a docstring."""

import doctest
import inspect

import keras
import numpy as np

import keras_fusion


def run_example(offered, name):
    """Fails unless the example prints what it shows; returns its steps."""
    names = {"keras": keras, "keras_fusion": keras_fusion, "np": np}
    example = doctest.DocTestParser().get_doctest(
        inspect.getdoc(offered), names, name, None, 0
    )
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)
    return example.examples
