"""The wheel, installed where nothing else is: `make test-install`."""

import email
import os
import subprocess
import sys
import venv
import zipfile

import pytest

from tests import pages

pytestmark = pytest.mark.install

# The backend of Keras that is quickest to install.
BACKEND = "jax"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # By way of the source distribution, so that nothing of an earlier build
    # in this checkout gets in.
    run(sys.executable, "-m", "build", "--outdir", folder, pages.ROOT)
    [wheel] = folder.glob("*.whl")
    return wheel


def run(*command, **environment):
    """What a command prints."""
    finished = subprocess.run(
        list(map(str, command)),
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert not finished.returncode, finished.stdout + finished.stderr
    return finished.stdout


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_library_only(wheel):
    library = {
        path.relative_to(pages.ROOT).as_posix()
        for path in (pages.ROOT / "keras_fusion").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    metadata = {name for name in contents(wheel) if ".dist-info/" in name}
    assert contents(wheel).keys() - metadata == library
    assert "keras_fusion/py.typed" in library
    assert {"LICENSE", "METADATA"} <= {x.rsplit("/")[-1] for x in metadata}


def test_the_wheel_asks_for_keras_and_numpy_only(wheel):
    [text] = [
        content.decode()
        for name, content in contents(wheel).items()
        if name.endswith("/METADATA")
    ]
    required = email.message_from_string(text).get_all("Requires-Dist")
    always = [line for line in required if "extra ==" not in line]
    assert sorted(line.split(">")[0] for line in always) == ["keras", "numpy"]


def test_the_first_snippet_of_the_readme_runs_on_the_wheel(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    # -I: nothing but what is installed there can be imported.
    run(python, "-I", "-m", "pip", "install", f"{wheel}[{BACKEND}]")
    snippet = tmp_path / "snippet.py"
    snippet.write_text(pages.snippets(pages.README, "python")[0])
    settings = {"KERAS_BACKEND": BACKEND, "KERAS_HOME": str(tmp_path)}
    assert "accuracy" in run(python, "-I", snippet, **settings)
    missing = "import importlib.util as u; print(u.find_spec('tensorflow'))"
    assert run(python, "-I", "-c", missing).strip() == "None"
