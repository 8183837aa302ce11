import ast
import importlib
import inspect
import pathlib
import re
import sys
import tomllib

import keras
import pytest

import applications
from tests.docstrings import run_example

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("keras_fusion", "applications", "tuning", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
LIBRARY = [
    path for path in SOURCES if path.is_relative_to(ROOT / "keras_fusion")
]
PACKAGES = [path for path in LIBRARY if path.name == "__init__.py"]

# What is imported by whom: each line may import the lines above it.
ORDER = [
    "keras_fusion.replicas",
    "keras_fusion.distribution",
    "keras_fusion.layers",
    "keras_fusion.models",
    "keras_fusion.inference",
    "applications",
    "tuning",
]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Packages whose distribution has another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "google": "protobuf",
    "grpc": "grpcio",
    "sklearn": "scikit-learn",
}


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(nodes):
    """Yields the full name of every module or object imported in `nodes`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parse(path):
    return ast.parse(path.read_text())


def within(name, package):
    return f"{name}.".startswith(f"{package}.")


def rank(name):
    places = [i for i, package in enumerate(ORDER) if within(name, package)]
    return places[0] if places else None


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_flow_one_way(path):
    own = rank(module_of(path))
    measures = within(module_of(path), "benchmarks")
    for name in imports(ast.walk(parse(path))):
        assert not within(name, "tests")
        assert measures or not within(name, "benchmarks")
        if own is not None and rank(name) is not None:
            assert rank(name) <= own, f"{module_of(path)} imports {name}"


def test_tasks_do_not_import_each_other():
    tasks = set(applications.TASKS)
    for task in tasks:
        for path in (ROOT / "applications" / task).rglob("*.py"):
            for name in imports(ast.walk(parse(path))):
                first, second, *_ = f"{name}.".split(".")
                others = tasks - {task}
                assert first != "applications" or second not in others, path


@pytest.mark.parametrize("path", LIBRARY, ids=module_of)
def test_library_imports_tensorflow_only_when_it_is_used(path):
    tree = parse(path)
    for name in imports(tree.body):
        assert not within(name, "tensorflow"), "import it in the function"
    module = module_of(path)
    may = within(module, "keras_fusion.callbacks") or (
        module in ("keras_fusion.distribution", "keras_fusion.replicas")
    )
    everywhere = imports(ast.walk(tree))
    assert may or not any(within(name, "tensorflow") for name in everywhere)


@pytest.mark.parametrize("path", LIBRARY, ids=module_of)
def test_library_imports_keras_and_numpy_only(path):
    # TensorFlow is the concern of the test above.
    known = {"keras", "keras_fusion", "numpy", "tensorflow"}
    for name in imports(ast.walk(parse(path))):
        assert name.split(".")[0] in known | sys.stdlib_module_names


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] in ("applications", "tuning")
    ],
    ids=module_of,
)
def test_what_applications_import_is_declared(path):
    extras = PROJECT["optional-dependencies"]
    required = [
        *PROJECT["dependencies"],
        *(
            line
            for x in ("applications", "captioning", "hub", "onnx", "optuna")
            for line in extras[x]
        ),
    ]
    declared = {re.match("[\\w-]+", line).group() for line in required}
    ours = {"applications", "keras_fusion", "tuning"}
    for name in imports(ast.walk(parse(path))):
        top = name.split(".")[0]
        if top not in ours | sys.stdlib_module_names:
            distribution = DISTRIBUTIONS.get(top, top.replace("_", "-"))
            assert distribution in declared, name


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="Keras imports it itself"
)
def test_other_backends_do_without_tensorflow():
    importlib.import_module("keras_fusion")
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_are_named_for_what_is_in_them(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    assert not {"utils", "common", "helpers", "misc"} & set(parts)
    assert not path.name.startswith("base_")


@pytest.mark.parametrize("path", PACKAGES, ids=module_of)
def test_what_the_library_offers_is_documented_by_itself(path):
    module = importlib.import_module(module_of(path))
    assert inspect.getdoc(module)
    for name in getattr(module, "__all__", ()):
        offered = getattr(module, name)
        # A class would inherit the text of its base.
        own = vars(offered) if inspect.isclass(offered) else dir(offered)
        assert "__doc__" in own and offered.__doc__, name


@pytest.mark.parametrize("path", PACKAGES, ids=module_of)
def test_examples_in_docstrings_run(path):
    module = importlib.import_module(module_of(path))
    for name in getattr(module, "__all__", ()):
        run_example(getattr(module, name), name)
