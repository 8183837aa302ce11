"""Gradients of a layer's output on whichever backend there is."""

import keras
from keras import ops


def gradients(layer, inputs, upstream, **kwargs):
    """Pulls `upstream` back through `layer`.

    Returns:
        The gradients by input, and those of the trainable weights by name,
        of `sum(upstream * layer(inputs))`, with zeros where there is none.
    """
    inputs = [ops.convert_to_tensor(x) for x in inputs]
    pull = {"tensorflow": _with_tape, "jax": _with_jax, "torch": _with_torch}
    by_input, by_weight = pull[keras.backend.backend()](
        layer, inputs, upstream, kwargs
    )
    names = [weight.name for weight in layer.trainable_weights]
    return (
        [ops.convert_to_numpy(x) for x in by_input],
        dict(zip(names, map(ops.convert_to_numpy, by_weight), strict=True)),
    )


def _weighted_sum(outputs, upstream):
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return sum(ops.sum(y * u) for y, u in zip(outputs, upstream, strict=True))


def _with_tape(layer, inputs, upstream, kwargs):
    import tensorflow as tf

    weights = [weight.value for weight in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = _weighted_sum(layer(inputs, **kwargs), upstream)
    return tape.gradient(total, [inputs, weights], unconnected_gradients="zero")


def _with_jax(layer, inputs, upstream, kwargs):
    import jax

    def total(inputs, weights):
        resting = [weight.value for weight in layer.non_trainable_variables]
        outputs, _ = layer.stateless_call(weights, resting, inputs, **kwargs)
        return _weighted_sum(outputs, upstream)

    weights = [weight.value for weight in layer.trainable_variables]
    return jax.grad(total, argnums=(0, 1))(inputs, weights)


def _with_torch(layer, inputs, upstream, kwargs):
    import torch

    weights = [weight.value for weight in layer.trainable_weights]
    inputs = [x.requires_grad_() for x in inputs]
    upstream = [ops.convert_to_tensor(u) for u in upstream]
    total = _weighted_sum(layer(inputs, **kwargs), upstream)
    gradients = torch.autograd.grad(
        total,
        [*inputs, *weights],
        allow_unused=True,
        materialize_grads=True,
    )
    return gradients[: len(inputs)], gradients[len(inputs) :]
