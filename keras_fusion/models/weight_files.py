"""Arrays by name, from files that others have written; nothing in them runs."""

import importlib
import os
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

# What a module of PyTorch's data parallelism puts before every name.
PARALLEL = "module."


def read_arrays(file: str | os.PathLike[str], inside: str = "") -> Arrays:
    """The arrays of a `.npz`, `.safetensors` or PyTorch file.

    Args:
        file: Its path. What does not end in `.npz` or `.safetensors` is read
            as one of PyTorch, without unpickling anything but tensors.
        inside: Key of the dict with the arrays, where there is one around it.
    """
    path = os.fspath(file)
    read = _read_torch
    if path.endswith(".npz"):
        read = _read_numpy
    elif path.endswith(".safetensors"):
        read = _read_safetensors
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        found = read(path)
    except ImportError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{path} must be a whole file of arrays (.npz, .safetensors, or "
            f"one of PyTorch with nothing but tensors). Received: one that "
            f"cannot be read, {reason[0]}"
        ) from error
    return _named(found, inside, path)


def _named(found: Any, inside: str, path: str) -> Arrays:
    if isinstance(found, dict) and isinstance(found.get(inside), dict):
        found = found[inside]
    if not isinstance(found, dict) or not all(
        hasattr(value, "shape") for value in found.values()
    ):
        raise ValueError(
            f"{path} must hold arrays by name. Received: "
            f"{type(found).__name__} "
            f"{list(found)[:5] if isinstance(found, dict) else ''}"
        )
    arrays = {name: np.asarray(value) for name, value in found.items()}
    if arrays and all(name.startswith(PARALLEL) for name in arrays):
        arrays = {
            name.removeprefix(PARALLEL): value for name, value in arrays.items()
        }
    return arrays


def _read_numpy(path: str) -> Any:
    # A damaged archive is closed here, not by NumPy.
    with (
        open(path, "rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        return dict(arrays)


def _read_safetensors(path: str) -> Any:
    return _module("safetensors.numpy", "safetensors").load_file(path)


def _read_torch(path: str) -> Any:
    torch = _module("torch", "torch")
    return torch.load(path, map_location="cpu", weights_only=True)


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"Reading this file needs {package}: `pip install {package}`, or "
            "write its arrays with `numpy.savez` where it is installed."
        ) from error
