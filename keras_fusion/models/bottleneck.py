"""The bottleneck of residual networks, with any normalization and gates."""

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import keras

from keras_fusion.models.branch_layers import Normalize
from keras_fusion.models.branch_layers import add
from keras_fusion.models.branch_layers import convolve
from keras_fusion.models.branch_layers import each
from keras_fusion.types import Tensor


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """One bottleneck, and the sizes that follow from its position.

    Attributes:
        stage: Number from 1 of its stage.
        block: Number from 1 within the stage.
        width: Filters of the first stage's 3x3 convolutions; each stage has
            twice as many as the one before it.
        stride_on: `"3x3"` or `"1x1"`, the convolution that halves the
            resolution.
    """

    stage: int
    block: int
    width: int
    stride_on: str

    @property
    def name(self) -> str:
        return f"stage{self.stage}_block{self.block}"

    @property
    def filters(self) -> int:
        return self.width * 2 ** (self.stage - 1)

    @property
    def projects(self) -> bool:
        """Whether the shortcut needs a convolution to the new width."""
        return self.block == 1

    @property
    def strides(self) -> int:
        return 2 if self.block == 1 and self.stage > 1 else 1


def stages_of(
    blocks: Sequence[int], width: int, stride_on: str
) -> Iterator[list[Bottleneck]]:
    """Yields the bottlenecks of each stage, `blocks` of them."""
    for stage, count in enumerate(blocks, start=1):
        yield [
            Bottleneck(stage, block, width, stride_on)
            for block in range(1, count + 1)
        ]


def residual(
    branches: list[Tensor],
    block: Bottleneck,
    layer_name: Callable[[int, str], str],
    normalize: Callable[[int], Normalize],
    gate: Callable[[list[Tensor]], list[Tensor]] | None = None,
) -> list[Tensor]:
    """Adds 1x1, 3x3 and 1x1 convolutions, gated if asked, to the shortcut.

    Args:
        branches: List of tensors.
        block: `Bottleneck`.
        layer_name: Function from a convolution's number, 0 of the shortcut or
            1 to 3, and a kind of layer to the layer's name.
        normalize: Function from a convolution's number to what normalizes.
        gate: Function from branches to gated branches.
    """

    def convolve_at(
        number: int,
        branches: list[Tensor],
        filters: int,
        size: int,
        strides: int,
        relu: bool = True,
    ) -> list[Tensor]:
        return convolve(
            branches,
            filters,
            size,
            strides,
            functools.partial(layer_name, number),
            normalize(number),
            relu,
        )

    filters, wide = block.filters, 4 * block.filters
    shortcuts = branches
    if block.projects:
        shortcuts = convolve_at(0, branches, wide, 1, block.strides, relu=False)
    first, second = block.strides, 1
    if block.stride_on == "3x3":
        first, second = second, first
    branches = convolve_at(1, branches, filters, 1, first)
    branches = convolve_at(2, branches, filters, 3, second)
    branches = convolve_at(3, branches, wide, 1, 1, relu=False)
    if gate is not None:
        branches = gate(branches)
    branches = add(branches, shortcuts, name=f"{block.name}_add")
    return each(keras.layers.ReLU(name=f"{block.name}_output"), branches)


def check_stride_on(stride_on: str) -> None:
    if stride_on not in ("3x3", "1x1"):
        raise ValueError(
            '`stride_on` must be "3x3" or "1x1". '
            f"Received: stride_on={stride_on}"
        )
