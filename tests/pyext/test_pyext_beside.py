"""Another library that is called py and has [pyext] and [pyext~], in the same Pd, as some machines have one."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from pyext_host import EXTERNAL, Patch, Pd, starting

OURS = [EXTERNAL, EXTERNAL.parent]
OTHER = """
#include <m_pd.h>
#ifdef PYTHON
#include <Python.h>
#endif
static t_class *c;
static void *make(t_symbol *s, int argc, t_atom *argv)
{
    (void)argc, (void)argv;
    post("the other library's %s", s->s_name);
    return pd_new(c);
}
void py_setup(void)
{
    c = class_new(gensym("pyext"), (t_newmethod)make, 0, sizeof(t_object), 0, A_GIMME, 0);
    class_addcreator((t_newmethod)make, gensym("pyext~"), A_GIMME, 0);
#ifdef PYTHON
    Py_InitializeEx(0);
    PyRun_SimpleString(PYTHON);
    PyEval_SaveThread();
#endif
}
"""


def build(folder: Path, *flags: str) -> Path:
    """The other library, in a folder of its own -> that folder."""
    folder.mkdir()
    (folder / "py.c").write_text(OTHER)
    library, source = str(folder / "py.pd_linux"), str(folder / "py.c")
    command = ["gcc", "-shared", "-fPIC", "-DPD", "-isystem", "/usr/include/pd", "-o", library, source]
    subprocess.run([*command, *flags], check=True)
    return folder


@pytest.fixture
def other(pd: Pd) -> Path:
    return build(pd.folder / "other")


def said(pd: Pd, patch: Patch, folders: list[Path], *libraries: str, ms: float = 300) -> list[str]:
    """What a Pd prints that looks into these folders, the first one first, and loads these libraries at its start."""
    patch.send(ms, "pd quit")
    (pd.folder / "patch.pd").write_text(patch.text())
    command = ["pd", "-noprefs", "-nogui", "-noaudio", "-batch"]
    for folder in folders:
        command += ["-path", str(folder)]
    for library in libraries:
        command += ["-lib", library]
    done = subprocess.run(
        [*command, "-open", "patch.pd"],
        cwd=pd.folder,
        env=pd.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    return (done.stdout + done.stderr).splitlines()


def with_samplernn() -> Patch:
    patch = Patch()
    patch.prints(patch.obj("samplernn~ tabla"), 1, "status")
    return patch


def test_our_patches_play_though_another_py_was_loaded_before(pd: Pd, other: Path) -> None:
    patch = with_samplernn()
    patch.obj("pyext any class")
    patch.obj("pyext~ any class")
    lines = said(pd, patch, [other, *OURS], "py")
    assert "status: loaded tabla 16000" in lines
    assert starting(lines, "the other") == ["the other library's pyext", "the other library's pyext~"]
    assert starting(lines, "sopi: another") == [
        "sopi: another library has [pyext], [pyext~], and keeps it; ours are [sopi] and [sopi~]"
    ]
    assert not starting(lines, "error")


def test_our_patches_play_though_another_py_is_loaded_later(pd: Pd, other: Path) -> None:
    patch = with_samplernn()
    patch.obj("pyext any class")
    lines = said(pd, patch, [other, *OURS], "sopi", "py")
    assert "status: loaded tabla 16000" in lines
    assert starting(lines, "the other", "error") == ["the other library's pyext"]


def test_an_old_patch_that_names_py_gets_ours_where_there_is_no_other(pd: Pd, external: Path) -> None:
    patch = with_samplernn()
    patch.declare(f"-path {EXTERNAL} -lib py")
    box = patch.obj("pyext~ 1 1 1 1 samplernn_pd samplernn")
    patch.prints(box, 1, "old")
    patch.inlet(box, 1, "to-the-class")
    patch.send(20, "to-the-class load tabla")
    lines = said(pd, patch, [EXTERNAL.parent])
    assert "status: loaded tabla 16000" in lines and "old: loaded tabla 16000" in lines
    assert len(starting(lines, "sopi: Python ")) == 1, lines
    assert not starting(lines, "error", "sopi: another")


def test_two_names_of_the_library_in_two_folders_start_it_once(pd: Pd, external: Path) -> None:
    second = pd.folder / "second"
    second.mkdir()
    for file in (EXTERNAL / "py.pd_linux", *EXTERNAL.glob("pyext-*.so")):
        (second / file.name).write_bytes(file.read_bytes())
    lines = said(pd, with_samplernn(), [second, *OURS], "sopi", "py")
    assert "status: loaded tabla 16000" in lines
    assert len(starting(lines, "sopi:")) == 1 and not starting(lines, "error")


def test_our_patches_play_in_the_python_of_another_py_and_leave_its_module_alone(pd: Pd, external: Path) -> None:
    (pd.folder / "looks.py").write_text(
        "import sys, sopi\n"
        "class looks(sopi._class):\n"
        "    def __init__(self):\n"
        "        print('its module', sorted(name for name in vars(sys.modules['pyext']) if name[:2] != '__'))\n"
    )
    (pd.folder / "lost.py").write_text("import pyext\nclass lost(pyext._class): pass\n")
    # what a class that the other library has loaded before looks like: it inherits the other's
    python = (
        "import site, sys, types\n"
        "module = sys.modules['pyext'] = types.ModuleType('pyext')\n"
        "module._class = type('_class', (), {})\n"
        f"sys.path.append({str(EXTERNAL.parent)!r})\n"
        f"site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        "import samplernn_pd\n"
    )
    text = '"' + python.replace("\n", "\\n") + '"'
    variables = sysconfig.get_config_vars()
    library = [f"-L{variables['LIBDIR']}", f"-Wl,-rpath,{variables['LIBDIR']}", f"-lpython{variables['LDVERSION']}"]
    include = ["-isystem", sysconfig.get_path("include")]
    other = build(pd.folder / "other", f"-DPYTHON={text}", *include, *library)
    patch = with_samplernn()
    for box in ("sopi looks looks", "sopi lost lost"):
        patch.obj(box)
    lines = said(pd, patch, [other, *OURS], "py")
    assert "status: loaded tabla 16000" in lines, lines
    assert "its module ['_class']" in lines
    assert starting(lines, "error") == [
        "error: lost.lost: TypeError: class lost of lost must inherit sopi._class (import sopi): pyext is another "
        "library's here"
    ]
    assert starting(lines, "sopi: Python ") == [f"sopi: Python {sys.version.split()[0]} of another library"]
