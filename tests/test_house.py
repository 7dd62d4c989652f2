"""The house is in order: what `import sopilib` loads, how long functions are, what is documented, what imports what."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sopilib
from sopilib import needed

ROOT = Path(__file__).parents[1]
LONGEST = 60
"""lines of a function, with its signature and docstring"""
NO_JOB = ("utils", "util", "helpers", "common", "misc", "manager")
HEAVY = (
    *("torch", "soundfile", "soxr", "sounddevice", "crc32c", "pythonosc", "aiohttp", "zeroconf"),
    *("matplotlib", "tensorboard", "optuna", "ray", "filelock", "asyncio", "multiprocessing", "argparse"),
    *("sopilib.checkpoint.importers", "sopilib.checkpoint.readers", "sopilib.native._native", "sopilib.cli"),
    *("sopilib.live", "sopilib.osc", "sopilib.hosts", "sopilib.train", "sopilib.score", "sopilib.render"),
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository."""
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found
    return found


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def in_a_fresh_process(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)


# ---------------------------------------------------------------- what is loaded, and when


def test_importing_sopilib_loads_neither_importers_nor_soundfile_nor_torch() -> None:
    done = in_a_fresh_process("import sopilib, sys; print(*sys.modules, sep='\\n')")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "sopilib" in loaded
    assert not loaded & set(HEAVY)


def test_a_model_of_ours_loads_without_importers() -> None:
    script = "import sopilib, sys; sopilib.load('tabla'); print(*sys.modules, sep='\\n')"
    done = in_a_fresh_process(script)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & {"sopilib.checkpoint.importers", "crc32c", "torch", "soundfile"}


def test_without_crc32c_only_a_tensorflow_checkpoint_is_refused_and_in_one_sentence() -> None:
    fixtures = ROOT / "tests" / "fixtures"
    run = sorted(path for path in (fixtures / "prism").iterdir() if path.is_dir())[0]
    script = (
        "import sys; sys.modules['crc32c'] = None\n"
        "import sopilib, sopilib.checkpoint.importers\n"
        f"try: sopilib.load({str(run)!r})\n"
        "except sopilib.SopiError as e: print(e)\n"
    )
    done = in_a_fresh_process(script)
    assert done.stderr == ""
    assert f"crc32c: {shlex.join([sys.executable, '-m', 'pip', 'install', 'crc32c'])}" in done.stdout
    assert done.stdout.count("\n") == 1


def test_what_is_missing_is_installed_by_the_pip_of_the_python_that_runs() -> None:
    assert needed.pip("sopilib[train]") == shlex.join([sys.executable, "-m", "pip", "install", "sopilib[train]"])
    elsewhere = [path.name for path in sources("sopilib") if "pip install 'sopilib" in path.read_text()]
    assert elsewhere == []


def test_the_version_stands_in_one_place() -> None:
    assert sopilib.__version__.count(".") == 2
    told = [p for p in (ROOT / "pyproject.toml", ROOT / "sopilib" / "__init__.py") if _says(p, sopilib.__version__)]
    assert [p.name for p in told] == ["__init__.py"]


def _says(path: Path, version: str) -> bool:
    return f'"{version}"' in path.read_text()


# ---------------------------------------------------------------- which way the arrows point


def imports(path: Path, top_only: bool = True) -> Iterator[str]:
    """The modules of sopilib that a file imports when it is imported itself: not in functions, not for types alone."""
    body: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while body:
        node = body.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if _is_module(name) else node.module for name in inside)
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{shown(path)}:{node.lineno}: a relative import, expected the whole name")
        elif isinstance(node, ast.Try):
            body += [*node.body, *node.orelse, *node.finalbody]
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            body += [*node.body, *node.orelse]


def test_no_module_imports_itself_in_a_circle() -> None:
    files = {_module(path): path for path in sources("sopilib")}
    graph = {name: {i for i in imports(path) if i in files and i != name} for name, path in files.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a circle: {' -> '.join([*way[way.index(name) :], name])}"
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_module_is_called_after_no_job() -> None:
    assert not [shown(path) for path in sources("sopilib", "pd", "tests") if path.stem in NO_JOB]


# ---------------------------------------------------------------- what a reader needs


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{shown(path)}:{node.lineno}: {node.name} has {_lines(node)} lines"
        for path in sources("sopilib", "pd")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, Function) and _lines(node) > LONGEST
    ]
    assert not long, "\n".join(long)


def _lines(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_everything_public_has_a_docstring() -> None:
    bare = []
    for path in sources("sopilib"):
        tree = ast.parse(path.read_text())
        if ast.get_docstring(tree) is None:
            bare.append(shown(path))
        bare += [f"{shown(path)}:{line}: {name}" for name, line in undocumented(tree)]
    assert not bare, "\n".join(bare)


def undocumented(parent: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Name and line of each class, function and method without docstring, those with a leading underscore left out."""
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        setter = any(ast.unparse(d).endswith((".setter", "overload")) for d in node.decorator_list)
        if ast.get_docstring(node) is None and not setter:
            yield prefix + node.name, node.lineno
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node, f"{prefix}{node.name}.")
