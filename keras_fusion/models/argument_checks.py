from collections.abc import Iterable

from keras_fusion.models.branch_layers import channel_axis


def check_choice(argument: str, value: object, choices: Iterable[str]) -> None:
    """Raises ValueError unless the argument of this name is a choice."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(choices)}. "
            f"Received: {argument}={value}"
        )


def check_channels_last(layer: str) -> None:
    """Raises ValueError if the backend's channels are not the last axis."""
    if channel_axis() != -1:
        raise ValueError(
            '`image_data_format` of Keras must be "channels_last", as '
            f"{layer} has weights for the last axis. "
            "Received: image_data_format=channels_first"
        )
