"""What the site has beside the pages in this folder.

The README, CONTRIBUTING and CHANGELOG of the checkout, the tables under
`benchmarks/results`, and a page for every public name of the library, made
from its docstring. Links between them lead within the site; links to other
files of the checkout, which the site does not have, become plain text.
"""

import pathlib
import posixpath
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
COPIED = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
RESULTS = "benchmarks/results"
MODULES = (
    "layers",
    "losses",
    "metrics",
    "models",
    "inference",
    "optimizers",
    "callbacks",
)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config):
    config.nav = [
        *config.nav[:4],
        {"API": ["api.md", *api_sections()]},
        config.nav[4],
        {"Tables": [result_page(path) for path in result_files()]},
        *config.nav[5:],
    ]
    return config


def on_files(files, config):
    made = {page: read(source) for page, source in COPIED.items()}
    made |= {result_page(path): path.read_text() for path in result_files()}
    made["api.md"] = overview()
    for module in modules():
        for name in public_names(module):
            made[page_of(module, name)] = f"::: keras_fusion.{module}.{name}\n"
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    known = {file.src_uri for file in files}
    here = page.file.src_uri
    source = COPIED.get(here, f"docs/{here}")
    if here.startswith("results/"):
        source = f"{RESULTS}/{pathlib.PurePosixPath(here).name}"

    def rewritten(match):
        mark, text, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match.group()
        path, _, anchor = target.partition("#")
        found = site_place(posixpath.normpath(f"{source}/../{path}"))
        if found not in known:
            return text
        link = posixpath.relpath(found, posixpath.dirname(here) or ".")
        return f"{mark}[{text}]({link}{'#' + anchor if anchor else ''})"

    return LINK.sub(rewritten, markdown)


def site_place(path):
    """The page, or picture, that a file of the checkout is on the site."""
    copies = {source: page for page, source in COPIED.items()}
    if path in copies:
        return copies[path]
    if path.startswith(RESULTS):
        return f"results/{pathlib.PurePosixPath(path).name}"
    return path.removeprefix("docs/")


def read(name):
    return (ROOT / name).read_text()


def result_files():
    return sorted((ROOT / RESULTS).glob("*.md"))


def result_page(path):
    return f"results/{path.name}"


def modules():
    folder = ROOT / "keras_fusion"
    return [name for name in MODULES if (folder / name).is_dir()]


def public_names(module):
    """The names in `__all__`, of which a record of names is none to show."""
    text = (ROOT / "keras_fusion" / module / "__init__.py").read_text()
    listed = re.search(r"__all__ = \[(.*?)\]", text, re.S).group(1)
    return re.findall(r'"(\w+)"', listed)


def page_of(module, name):
    return f"api/{module}/{name}.md"


def api_sections():
    return [
        {module: [{n: page_of(module, n)} for n in public_names(module)]}
        for module in modules()
    ]


def overview():
    lines = ["# API", ""]
    for module in modules():
        lines += [f"## keras_fusion.{module}", ""]
        lines += [
            f"- [{name}]({page_of(module, name)})"
            for name in public_names(module)
        ]
        lines.append("")
    return "\n".join(lines)
