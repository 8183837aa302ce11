import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer, what it is called with, and what should come out.

    `shapes` holds the call's positional arguments: a tuple is the shape of a
    tensor, a list of tuples a list of tensors. The first axis of every tensor
    is the batch. `reference` gets the layer's weights by path (without the
    layer's own name) and the arguments as arrays, and computes the output, or
    the list of outputs, by another route. `weights` sets weights to values
    that matter, by name.
    """

    name: str
    make: Callable
    shapes: tuple
    reference: Callable
    weights: dict = dataclasses.field(default_factory=dict)
    # Of inputs that hold indices: their number among all tensors of the call,
    # and the number of indices.
    indices: dict = dataclasses.field(default_factory=dict)
    # The numbers of tensors of which, as documented, only the shape matters.
    shape_only: tuple = ()
    # Whether the layer, as documented, has no trainable weights.
    weightless: bool = False
