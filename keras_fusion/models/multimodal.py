import re
from collections.abc import Collection
from collections.abc import Sequence

import keras

from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.branch_fusion import BRANCH_FUSIONS
from keras_fusion.models.branch_fusion import NO_FUSION
from keras_fusion.models.branch_fusion import BranchFusion
from keras_fusion.models.branch_fusion_settings import BranchFusionSettings
from keras_fusion.models.branch_graph import BranchGraph
from keras_fusion.models.branch_graph import Fuse
from keras_fusion.models.branch_graph import is_functional
from keras_fusion.models.branch_graph import layer_names
from keras_fusion.models.branch_outputs import check_modalities
from keras_fusion.types import Tensor

# The key of maps that all modalities have become.
JOINED = "joined"
# Axes of maps: batch, height, width and channels.
MAPS = 4
# Of the names in a message.
SHOWN = 12


def multimodal(
    backbone: keras.Model,
    modalities: Sequence[str] = ("rgb", "depth"),
    fusion: str = "exchange",
    positions: Collection[str] | None = None,
    outputs: Sequence[str] | None = None,
    shared: bool = True,
    threshold: float = 0.02,
    l1: float = 0.0,
    penalized_only: bool = False,
    minimum_kept: float = 0.0,
    begin_step: int = 0,
    shrinkage: float = 0.0,
    gate_ratio: int = 16,
    alignment: float = 0.1,
    name: str | None = None,
) -> keras.Model:
    """A model of one image, from anywhere, for N aligned images.

    Takes any functional model with one input, from `keras.applications`, from
    KerasHub or of your own, and builds the same network for N modalities.
    Every layer is copied with its weights and called once for each of them;
    the backbone stays as it is. Every `keras.layers.BatchNormalization`
    becomes one `ChannelExchange`, in which each modality begins with the
    trained scales, shifts and statistics. As long as nothing is exchanged
    each branch computes what the backbone does, to the last bit.

    `fusion` is the name of one of `keras_fusion.models.BRANCH_FUSIONS`.
    Exchange happens in the normalizations that `positions` names, any other
    fusion behind the layers that it names. A fusion that joins the branches
    leaves one, which goes on through the rest of the backbone: such a
    position must not lie beside a shortcut, but behind the layer where the
    shortcut is added. Other normalizations stay as they are; without a
    `BatchNormalization` there is nothing to exchange.

    Args:
        backbone: Functional `keras.Model`, or built `keras.Sequential`, with
            one input. Models inside of it are opened: the name of a layer in
            them begins with theirs and `_`.
        modalities: Names of the inputs, all of the backbone's input shape. Tile
            an image of one channel to those of the others.
        fusion: Name of one of `keras_fusion.models.BRANCH_FUSIONS`.
        positions: Names of layers, or regular expressions that match a whole
            name. By default all batch normalizations, or for other fusions
            the backbone's last layer.
        outputs: Names of the layers whose maps are asked for, if not the
            backbone's own output.
        shared: Boolean, whether all modalities run through the same layers.
            If not, each has layers of its own, which start equal; their names
            end with `_` and the modality.
        threshold: Float, scale under which a channel is exchanged.
        l1: Float, weight of the penalty on the scales of the normalizations
            that exchange.
        penalized_only: Boolean, whether only channels under the penalty may
            be exchanged.
        minimum_kept: Float, share of its channels that each modality keeps
            in any case.
        begin_step: Integer, training steps before which nothing is exchanged.
        shrinkage: Float, what a penalized scale loses with every update, down
            to exactly 0.
        gate_ratio: Integer, channels that a gate sees for each of its hidden
            units.
        alignment: Float, at least 0. Weight of the loss of `"align"`, which
            is added once for each position.
        name: Name of the model, by default the backbone's.

    Returns:
        A functional `keras.Model`. Its input is a dict of images keyed by
        modality. Its output is a dict of maps keyed by modality, or by
        `"joined"` alone where branches were joined; with `outputs`, a dict of
        such dicts keyed by the layers' names.

    Raises:
        ValueError: If the backbone is not functional or has several inputs,
            if a position or output is no layer of it, if nothing in it can
            be exchanged, or if branches are joined beside a shortcut.

    Example:

    >>> backbone = keras.applications.MobileNetV2(
    ...     (64, 64, 3), alpha=0.35, include_top=False, weights=None
    ... )
    >>> model = keras_fusion.models.multimodal(
    ...     backbone,
    ...     modalities=("rgb", "thermal"),
    ...     positions=(r".*_depthwise_BN",),
    ...     outputs=("block_6_expand_relu", "out_relu"),
    ... )
    >>> for layer, maps in model.output.items():
    ...     print(layer, {name: image.shape for name, image in maps.items()})
    block_6_expand_relu {'rgb': (None, 8, 8, 96), 'thermal': (None, 8, 8, 96)}
    out_relu {'rgb': (None, 2, 2, 1280), 'thermal': (None, 2, 2, 1280)}

    Reference:

    - [Wang et al., 2020](https://arxiv.org/abs/2011.05005), for ResNet and
      U-Net; other backbones are ours.
    """
    check_backbone(backbone)
    check_modalities(modalities, reserved=JOINED)
    check_choice("fusion", fusion, BRANCH_FUSIONS)
    graph = keras.Model(backbone.inputs, backbone.outputs)
    record = BRANCH_FUSIONS[fusion] if len(modalities) > 1 else NO_FUSION
    places = find_places(backbone, record, positions)
    settings = BranchFusionSettings((), gate_ratio, alignment)
    walk = BranchGraph(
        modalities=tuple(modalities),
        shared=shared,
        exchange={
            "threshold": threshold,
            "l1": l1,
            "penalized_only": penalized_only,
            "minimum_kept": minimum_kept,
            "begin_step": begin_step,
            "shrinkage": shrinkage,
        },
        exchanging=places if record.exchanges else (),
        fuse={}
        if record.exchanges
        else {
            place: fusion_behind(record, place, settings) for place in places
        },
    )
    shape = graph.inputs[0].shape[1:]
    inputs = {
        modality: keras.Input(shape, name=modality) for modality in modalities
    }
    _, found = walk.run(graph, [list(inputs.values())])
    if outputs is not None:
        check_outputs(outputs, walk.maps)
        results = {
            layer: by_name(walk.maps[layer], modalities) for layer in outputs
        }
    elif len(found) == 1:
        results = by_name(found[0], modalities)
    else:
        results = {
            layer: by_name(maps, modalities)
            for layer, maps in zip(graph.output_names, found, strict=True)
        }
    model = keras.Model(inputs, results, name=name or backbone.name)
    walk.copy_weights()
    return model


def fusion_behind(
    record: BranchFusion, place: str, settings: BranchFusionSettings
) -> Fuse:
    def fuse(branches: list[Tensor]) -> list[Tensor]:
        if len(branches) == 1:
            return branches
        if len(branches[0].shape) != MAPS:
            raise ValueError(
                f"`fusion={record.name}` needs layers with maps in "
                "`positions`, of batch, height, width and channels. Received: "
                f"one with the output shape {branches[0].shape}"
            )
        return record.combine(branches, place, settings)

    return fuse


def by_name(maps: list[Tensor], modalities: Sequence[str]) -> dict[str, Tensor]:
    joined = len(maps) < len(modalities)
    return dict(zip([JOINED] if joined else modalities, maps, strict=True))


def find_places(
    backbone: keras.Model,
    record: BranchFusion,
    positions: Collection[str] | None,
) -> list[str]:
    """The layers where branches are fused, in the order of the graph."""
    layers = layer_names(backbone)
    if record.exchanges:
        layers = {
            name: layer
            for name, layer in layers.items()
            if isinstance(layer, keras.layers.BatchNormalization)
        }
        if not layers:
            raise ValueError(
                f"{backbone.name} has no `BatchNormalization`, so there is "
                f"nothing to exchange. Received: fusion={record.name}. "
                "Choose another fusion."
            )
    if positions is None:
        return list(layers) if record.exchanges else list(layers)[-1:]
    for pattern in positions:
        if not any(re.fullmatch(pattern, name) for name in layers):
            kind = "batch normalization" if record.exchanges else "layer"
            raise ValueError(
                f"Each of `positions` must match a {kind} of {backbone.name}. "
                f"Received: {pattern!r}, which matches none of "
                f"{_some_of(layers)}"
            )
    return [
        name
        for name in layers
        if any(re.fullmatch(pattern, name) for pattern in positions)
    ]


def check_backbone(backbone: keras.Model) -> None:
    if not is_functional(backbone) or len(backbone.inputs) != 1:
        raise ValueError(
            "`backbone` must be a functional `keras.Model` with one input. "
            f"Received: backbone={backbone}"
        )


def check_outputs(outputs: Sequence[str], layers: Collection[str]) -> None:
    for name in outputs:
        if name not in layers:
            raise ValueError(
                "Each of `outputs` must be the name of a layer. "
                f"Received: {name!r}, which is none of {_some_of(layers)}"
            )


def _some_of(names: Collection[str]) -> str:
    shown = list(names)
    if len(shown) > SHOWN:
        shown = [*shown[: SHOWN - 1], "...", shown[-1]]
    return ", ".join(shown)
