"""[pyext] and [pyext~] do what pyext documents: real Pd, real classes."""

from pathlib import Path

import pytest
from pyext_host import Patch, Pd, read_wav, starting


def boxed(text: str, inlets: int = 1, outlets: int = 1, first: int = 1) -> tuple[Patch, int]:
    """A patch with one object: `in1`, `in2`, ... reach its message inlets, `control` the leftmost."""
    patch = Patch()
    box = patch.obj(text)
    patch.inlet(box, 0, "control")
    for k in range(inlets):
        patch.inlet(box, first + k, f"in{k + 1}")
    for k in range(outlets):
        patch.prints(box, k, f"out{k + 1}")
    return patch, box


# ---------------------------------------------------------------- making boxes


def test_arguments_arrive_as_int_float_and_symbol(pd: Pd) -> None:
    patch, _ = boxed("pyext objects echo 1 2.5 word", inlets=2)
    lines = pd.run(patch)
    assert starting(lines, "init", "folder") == ["init (1, 2.5, <Symbol word>)", "folder True"]


@pytest.mark.parametrize("text", ["pyext objects.echo 3", "pyx objects.echo 3", "pyx. objects echo 3"])
def test_module_and_class_can_be_written_in_each_way(pd: Pd, text: str) -> None:
    patch, _ = boxed(text, inlets=2)
    patch.send(10, "in2 4")
    assert starting(pd.run(patch), "init", "got") == ["init (3,)", "got 2 (4,)"]


def test_a_module_is_found_in_the_patch_folder_and_by_declare(pd: Pd) -> None:
    source = "import pyext\nclass {0}(pyext._class):\n    def __init__(self): print('here is {0}')\n"
    (pd.folder / "nextdoor.py").write_text(source.format("nextdoor"))
    (pd.folder / "sub").mkdir()
    (pd.folder / "sub" / "deeper.py").write_text(source.format("deeper"))
    (pd.folder / "far" / "package").mkdir(parents=True)
    (pd.folder / "far" / "package" / "__init__.py").write_text(source.format("package"))
    patch = Patch()
    patch.declare("-path far")
    for text in ("pyext nextdoor", "pyext sub/deeper deeper", "pyext package package"):
        patch.obj(text)
    lines = starting(pd.run(patch), "here")
    assert lines == ["here is nextdoor", "here is deeper", "here is package"]


def test_numbers_in_the_box_set_the_inlets_and_outlets(pd: Pd) -> None:
    patch, _ = boxed("pyext 3 2 objects first_outlet", inlets=3, outlets=3)
    lines = pd.run(patch)
    assert starting(lines, "counts", "ready") == ["counts 3 2", "ready"]
    assert not [line for line in lines if "connect" in line]


@pytest.mark.parametrize(("signals", "number"), [(0, 1), (1, 1), (2, 3), (3, 5)])
def test_inlets_of_a_tilde_object_are_numbered_as_in_the_original(pd: Pd, signals: int, number: int) -> None:
    patch, _ = boxed(f"pyext~ 2 1 {signals} 1 objects echo", inlets=2, outlets=0, first=max(1, signals))
    patch.send(10, "in1 7")
    patch.send(10, "in2 8")
    assert starting(pd.run(patch), "got") == [f"got {number} (7,)", f"got {number + 1} (8,)"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pyext", "expected a Python module"),
        ("pyext 1 objects echo", "expected 2 numbers"),
        ("pyext no_such_module thing", "there is no Python module no_such_module"),
        ("pyext objects nothing", "has no class nothing"),
        ("pyext objects.Path", "must inherit pyext._class"),
        ("pyext objects refuses", "not to be made"),
        ("py", "expected a Python module: [py module function]"),
        ("pym", "expected the name of a method"),
    ],
)
def test_a_box_that_cannot_be_made_says_why_in_one_line(pd: Pd, text: str, says: str) -> None:
    patch = Patch()
    patch.obj(text)
    lines = pd.run(patch)
    assert len([line for line in lines if says in line and "Error: " in line or says in line]) >= 1
    assert f"error:  {text}" in "\n".join(lines) or "couldn't create" in "\n".join(lines)


def test_the_instance_of_a_box_that_cannot_be_made_is_ended_and_let_go(pd: Pd) -> None:
    patch = Patch()
    patch.obj("pyext objects miscounted")
    lines = pd.run(patch)
    assert "error: objects.miscounted: ValueError: _inlets is -5, expected an integer from 0 to 1024" in lines
    assert starting(lines, "miscounted") == ["miscounted: _del", "miscounted: gone"]


def test_an_init_that_fails_leaves_the_object(pd: Pd) -> None:
    patch, _ = boxed("pyext objects broken_init", outlets=0)
    patch.send(10, "in1 hello")
    lines = pd.run(patch)
    assert starting(lines, "error: objects.broken_init") == [
        "error: objects.broken_init: ValueError: no good (in __init__)"
    ]
    assert "still there" in lines


# ---------------------------------------------------------------- messages


def test_methods_are_tried_in_the_documented_order(pd: Pd) -> None:
    patch, _ = boxed("pyext objects order", inlets=6, outlets=0)
    sent = {
        "in1 note 1 2": "note_1 (1, 2)",
        "in1 4": "float_1 4",
        "in1 4.5": "float_1 4.5",
        "in1 list 6": "_anything_ 1 (6,)",
        "in2 4.5": "int_2 4",
        "in2 bang": "_anything_2 (<Symbol bang>,)",
        "in2 foo 1": "_anything_2 (<Symbol foo>, 1)",
        "in2 1 2": "_anything_2 (1, 2)",
        "in2 symbol a": "_anything_2 (<Symbol a>,)",
        "in3 note 3": "note_ 3 (3,)",
        "in3 symbol name": "symbol_3 <Symbol name> True 1 True",
        "in3 a 1": "_anything_ 3 (<Symbol a>, 1)",
        "in3 list a 1": "list_3 (<Symbol a>, 1)",
        "in3 bang": "bang_3",
        "in3 5": "int_ 5",
        "in4 bang": "_anything_ 4 (<Symbol bang>, <Symbol >)",
        "in4 foo-bar 2": "_anything_ 4 (<Symbol foo-bar>, 2)",
        "in4 1 2 3": "_anything_ 4 (1, 2, 3)",
    }
    for i, message in enumerate(sent):
        patch.send(10 + i, message)
    lines = pd.run(patch)
    assert starting(lines, "note", "float", "int_", "_any", "symbol", "list", "bang") == list(sent.values())


def test_unhandled_messages_returned_values_and_exceptions_are_reported(pd: Pd) -> None:
    patch, _ = boxed("pyext objects few", outlets=0)
    for i, message in enumerate(("in1 what 1", "in1 3", "in1 wrong", "in1 wrong")):
        patch.send(10 + i, message)
    lines = pd.run(patch)
    errors = starting(lines, "error: objects.few")
    assert errors == [
        "error: objects.few: no matching method found for 'what 1' into inlet 1",
        "error: objects.few: float_1: returned value is ignored",
        "error: objects.few: KeyError: 'missing' (in wrong_1)",
        "error: objects.few: KeyError: 'missing' (in wrong_1)",
    ]
    assert any("objects.py" in line and "in wrong_1" in line for line in lines)
    assert not any("<pyext>" in line for line in lines)


def test_python_values_become_the_documented_messages(pd: Pd) -> None:
    patch, _ = boxed("pyext objects sender")
    received = patch.obj("r from-sender")
    patch.prints(received, 0, "received")
    patch.send(10, "in1 all")
    lines = pd.run(patch)
    assert starting(lines, "out1") == [
        f"out1: {text}"
        for text in (
            "bang", "bang", "3", "2.5", "1", "symbol text", "symbol sym", "tag 1 2", "list worker on", "7", "symbol x",
            "1 a 2", "1.5", "3", "1 2", "1 2", "1.09951e+12", "symbol ", "1 ", "tag 1 2", "1 2 3", "bang",
        )
    ]  # fmt: skip
    assert starting(lines, "received") == ["received: hey 4", "received: bang"]
    assert len([line for line in lines if "cannot send a dict to Pd" in line]) == 2


def test_errors_of_sending_are_exceptions(pd: Pd) -> None:
    patch, _ = boxed("pyext objects sender")
    patch.send(10, "in1 errors")
    lines = pd.run(patch)
    assert len(starting(lines, "ValueError")) == 3
    assert len(starting(lines, "RuntimeError")) == 1


def test_a_bundle_is_sent_once(pd: Pd) -> None:
    patch, _ = boxed("pyext objects sender")
    patch.prints(patch.obj("r from-sender"), 0, "received")
    patch.send(10, "in1 bundle")
    lines = starting(pd.run(patch), "out1", "received", "RuntimeError")
    assert lines[:2] == ["out1: first 1", "received: 2"]
    assert len(lines) == 3


def test_the_module_tells_about_pd(pd: Pd) -> None:
    patch, _ = boxed("pyext objects sender")
    patch.obj("value v 3")
    patch.send(5, "v 3")
    patch.send(10, "in1 system")
    assert starting(pd.run(patch), "system") == [
        "system 48000.0 64 3.0 None",
        "system 5.0 True [1, 2] (1, 2)",
        "system True False True bang",
        "system py/pyext python True",
    ]


def test_print_goes_to_the_console_line_by_line(pd: Pd) -> None:
    patch, _ = boxed("pyext objects sender")
    patch.send(10, "in1 print")
    lines = pd.run(patch)
    assert lines[lines.index("one") :][:4] == ["one", "two more", "20 %", "file True False"]


def test_receive_names_can_be_bound_and_unbound(pd: Pd) -> None:
    patch, _ = boxed("pyext objects binder", outlets=0)
    for i, message in enumerate(("bound-name 1 a", "bound-name hey 2", "in1 unbind", "bound-name 3")):
        patch.send(10 + 5 * i, message)
    lines = pd.run(patch)
    assert starting(lines, "bound") == ["bound (1, <Symbol a>)", "bound (<Symbol hey>, 2)"]
    assert lines[-1] == "3"


def test_a_buffer_is_a_named_array(pd: Pd) -> None:
    patch, _ = boxed("pyext objects arrays", outlets=0)
    patch.obj("array define tune 10")
    patch.send(10, "in1 all")
    lines = pd.run(patch)
    assert starting(lines, "array") == [
        "array 10 tune 0.0 0.0 [0.0, 0.0] float32",
        "array [1.0, 2.0, 3.0, 0.0, 9.0, 6.0, 0.0, 7.0, 0.0, 0.0]",
        "array True (8,) [2.0, 4.0, 6.0]",
        "array 42.0 43.0 43.0 42.0 (10,)",
        "array 4 [42.0, 4.0, 6.0, 0.0]",
        "array [0.0, 0.0, 0.0]",
        "array 0 None",
    ]
    assert len(starting(lines, "ValueError")) == 1


# ---------------------------------------------------------------- the control inlet


def test_the_control_inlet_answers_at_the_rightmost_outlet(pd: Pd) -> None:
    patch, box = boxed("pyext objects slow", outlets=2)
    for i, message in enumerate(
        (
            "getattributes",
            "detach 1",
            "getdetach",
            "set thread 5",
            "get thread",
            "set _inlets 5",
            "set nothing 1",
            "what",
        )
    ):
        patch.send(10 + i, f"control {message}")
    lines = pd.run(patch)
    assert starting(lines, "out2") == [
        "out2: attributes args detach py respond",
        "out2: detach 1",
        "out2: get thread 5",
    ]
    assert len(starting(lines, "error: objects.slow")) == 3


def test_doc_describes_module_and_class(pd: Pd) -> None:
    patch, box = boxed("pyext objects slow", outlets=0)
    for i, message in enumerate(("doc", "doc+", "help")):
        patch.send(10 + i, f"control {message}")
    text = "\n".join(pd.run(patch))
    assert "Objects without rings" in text and "For @detach" in text and "reload" in text


def test_respond_tells_whether_a_message_was_handled(pd: Pd) -> None:
    patch, box = boxed("pyext objects slow @respond 1", outlets=2)
    patch.send(10, "in1 work a 0")
    patch.send(11, "in1 nonsense")
    assert starting(pd.run(patch), "out") == ["out1: symbol a", "out2: response 1", "out2: response 0"]


def test_reload_takes_the_changed_source_and_keeps_working_code_on_an_error(pd: Pd) -> None:
    (pd.folder / "changing.py").write_text(
        "import pathlib, pyext\n"
        "class changing(pyext._class):\n"
        "    _inlets = 1\n"
        "    version = 1\n"
        "    def __init__(self, *a): print('made', self.version, *a)\n"
        "    def _del(self): print('gone', self.version)\n"
        "    def bang_1(self): print('version', self.version)\n"
        "    def write_1(self, n):\n"
        "        path = pathlib.Path(__file__)\n"
        "        text = path.read_text().replace(f'version = {self.version}', f'version = {n}')\n"
        "        path.write_text(text if n < 99 else 'syntax error')\n"
    )
    patch, _ = boxed("pyext changing changing a", outlets=0)
    patch.obj("pyext changing changing other")
    for i, message in enumerate(
        (
            "in1 bang",
            "in1 write 25",
            "control reload.",
            "in1 bang",
            "control reload b 2",
            "in1 write 99",
            "control reload.",
        )
    ):
        patch.send(10 + i, message)
    patch.send(20, "in1 bang")
    lines = pd.run(patch)
    made = starting(lines, "made", "gone", "version")
    assert made[:3] == ["made 1 a", "made 1 other", "version 1"]
    assert sorted(made[3:7]) == ["gone 1", "gone 1", "made 25 a", "made 25 other"]
    assert made[7] == "version 25"
    assert sorted(made[8:12]) == ["gone 25", "gone 25", "made 25 b 2", "made 25 other"]
    assert made[12:] == ["version 25"]
    assert len(starting(lines, "error: changing.changing: SyntaxError")) == 1


# ---------------------------------------------------------------- threads


def test_detach_1_is_one_thread_in_order(pd: Pd) -> None:
    patch, _ = boxed("pyext objects slow @detach 1")
    for i, message in enumerate(("in1 work a 100", "in1 work b 0")):
        patch.send(10 + i, message)
    lines = pd.run(patch, ms=400, batch=False)
    assert starting(lines, "begin", "out1") == ["begin a True", "out1: symbol a", "begin b True", "out1: symbol b"]


def test_detach_2_is_a_thread_a_call(pd: Pd) -> None:
    patch, _ = boxed("pyext objects slow @detach 2")
    for i, message in enumerate(("in1 work a 100", "in1 work b 0")):
        patch.send(10 + i, message)
    lines = pd.run(patch, ms=400, batch=False)
    assert starting(lines, "begin", "out1") == ["begin a True", "begin b True", "out1: symbol b", "out1: symbol a"]


def test_deletion_asks_detached_calls_to_end_and_waits_for_del(pd: Pd) -> None:
    patch = Patch()
    patch.subpatch("inside", "pyext objects slow @detach 2", "r in1", "s began")
    cords = "\n#X connect 1 0 0 1;\n#X connect 0 0 2 0;\n#X restore"
    patch.boxes[-1] = patch.boxes[-1].replace("\n#X restore", cords)
    patch.send(10, "in1 until")
    began, delay = patch.obj("r began"), patch.obj("del 20")
    patch.connect(began, 0, delay, 0)
    patch.connect(delay, 0, patch.msg(";pd-inside clear"), 0)
    lines = pd.run(patch, ms=500, batch=False)
    assert starting(lines, "asked", "del") == ["asked to end", "del"]


def test_messages_from_python_threads_reach_pd_in_order(pd: Pd) -> None:
    patch, _ = boxed("pyext objects sender")
    patch.prints(patch.obj("r from-sender"), 0, "received")
    patch.send(10, "in1 thread")
    lines = pd.run(patch, ms=400, batch=False)
    assert starting(lines, "out1", "received") == [*(f"out1: {i}" for i in range(100)), "received: symbol done"]
    assert "printed by the thread" in lines


def test_a_flood_of_messages_is_cut_and_told_in_one_line(pd: Pd) -> None:
    patch, _ = boxed("pyext objects sender", outlets=0)
    patch.send(10, "in1 flood")
    lines = pd.run(patch, ms=900, batch=False)
    told = starting(lines, "error: objects.sender: dropped")
    assert 1 <= len(told) <= 2 and "faster than Pd takes them" in told[0]


def test_threads_of_classes_do_not_inherit_real_time_priority(pd: Pd) -> None:
    patch, _ = boxed("pyext objects sender", outlets=0)
    patch.send(10, "in1 policy")
    lines = pd.run(patch, "-rt", "-lib", "py", ms=300, batch=False)
    if "policy of Pd 0" in lines:
        pytest.skip("this user may not have real-time priority")
    assert "policy of a thread 0" in lines


def test_a_thread_that_waits_for_pd_while_pd_waits_for_it_does_not_hang_pd(pd: Pd) -> None:
    patch, _ = boxed("pyext objects waits", outlets=0)
    patch.send(10, "in1 wait")
    lines = pd.run(patch, ms=100, batch=False)
    assert starting(lines, "RuntimeError", "went on") == [
        "went on",  # Pd's own lines come at once, those of a thread when Pd takes them
        "RuntimeError Pd does not answer: its thread is busy, or waits for this one",
    ]


# ---------------------------------------------------------------- audio in Python


def test_signal_works_on_vectors(pd: Pd, tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("pyext~ 0 0 1 1 audio gain")
    patch.connect(patch.obj("sig~ 0.5"), 0, box, 0)
    patch.record(box, 1, tmp_path / "out.wav", 50)
    lines = pd.run(patch, batch=False)
    assert "vectors float32 (64,)" in lines
    frames = read_wav(tmp_path / "out.wav")
    assert len(frames) > 2000 and set(frames) == {(0.25,)}


def test_an_exception_in_signal_is_printed_once_and_silences_the_object(pd: Pd, tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("pyext~ 1 0 0 1 audio faulty")
    patch.inlet(box, 1, "in")
    patch.record(box, 1, tmp_path / "out.wav", 300)
    patch.send(310, "in hello")
    lines = pd.run(patch, ms=350, batch=False)
    errors = starting(lines, "error: audio.faulty")
    assert len(errors) == 1 and "ValueError: a fault" in errors[0]
    assert "lives (<Symbol hello>,)" in lines
    samples = [frame[0] for frame in read_wav(tmp_path / "out.wav")]
    assert samples[0] == 1 and set(samples[101 * 64 :]) == {0}


def test_vectors_out_of_range_raise_and_a_false_dsp_switches_signal_off(pd: Pd) -> None:
    patch = Patch()
    patch.obj("pyext~ 0 0 1 1 audio bounds")
    lines = pd.run(patch)
    assert len(starting(lines, "IndexError")) == 4
    assert "never" not in lines


def test_what_signal_sends_is_delivered_after_the_block(pd: Pd) -> None:
    patch = Patch()
    patch.prints(patch.obj("pyext~ 0 1 0 1 audio outlet_in_signal"), 1, "out")
    lines = pd.run(patch)
    assert starting(lines, "sent", "out") == ["sent", "out: list from signal"]


# ---------------------------------------------------------------- the library


def test_a_python_of_another_version_is_refused_in_one_line(pd: Pd) -> None:
    venv = pd.folder / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/bin/true")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.8.1\n")
    pd.environment["SOPI_PYTHON"] = str(venv / "bin" / "python")
    lines = pd.run(Patch())
    assert len(lines) == 1 and "is Python 3.8" in lines[0]


def test_a_missing_python_is_told_in_one_line(pd: Pd) -> None:
    pd.environment["SOPI_PYTHON"] = "/nowhere/bin/python"
    lines = pd.run(Patch())
    assert len(lines) == 1 and "there is no Python at /nowhere/bin/python" in lines[0]
