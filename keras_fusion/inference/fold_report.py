import dataclasses


@dataclasses.dataclass(frozen=True)
class FoldReport:
    """What `keras_fusion.inference.fold` did to a model.

    Printed, it says so in a few lines.

    Attributes:
        folded: Names of the normalizations that went into the layers before
            them.
        merged: Names of the ensembles that became a weighted sum before a
            single classifier, or of a single branch nothing at all.
        left: The normalizations that stay, with the reason.
        channels_cut: Integer, output channels of convolutions and dense
            layers that are not computed any more, each counted once for each
            modality.
        multiplications_before: Integer, multiplications by kernels for one
            sample. Sizes that the model leaves open count as 128.
        multiplications_after: The same after folding.

    Example:

    >>> x = keras.Input((4,))
    >>> model = keras.Model(x, keras.layers.Dense(3)(x))
    >>> print(keras_fusion.inference.fold(model).report)
    Nothing to fold: 12 multiplications.
    """

    folded: tuple[str, ...]
    merged: tuple[str, ...]
    left: dict[str, str]
    channels_cut: int
    multiplications_before: int
    multiplications_after: int

    def __str__(self) -> str:
        count = self.multiplications_after
        first = f"Nothing to fold: {count:,} multiplications."
        if self.folded or self.merged or self.channels_cut:
            first = (
                f"Folded {len(self.folded)} normalizations, merged "
                f"{len(self.merged)} ensembles, cut {self.channels_cut} "
                f"channels: {self.multiplications_before:,} multiplications "
                f"before, {count:,} after."
            )
        left = [f"Left {name}: {why}." for name, why in self.left.items()]
        return "\n".join([first, *left])
