"""Names for what signatures of the library take and return."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the backend, eager or symbolic, or what it makes one of."""

Shape: TypeAlias = tuple[Any, ...]
"""Axis lengths: integers, and None where an axis may have any length.

Which of them are known is checked when a layer is built, where a type checker
does not see it.
"""

Padding: TypeAlias = str | Sequence[tuple[int, int]]
"""A name, or `(before, after)` for each axis of positions."""

Activation: TypeAlias = str | Callable[[Tensor], Tensor] | None
"""What `keras.activations.get` takes."""

Initializer: TypeAlias = str | dict[str, Any] | Callable[..., Tensor]
"""What `keras.initializers.get` takes, without None."""

Regularizer: TypeAlias = str | dict[str, Any] | Callable[..., Tensor] | None
"""What `keras.regularizers.get` takes."""

Constraint: TypeAlias = str | dict[str, Any] | Callable[..., Tensor] | None
"""What `keras.constraints.get` takes."""
