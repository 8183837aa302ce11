import pytest


@pytest.fixture
def read_events():
    """Reads a folder back as TensorBoard does: scalars, then histograms."""
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    def read(folder):
        events = event_accumulator.EventAccumulator(str(folder))
        events.Reload()
        scalars, histograms = {}, {}
        for tag in events.Tags()["tensors"]:
            values = [
                tensor_util.make_ndarray(event.tensor_proto)
                for event in events.Tensors(tag)
            ]
            plugin = events.SummaryMetadata(tag).plugin_data.plugin_name
            if plugin == "scalars":
                scalars[tag] = [float(value) for value in values]
            elif plugin == "histograms":
                histograms[tag] = values
        return scalars, histograms

    return read
