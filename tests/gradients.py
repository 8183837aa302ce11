"""The gradient of any function of arrays, on whichever backend there is."""

import keras
import numpy as np
from keras import ops


def gradients(function, *arrays, dtype="float32"):
    """Gradients of the sum of `function(*tensors)` by each of the arrays."""
    tensors = [ops.convert_to_tensor(x, dtype=dtype) for x in arrays]
    pull = {"tensorflow": _with_tape, "jax": _with_jax, "torch": _with_torch}
    result = pull[keras.backend.backend()](
        lambda *tensors: ops.sum(function(*tensors)), tensors
    )
    return [np.array(ops.convert_to_numpy(x)) for x in result]


def _with_tape(function, tensors):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        total = function(*tensors)
    return tape.gradient(total, tensors, unconnected_gradients="zero")


def _with_jax(function, tensors):
    import jax

    return jax.grad(function, argnums=range(len(tensors)))(*tensors)


def _with_torch(function, tensors):
    import torch

    tensors = [x.detach().clone().requires_grad_() for x in tensors]
    return torch.autograd.grad(
        function(*tensors), tensors, allow_unused=True, materialize_grads=True
    )
