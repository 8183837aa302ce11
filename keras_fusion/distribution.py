"""Training on several devices and machines with TensorFlow.

TensorFlow is imported when a function needs it, so that the library can be
imported on any backend.
"""

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import TypeAlias

import keras

from keras_fusion import tf_config

Strategy: TypeAlias = Any
"""A `tf.distribute.Strategy`."""

STRATEGIES = ("one", "mirrored", "multi_worker")


def get_strategy(name: str, devices: int | None = None) -> Strategy:
    """The `tf.distribute` strategy called `name`.

    Call it before TensorFlow runs anything: logical CPUs and the links
    between workers can only be set up then.

    Args:
        name: `"one"` (a single device, TensorFlow's default strategy),
            `"mirrored"` (all devices of this machine) or `"multi_worker"`
            (several processes, each with its `TF_CONFIG`; scalars and nested
            batches are reduced as Keras needs it, so that `fit`, `evaluate`
            and `predict` work unchanged).
        devices: Number of replicas on this machine. None means all GPUs, or
            one CPU. Without GPUs, `"mirrored"` makes that many logical CPUs.

    Returns:
        A `tf.distribute.Strategy`; the same one when asked again.

    Raises:
        ValueError: If the name is unknown, there are fewer devices than asked
            for, or `TF_CONFIG` is missing or malformed.
    """
    if name not in STRATEGIES:
        raise ValueError(
            f"`name` must be one of {', '.join(STRATEGIES)}. "
            f"Received: name={name!r}"
        )
    if devices is not None and devices < 1:
        raise ValueError(
            f"`devices` must be at least 1. Received: devices={devices}"
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`KERAS_BACKEND` must be tensorflow for strategies. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    if name == "one":
        return _one(devices)
    return _mirrored(devices) if name == "mirrored" else _multi_worker(devices)


def _one(devices: int | None) -> Strategy:
    import tensorflow as tf

    if devices not in (None, 1):
        raise ValueError(
            "`devices` must be 1 or None with strategy 'one', which uses one "
            f"device; use 'mirrored' for more. Received: devices={devices}"
        )
    return tf.distribute.get_strategy()


def _mirrored(devices: int | None) -> Strategy:
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus:
        return _mirrored_over("GPU", _at_most(devices, gpus))
    count = devices or 1
    _make_logical_cpus(count)
    return _mirrored_over("CPU", count)


@functools.cache
def _mirrored_over(kind: str, count: int) -> Strategy:
    """One strategy a process: a second over the same devices would number its
    collective operations from the start again, and TensorFlow stops where a
    number comes back with another shape. CPUs share their memory, so that
    they add up on one device without such operations."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(
        [f"{kind}:{index}" for index in range(count)],
        tf.distribute.ReductionToOneDevice() if kind == "CPU" else None,
    )


def _at_most(devices: int | None, gpus: int) -> int:
    if devices is not None and devices > gpus:
        raise ValueError(
            f"`devices` must be at most the number of GPUs here, {gpus}. "
            f"Received: devices={devices}"
        )
    return devices or gpus


def _make_logical_cpus(count: int) -> None:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise ValueError(
            f"TensorFlow has already started with fewer than {count} CPUs, and "
            "their number cannot change any more. Call `get_strategy` before "
            "anything else uses TensorFlow."
        ) from error


def _multi_worker(devices: int | None) -> Strategy:
    import tensorflow as tf

    tf_config.check()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(
            gpus[: _at_most(devices, len(gpus))], "GPU"
        )
    elif devices not in (None, 1):
        raise ValueError(
            "`devices` must be 1 or None with strategy 'multi_worker' on "
            "CPUs, which runs one replica in each process; start more workers "
            f"instead. Received: devices={devices}"
        )
    try:
        return _worker_strategy()
    except RuntimeError as error:
        raise ValueError(
            f"The workers could not be linked: {error}. Call `get_strategy` "
            "before anything else uses TensorFlow."
        ) from error


@functools.cache
def _worker_strategy() -> Strategy:
    import tensorflow as tf

    class MultiWorkerStrategy(tf.distribute.MultiWorkerMirroredStrategy):
        """Reduces what Keras 3 hands it: nested batches and scalar logs.

        TensorFlow reduces one value at a time and along axis 0 only where
        there is one. Keras asks for the mean of a whole batch, to see its
        shapes, and for the mean of scalars with `axis=0`.
        """

        def reduce(
            self, reduce_op: Any, value: Any, axis: int | None = None
        ) -> Any:
            if not keras.tree.is_nested(value):
                return self._reduce_one(reduce_op, value, axis)
            return keras.tree.map_structure(
                lambda part: self._part_of_batch(reduce_op, part, axis), value
            )

        def _reduce_one(
            self, reduce_op: Any, value: Any, axis: int | None
        ) -> Any:
            if self._local(value).shape.rank == 0:
                axis = None
            return super().reduce(reduce_op, value, axis)

        def _part_of_batch(
            self, reduce_op: Any, value: Any, axis: int | None
        ) -> Any:
            # Images as bytes and words have no mean, and a last batch can
            # differ in length between workers: the local part shows the
            # shape as well.
            local = self._local(value)
            if axis is None and local.shape.rank:
                return local
            return self._reduce_one(reduce_op, value, axis)

        def _local(self, value: Any) -> Any:
            return tf.convert_to_tensor(
                self.experimental_local_results(value)[0]
            )

    return MultiWorkerStrategy()


def is_chief(strategy: Strategy) -> bool:
    """Whether this process writes the files: always, but for other workers."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_type == "worker" and resolver.task_id == 0


def worker_path(path: str | Path, strategy: Strategy) -> str:
    """`path` for the chief, a folder to throw away for other workers.

    Every worker must save, because reading a distributed variable can need
    all of them, but only one may write to a folder that they share.
    """
    if is_chief(strategy):
        return str(path)
    temporary = tempfile.mkdtemp(prefix="keras-fusion-worker-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return temporary


@contextlib.contextmanager
def chief_first(strategy: Strategy) -> Iterator[None]:
    """Lets the chief go through the block before the other workers.

    For work on a shared folder, such as preparing a dataset.
    """
    if not is_chief(strategy):
        wait_for_all(strategy)
    yield
    if is_chief(strategy):
        wait_for_all(strategy)


def wait_for_all(strategy: Strategy) -> None:
    """Returns once every worker has come this far."""
    import tensorflow as tf

    if strategy.cluster_resolver is not None:
        one = strategy.run(lambda: tf.constant(1.0))
        strategy.reduce("SUM", one, axis=None)


def check_batch_size(batch_size: int, strategy: Strategy) -> None:
    """Raises ValueError unless every replica gets an equal share."""
    count = strategy.num_replicas_in_sync
    if batch_size < count or batch_size % count:
        raise ValueError(
            "`batch_size` must be a multiple of the number of replicas, as "
            f"it counts the examples of all of them: {count}. "
            f"Received: batch_size={batch_size}"
        )


def check_compiled(model: keras.Model, strategy: Strategy) -> None:
    """Raises ValueError for compile options that fail with several replicas.

    Keras accepts them and `fit` then stops with an error of TensorFlow's, or
    hangs.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    if model.steps_per_execution > 1:
        raise ValueError(
            "`steps_per_execution` must be 1 with several replicas, as `fit` "
            "cannot feed a distributed batch into its inner loop. "
            f"Received: steps_per_execution={model.steps_per_execution}"
        )
    if model.jit_compile:
        raise ValueError(
            "`jit_compile` must be 'auto' or False with several replicas, as "
            "XLA cannot compile the exchange between them. "
            f"Received: jit_compile={model.jit_compile}"
        )
    if steps := _gradient_accumulation_steps(model.optimizer):
        raise ValueError(
            "`gradient_accumulation_steps` must be None with several replicas, "
            "as gradients cannot be exchanged inside a conditional; use a "
            "larger batch, or more replicas, instead. "
            f"Received: gradient_accumulation_steps={steps}"
        )


def _gradient_accumulation_steps(
    optimizer: keras.optimizers.Optimizer | None,
) -> int | None:
    while optimizer is not None:
        if steps := getattr(optimizer, "gradient_accumulation_steps", None):
            return steps
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return None
