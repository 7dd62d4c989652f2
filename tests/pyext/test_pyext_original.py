"""What the original pyext does, [pyext] does here too: found by running both side by side."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from pyext_host import Patch, Pd, starting


def boxed(text: str, inlets: int = 1, outlets: int = 1) -> tuple[Patch, int]:
    """A patch with one object: `in1`, `in2`, ... reach its message inlets, `control` the leftmost."""
    patch = Patch()
    box = patch.obj(text)
    patch.inlet(box, 0, "control")
    for k in range(inlets):
        patch.inlet(box, k + 1, f"in{k + 1}")
    for k in range(outlets):
        patch.prints(box, k, f"out{k + 1}")
    return patch, box


# ---------------------------------------------------------------- dynamic patching


def garden(detach: int = 0) -> Patch:
    """A patch with the sub-patch `garden`, which has 2 boxes: the object, and what its messages come from."""
    patch = Patch()
    patch.subpatch("garden", f"pyext original flower @detach {detach}", "r in1")
    patch.boxes[-1] = patch.boxes[-1].replace("\n#X restore", "\n#X connect 1 0 0 1;\n#X restore")
    return patch


@pytest.mark.parametrize("detach", [0, 1, 2])
def test_an_object_patches_a_flower_of_14_boxes_and_13_cords(pd: Pd, detach: int) -> None:
    patch = garden(detach)
    patch.send(20, f"in1 bloom 2 flower.pd {pd.folder}")
    lines = pd.run(patch, ms=1000, batch=False)
    assert not [line for line in lines if "no method" in line or "error" in line.lower()]
    saved = (pd.folder / "flower.pd").read_text()
    boxes, cords = (re.findall(rf"^#X {kind} ", saved, re.M) for kind in ("obj", "connect"))
    assert (len(boxes), len(cords)) == (2 + 14, 1 + 13)
    assert len(re.findall(r"print petal-\d+;", saved)) == 13


def test_a_message_to_the_patch_may_be_a_single_word_and_come_from_a_thread(pd: Pd) -> None:
    patch = garden()
    patch.send(20, f"in1 later before.pd {pd.folder}")
    patch.send(1000, "in1 wilt")
    patch.send(1200, f"pd-garden savetofile after.pd {pd.folder}")
    pd.run(patch, ms=1400, batch=False)
    assert "print from-a-thread" in (pd.folder / "before.pd").read_text()
    assert "#X obj" not in (pd.folder / "after.pd").read_text()


# ---------------------------------------------------------------- lists


def test_a_list_of_one_item_or_none_reaches_the_method_for_lists(pd: Pd) -> None:
    patch, box = boxed("pyext original lists", inlets=3, outlets=0)
    for name, text in (("append", "list append"), ("pack", "pack f"), ("split", "list split 1")):
        source = patch.obj(text)
        patch.inlet(source, 0, name)
        patch.connect(source, 0, box, 1)
    sent = {
        "in1 list 5": "list_1 (5,)",
        "in1 list a": "list_1 (<Symbol a>,)",
        "in1 list": "list_1 ()",
        "append 6": "list_1 (6,)",
        "append bang": "list_1 ()",
        "pack 7": "list_1 (7,)",
        "split 8 9": "list_1 (8,)",
        "in1 10": "float_1 10",
        "in1 symbol b": "symbol_1 b",
        "in1 bang": "bang_1",
        "in2 list": "_anything_2 ()",
        "in2 list 1": "_anything_2 (1,)",
        "in3 list": "_anything_ 3 ()",
        "in3 list c": "_anything_ 3 (<Symbol c>,)",
    }
    for i, message in enumerate(sent):
        patch.send(10 + i, message)
    lines = starting(pd.run(patch), "list_1", "float_1", "symbol_1", "bang_1", "_anything")
    assert lines == list(sent.values())


# ---------------------------------------------------------------- stop


@pytest.mark.parametrize("detach", [1, 2])
def test_stop_ends_queued_calls_too_until_its_time_is_over(pd: Pd, detach: int) -> None:
    """With @detach 1 calls wait in a queue while one runs, with @detach 2 each begins on a thread of its own."""
    patch, box = boxed(f"pyext original stopped @detach {detach}")
    patch.send(20, "in1 until")
    begun, early, stop = patch.obj("t b b b"), patch.msg("work early"), patch.msg("stop 800")
    patch.connect(early, 0, box, 1)
    patch.connect(stop, 0, box, 0)
    patch.connect(box, 0, begun, 0)
    if detach == 1:  # on a thread of its own it would have begun before `stop`
        patch.connect(begun, 2, early, 0)
    patch.connect(begun, 1, stop, 0)
    patch.connect(begun, 0, early, 0)
    for ms in (1500, 2000, 2500, 3000):
        patch.send(ms, "in1 work later")
    first, *others = starting(pd.run(patch, ms=3200, batch=False), "asked", "work")
    assert first == "asked to end"
    assert set(others) == {"work later False"}


# ---------------------------------------------------------------- attributes


def test_a_class_may_have_attributes_of_any_name_of_its_own(pd: Pd) -> None:
    patch, _ = boxed("pyext original own_names")
    patch.send(10, "in1 bang")
    patch.send(20, "in1 bang")
    patch.send(30, "control reload.")
    patch.send(40, "in1 bang")
    lines = pd.run(patch)
    assert not starting(lines, "error: original")
    assert starting(lines, "mine", "out1") == [
        "mine 7 another box None [1, 2] somewhere True",
        "out1: 8 4",
        "mine 8 another box 4 [1, 2] somewhere True",
        "out1: 9 4",
        "mine 7 another box None [1, 2] somewhere True",
        "out1: 8 4",
    ]


def test_nothing_of_ours_is_stored_in_an_instance(pd: Pd) -> None:
    patch = Patch()
    patch.obj("pyext original elsewhere")
    assert starting(pd.run(patch), "has") == ["has [] []"]


# ---------------------------------------------------------------- where classes are found

SAYS = "import pyext\nclass {name}(pyext._class):\n    def __init__(self, *a): print('here is', '{where}', *a)\n"


def write_class(folder: Path, name: str, where: str, class_name: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(SAYS.format(name=class_name or name, where=where))


def test_a_samplernn_pd_beside_the_patch_is_the_one_that_is_taken(pd: Pd) -> None:
    write_class(pd.folder, "samplernn_pd", "beside the patch", "samplernn")
    patch = Patch()
    patch.obj("pyext samplernn_pd samplernn 1")
    assert starting(pd.run(patch), "here is") == ["here is beside the patch 1"]


def test_a_class_beside_the_patch_comes_before_pds_path_and_pythons_own_modules(pd: Pd) -> None:
    write_class(pd.folder, "twice", "beside the patch")
    write_class(pd.folder, "json", "json beside the patch")  # Python has one, which is in use
    write_class(pd.folder / "path", "twice", "in the path")
    write_class(pd.folder / "path", "only", "in the path")
    patch = Patch()
    for text in ("pyext twice twice", "pyext json json", "pyext only only"):
        patch.obj(text)
    lines = pd.run(patch, "-path", str(pd.folder / "path"), "-lib", "py")
    assert starting(lines, "here is") == [
        f"here is {w}" for w in ("beside the patch", "json beside the patch", "in the path")
    ]


def test_patches_in_two_folders_have_each_their_own_class_of_one_name(pd: Pd) -> None:
    for side in ("left", "right"):
        write_class(pd.folder / side, "synth", side)
        abstraction = Patch()
        abstraction.obj("pyext synth synth")
        (pd.folder / side / "part.pd").write_text(abstraction.text())
    patch = Patch()
    for text in ("left/part", "right/part", "left/part"):
        patch.obj(text)
    assert starting(pd.run(patch), "here is") == ["here is left", "here is right", "here is left"]


def test_a_class_beside_the_patch_is_read_again_by_reload(pd: Pd) -> None:
    write_class(pd.folder, "json", "here")
    patch, _ = boxed("pyext json json", inlets=0, outlets=0)
    patch.send(10, "control reload. ")
    assert starting(pd.run(patch), "here is", "error: json") == ["here is here", "here is here"]


# ---------------------------------------------------------------- the control inlet


def test_dir_and_getmethods_answer_at_the_rightmost_outlet(pd: Pd) -> None:
    patch, _ = boxed("pyext original stopped", outlets=2)
    for i, message in enumerate(("dir", "dir+", "getmethods")):
        patch.send(10 + i, f"control {message}")
    module, instance, methods = (line.split()[1:] for line in starting(pd.run(patch), "out2"))
    assert module[0] == "dir" and {"flower", "stopped", "math"} <= set(module)
    assert instance[0] == "dir+" and {"until_1", "_outlet"} <= set(instance)
    assert methods[0] == "methods"
    assert {"reload", "reload.", "doc", "dir+", "get", "set", "stop", "detach", "respond", "help"} <= set(methods)


def test_an_unknown_attribute_is_told_and_the_box_is_made(pd: Pd) -> None:
    patch, _ = boxed("pyext original stopped @wrong 1 @detach 1 @what")
    patch.send(10, "in1 work done")
    lines = pd.run(patch, ms=1000, batch=False)
    told = [line for line in lines if "there is no attribute" in line]
    assert len(told) == 1 and "@wrong, @what" in told[0] and "original.stopped" in told[0]
    assert "work done False" in lines


def test_what_a_class_writes_to_stderr_is_no_error_of_pd(pd: Pd) -> None:
    patch, _ = boxed("pyext original talker", outlets=0)
    patch.send(10, "in1 warn")
    patch.send(20, "in1 wrong")
    lines = pd.run(patch)
    assert lines[lines.index("one") :][:2] == ["one", "two"]
    assert starting(lines, "error:") == ["error: original.talker: ValueError: all wrong (in wrong_1)"]
    assert [line for line in lines if "in wrong_1" in line and "original.py" in line], "the traceback follows"


def test_an_exception_that_ends_a_thread_is_one_error_line_and_a_traceback(pd: Pd) -> None:
    patch, _ = boxed("pyext original talker", outlets=0)
    patch.send(10, "in1 thread")
    lines = pd.run(patch, ms=1000, batch=False)
    assert starting(lines, "error:") == ["error: sopi: KeyError: 'lost' (this has ended the thread finder)"]
    assert [line for line in lines if "in fail" in line and "original.py" in line], "the traceback follows"


def test_sopi_python_may_be_the_folder_of_a_venv(pd: Pd) -> None:
    pd.environment["SOPI_PYTHON"] = sys.prefix
    lines = pd.run(Patch())
    assert [line for line in lines if line.startswith("sopi: Python ") and f"{sys.prefix}/bin/python" in line]


# ---------------------------------------------------------------- [py] and [pym]


def test_py_calls_a_function_with_each_message_and_puts_out_what_it_returns(pd: Pd) -> None:
    patch, _ = boxed("py original add 1 2")
    for i, message in enumerate(("in1 3", "in1 4 5", "control bang", "in1 list", "in1 word")):
        patch.send(10 + i, message)
    lines = pd.run(patch)
    assert starting(lines, "out1") == ["out1: 3", "out1: 9", "out1: 3", "out1: 0"]
    assert len(starting(lines, "error: original.add: TypeError")) == 1


@pytest.mark.parametrize("text", ["py original words", "py original.words", "py original words @detach 1"])
def test_py_gets_selectors_and_values_as_anything_does(pd: Pd, text: str) -> None:
    patch, _ = boxed(text)
    for i, message in enumerate(("in1 foo 1", "in1 symbol a", "in1 bang")):
        patch.send(10 + 20 * i, message)
    lines = pd.run(patch, ms=1000, batch=False)
    assert starting(lines, "words") == ["words (<Symbol foo>, 1)", "words (<Symbol a>,)", "words ()"]
    assert starting(lines, "out1") == ["out1: a 2", "out1: a 1", "out1: a 0"]


def test_py_tells_what_goes_wrong_and_lives_on(pd: Pd) -> None:
    patch = Patch()
    for i, text in enumerate(("py original fails", "py original missing", "py original nothing")):
        box = patch.obj(text)
        patch.inlet(box, 1, f"in{i}")
        patch.prints(box, 0, "out")
        patch.send(10 + i, f"in{i} bang")
    lines = pd.run(patch)
    errors = starting(lines, "error: original")
    assert len(errors) == 2
    assert "has no function missing" in errors[0] and "KeyError: 'no such key'" in errors[1]
    assert "called" in lines and starting(lines, "out") == ["out: bang"]


def test_pym_calls_a_method_of_what_comes_in(pd: Pd) -> None:
    patch, _ = boxed("pym upper")
    counts = patch.obj("pym count 2")
    patch.inlet(counts, 1, "in2")
    patch.prints(counts, 0, "count")
    patch.send(10, "in1 symbol word")
    patch.send(20, "in2 2 1 2")
    patch.send(30, "in1 4")
    lines = pd.run(patch)
    assert starting(lines, "out1", "count") == ["out1: symbol WORD", "count: 2"]
    assert len(starting(lines, "error: pym.upper: AttributeError")) == 1


def test_python_objects_travel_between_boxes_with_py_1(pd: Pd) -> None:
    patch = Patch()
    source, getter, sink = (
        patch.obj(text) for text in ("py original table @py 1", "pym get 1", "pyext original thing @py 1")
    )
    patch.inlet(source, 1, "in1")
    patch.connect(source, 0, getter, 1)
    patch.connect(source, 0, sink, 1)
    patch.prints(getter, 0, "got")
    patch.send(10, "in1 5 6 7")
    lines = pd.run(patch)
    assert starting(lines, "got") == ["got: 6"]
    assert starting(lines, "object") == ["object {0: 5, 1: 6, 2: 7}"]


def test_with_py_1_what_pd_knows_is_still_a_message(pd: Pd) -> None:
    patch, _ = boxed("pyext original thing")
    for i, message in enumerate(("in1 plain", "in1 make", "control py 1", "in1 plain", "in1 make", "control getpy")):
        patch.send(10 + i, message)
    lines = starting(pd.run(patch), "out1")
    assert lines[:3] == ["out1: 1 two 3.5", "out1: symbol ", "out1: 1 two 3.5"]
    assert lines[3].split()[1] == "py" and len(lines) == 4


# ---------------------------------------------------------------- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("detach", [0, 1])
def test_a_fork_of_pd_neither_waits_for_pd_nor_speaks_in_its_name(pd: Pd, detach: int) -> None:
    patch, _ = boxed(f"pyext original forks @detach {detach}")
    patch.obj("array define tune 10")
    patch.send(20, "in1 fork")
    lines = pd.run(patch, ms=2500, batch=False)
    assert [line for line in lines if line.endswith("the fork ended with 0")]
    assert [line for line in lines if "told the fork: this process is a fork of Pd's" in line]
    assert len([line for line in lines if "printed by the fork" in line]) == 1
    assert not starting(lines, "out1")
