"""Pickles are read as data: what plain data needs comes back as Python reads it, nothing runs, nothing grows."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sopilib
from sopilib import SopiError
from sopilib.checkpoint.readers import pickles


def read(content: bytes) -> Any:
    return pickles.read(io.BytesIO(content))


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(-9999, 9999), inner)
    ),
    max_leaves=20,
)


@given(value=plain, protocol=st.integers(0, 5))
def test_plain_data_comes_back_as_python_reads_it(value: object, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    file = io.BytesIO(b"before" + content + b"rest")
    file.seek(6)
    assert repr(pickles.read(file)) == repr(value)
    assert file.read() == b"rest"


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2", "<i8", "u1", "?"])
@pytest.mark.parametrize("shape", [(0, 3), (5,), (2, 3, 4)])
def test_arrays_come_back(shape: tuple[int, ...], kind: str, protocol: int) -> None:
    array = (100 * np.random.default_rng(0).random(shape)).astype(kind)
    orders: tuple[Literal["C", "F"], ...] = ("C", "F")
    for order in orders:
        back = read(pickle.dumps({"a": array.copy(order), "n": array.sum()}, protocol))
        np.testing.assert_array_equal(back["a"].value, array)
        assert back["n"] == array.sum()


def test_texts_of_python_2_come_back_as_bytes_and_its_keys_as_names() -> None:
    assert read(b"(dp1\nS'a\\xe9\\n\\''\np2\ng2\ns.") == {"a\xe9\n'": b"a\xe9\n'"}
    assert read(b'(lp3\nS"it\'s"\naI00\naI01\naI1\naL-12345678901234567890L\naF1.5\na.') == [
        b"it's",
        False,
        True,
        1,
        -12345678901234567890,
        1.5,
    ]


class Runs:
    """Pickled, it is a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


@pytest.mark.parametrize("protocol", range(5))
def test_nothing_is_run(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "was run"
    calls = [
        Runs(marker.touch),
        Runs(exec, f"open({str(marker)!r}, 'w')"),
        Runs(getattr, np.ndarray, "tofile"),
        Runs(np.load, str(marker)),
        Runs(collections.OrderedDict),
        Path(marker),
    ]
    for call in calls:
        path = tmp_path / "params_e1_i1_x.pkl"
        path.write_bytes(pickle.dumps({"SampleLevel.L2.b": call}, protocol))
        with pytest.raises(SopiError, match="is not run|opcode"):
            sopilib.load(path)
    assert not marker.exists()


def array(shape: bytes, data: bytes, dtype: bytes = b"S'f4'\n") -> bytes:
    """The opcodes of an array, protocol 0, its numbers from `data`'s opcodes."""
    make = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n" + shape
    return make + b"cnumpy\ndtype\n(" + dtype + b"I0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n" + data + b"tb"


BAD = {
    "a list that holds itself": b"]q\x00h\x00a.",
    "a dictionary that holds itself": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "a list that holds itself inside": b"]q\x00(]q\x01h\x00a\x85e.",
    "a list in a state": b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR]b.",
    "more bytes than there are": b"B\xff\xff\xff\xffab.",
    "more text than there is": b"\x8d" + struct.pack("<Q", 1 << 62) + b"a.",
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n.",
    "a number of many bytes": b"\x8b" + struct.pack("<I", 1000) + b"\x01" * 1000 + b".",
    "numbers as names": b"}F1.5\nNs.",
    "names of large numbers": b"}\x8a\x0a" + b"\x01" * 10 + b"Ns.",
    "a mark as a value": b"}((s.",
    "nothing": b"",
    "no end": b"N",
    "two values": b"NN.",
    "no values": b".",
    "a name that was never stored": b"h\x07.",
    "a call of a name that is none": b"cnumpy\nndarray\n)R.",
    "a call without arguments": b"cnumpy\ndtype\nNR.",
    "a call of a number": b"K\x01)R.",
    "objects": b"ccollections\nOrderedDict\n)\x81.",
    "an old object": b"(ios\nsystem\n.",
    "an extension": b"\x82\x01.",
    "a set": b"\x8f.",
    "an object elsewhere": b"PX\n.",
    "less than its shape": array(b"(I2\nt", b"S'abcd'\n") + b".",
    "more than its shape": array(b"(I1\nt", b"S'abcdefgh'\n") + b".",
    "a shape below zero": array(b"(I-1\nt", b"S'abcd'\n") + b".",
    "an absurd shape": array(b"(" + b"I1000000000000\n" * 2 + b"t", b"S''\n") + b".",
    "very many axes": array(b"(" + b"I1\n" * 40 + b"t", b"S'abcd'\n") + b".",
    "an array of objects": array(b"(I1\nt", b"(lN", b"S'O8'\n") + b".",
    "an array of texts": array(b"(I1\nt", b"S'abcd'\n", b"S'S4'\n") + b".",
    "another dtype": array(b"(I1\nt", b"S'abcd'\n", b"(lNa") + b".",
    "text without end": b"S'abc\n.",
    "a broken escape": b"S'\\x1'\n.",
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_plain_data_is_a_clear_error(what: str) -> None:
    with pytest.raises(SopiError, match="damaged pickle"):
        read(BAD[what])


@pytest.mark.parametrize(
    "content",
    [
        b"(" * 10_000_000 + b".",
        b"N" + b"\x85" * 400_000 + b".",
        b"]" * 200_000 + b"a" * 199_999 + b".",
        b"(" + b"]" * 400_000 + b"l.",
        # one large text, as the numbers of any number of arrays
        b"(S'" + b"abcd" * 250_000 + b"'\np1\n0" + array(b"(I250000\nt", b"g1\n") * 3000 + b"l.",
        b"(V" + b"abcd" * 250_000 + b"\np1\n0" + b"c_codecs\nencode\n(g1\nS'latin1'\ntR" * 3000 + b"l.",
        # and as a name
        b"(S'" + b"abcd" * 250_000 + b"'\np1\n0" + b"cnumpy\ndtype\n(g1\nI0\nI1\ntR" * 3000 + b"l.",
    ],
)
def test_a_file_costs_no_more_than_its_size(content: bytes) -> None:
    begin = time.process_time()
    try:
        read(content)
    except SopiError:
        pass
    assert time.process_time() - begin < 5


@settings(max_examples=150)
@given(data=st.data())
def test_any_program_of_opcodes_ends(data: st.DataObject) -> None:
    names = [
        b"cnumpy\ndtype\n",
        b"cnumpy\nndarray\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"S'f4'\n",
        b"K\x01",
        b"]",
    ]
    opcodes = st.sampled_from([*pickles._STEPS, *names]).flatmap(lambda op: st.binary(max_size=4).map(lambda a: op + a))
    content = b"".join(data.draw(st.lists(st.sampled_from(names) | st.sampled_from(list(pickles._STEPS)) | opcodes)))
    try:
        read(content + b".")
    except SopiError as e:
        assert "\n" not in str(e)
