"""Our MessagePack codec against python-msgpack, and against the rules written down once more.

Needs pytest, hypothesis and msgpack. The build directory is $HEADRACE_BUILD, else ./build of the
repository; tests/message/codec_tool.c describes what is asked and answered.
"""

import os
import struct
import subprocess
from pathlib import Path

import msgpack
import pytest
from hypothesis import example, given, settings, strategies as st

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("HEADRACE_BUILD", ROOT / "build"))
TOOL = BUILD / "tests/unit/message/codec-tool"

MAX_DEPTH = 32
MALFORMED, UNSUPPORTED, TOO_DEEP, NOT_UTF8, NOT_MAP = (
    b"-malformed",
    b"-unsupported",
    b"-too_deep",
    b"-not_utf8",
    b"-not_map",
)

# $HEADRACE_EXAMPLES times as many cases, for nights.
TIMES = int(os.environ.get("HEADRACE_EXAMPLES", "1"))


def cases(n):
    return settings(max_examples=n * TIMES, deadline=None, database=None)


# ---- the tool ---------------------------------------------------------------------------------


class Tool:
    def __init__(self):
        if not TOOL.exists():
            pytest.fail(f"{TOOL} is not there: build it, or set HEADRACE_BUILD")
        self.process = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, data):
        self.process.stdin.write(struct.pack(">I", len(data)) + data)
        self.process.stdin.flush()
        return self.read(struct.unpack(">I", self.read(4))[0])

    def read(self, n):
        data = self.process.stdout.read(n)
        assert len(data) == n, f"codec-tool ended with {self.process.wait(10)}"
        return data

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


@pytest.fixture(scope="module")
def tool():
    tool = Tool()
    yield tool
    tool.close()


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


# ---- values, and all the ways to write them ---------------------------------------------------

int64 = st.integers(-(2**63), 2**63 - 1)
edges = st.builds(
    lambda bits, off, sign: max(-(2**63), min(2**63 - 1, sign * 2**bits + off)),
    st.integers(0, 63),
    st.integers(-2, 2),
    st.sampled_from([-1, 1]),
)
lengths = st.sampled_from([0, 15, 16, 31, 32, 33, 255, 256, 257, 65535, 65536])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    int64,
    edges,
    st.floats(),
    st.floats(width=32),
    st.text(),
    st.binary(),
    lengths.map(lambda n: "x" * n),
    lengths.map(lambda n: b"y" * n),
    lengths.map(lambda n: "é" * (n // 2)),
    st.sampled_from([15, 16, 17]).map(lambda n: [None] * n),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20), st.dictionaries(st.text(max_size=40), inner, max_size=20)
    ),
    max_leaves=30,
)
messages = st.dictionaries(st.text(max_size=40), values, max_size=20)


def widths(n, forms):
    """The heads that can hold n: forms are (tag, struct code, smallest, largest)."""
    return [
        bytes([tag]) + struct.pack(">" + code, n) for tag, code, low, high in forms if low <= n <= high
    ]


U8, U16, U32 = 2**8 - 1, 2**16 - 1, 2**32 - 1
INTS = [
    (0xCC, "B", 0, U8),
    (0xCD, "H", 0, U16),
    (0xCE, "I", 0, U32),
    (0xCF, "Q", 0, 2**63 - 1),
    (0xD0, "b", -(2**7), 2**7 - 1),
    (0xD1, "h", -(2**15), 2**15 - 1),
    (0xD2, "i", -(2**31), 2**31 - 1),
    (0xD3, "q", -(2**63), 2**63 - 1),
]
STRINGS = [(0xD9, "B", 0, U8), (0xDA, "H", 0, U16), (0xDB, "I", 0, U32)]
BYTES = [(0xC4, "B", 0, U8), (0xC5, "H", 0, U16), (0xC6, "I", 0, U32)]
LISTS = [(0xDC, "H", 0, U16), (0xDD, "I", 0, U32)]
MAPS = [(0xDE, "H", 0, U16), (0xDF, "I", 0, U32)]


def fix(tag, n, limit):
    """The head of one byte, when n is below the limit."""
    return [bytes([tag | n])] if n < limit else []


def float32(value):
    """The value as a float32, when it is one to the last bit."""
    try:
        data = struct.pack(">f", value)
    except OverflowError:
        return []
    is_same = struct.pack(">d", struct.unpack(">f", data)[0]) == struct.pack(">d", value)
    return [b"\xca" + data] if is_same else []


def widened(value, choose):
    """`value` in MessagePack, each head in a form that `choose` picks."""
    if value is None or isinstance(value, bool):
        return pack(value)
    if isinstance(value, int):
        return choose([pack(value)] + widths(value, INTS))
    if isinstance(value, float):
        return choose([pack(value)] + float32(value))
    if isinstance(value, str):
        data = value.encode()
        return choose(fix(0xA0, len(data), 32) + widths(len(data), STRINGS)) + data
    if isinstance(value, bytes):
        return choose(widths(len(value), BYTES)) + value
    n = len(value)
    if isinstance(value, list):
        head = choose(fix(0x90, n, 16) + widths(n, LISTS))
        return head + b"".join(widened(item, choose) for item in value)
    head = choose(fix(0x80, n, 16) + widths(n, MAPS))
    return head + b"".join(widened(k, choose) + widened(v, choose) for k, v in value.items())


# ---- the rules, written down once more --------------------------------------------------------


class Refused(Exception):
    pass


def float64(bits):
    """A float32 as the processor makes a float64 of it, which quiets signalling NaNs."""
    sign, exponent, fraction = bits >> 31, bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF and fraction:
        return struct.pack(">BQ", 0xCB, sign << 63 | 0x7FF << 52 | (fraction | 1 << 22) << 29)
    return pack(struct.unpack(">f", struct.pack(">I", bits))[0])


class Oracle:
    """Reads one message as message.h promises, and writes it in the shortest forms."""

    def __init__(self, data):
        self.data = data
        self.at = 0
        self.out = []

    def take(self, n):
        if n > len(self.data) - self.at:
            raise Refused(MALFORMED)
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, code):
        return struct.unpack(">" + code, self.take(struct.calcsize(code)))[0]

    def text(self, n):
        try:
            self.out.append(pack(self.take(n).decode("utf-8")))
        except UnicodeDecodeError:
            raise Refused(NOT_UTF8) from None

    def container(self, n, is_map, depth):
        if n * (1 + is_map) > len(self.data) - self.at:
            raise Refused(MALFORMED)
        if depth == MAX_DEPTH:
            raise Refused(TOO_DEEP)
        packer = msgpack.Packer(autoreset=False)
        (packer.pack_map_header if is_map else packer.pack_array_header)(n)
        self.out.append(packer.bytes())
        for _ in range(n):
            if is_map:
                self.key(depth + 1)
            self.value(depth + 1)

    def key(self, depth):
        if self.at == len(self.data):
            raise Refused(MALFORMED)
        tag = self.data[self.at]
        if not (0xA0 <= tag <= 0xBF or 0xD9 <= tag <= 0xDB):
            raise Refused(UNSUPPORTED)
        self.value(depth)

    def value(self, depth):
        tag = self.take(1)[0]
        if tag < 0x80 or tag >= 0xE0:
            self.out.append(bytes([tag]))
        elif tag < 0x90:
            self.container(tag & 15, True, depth)
        elif tag < 0xA0:
            self.container(tag & 15, False, depth)
        elif tag < 0xC0:
            self.text(tag & 31)
        elif tag in (0xC0, 0xC2, 0xC3):
            self.out.append(bytes([tag]))
        elif tag == 0xC1:
            raise Refused(MALFORMED)
        elif tag in (0xC4, 0xC5, 0xC6):
            self.out.append(pack(self.take(self.number("BHI"[tag - 0xC4]))))
        elif tag == 0xCA:
            self.out.append(float64(self.number("I")))
        elif tag == 0xCB:
            self.out.append(bytes([tag]) + self.take(8))
        elif 0xCC <= tag <= 0xD3:
            n = self.number("BHIQbhiq"[tag - 0xCC])
            if n > 2**63 - 1:
                raise Refused(UNSUPPORTED)
            self.out.append(pack(n))
        elif tag in (0xD9, 0xDA, 0xDB):
            self.text(self.number("BHI"[tag - 0xD9]))
        elif tag in (0xDC, 0xDD):
            self.container(self.number("HI"[tag - 0xDC]), False, depth)
        elif tag in (0xDE, 0xDF):
            self.container(self.number("HI"[tag - 0xDE]), True, depth)
        else:
            raise Refused(UNSUPPORTED)

    def answer(self):
        try:
            self.value(0)
        except Refused as refused:
            return refused.args[0]
        if self.at != len(self.data):
            return MALFORMED
        if not (0x80 <= self.data[0] < 0x90 or self.data[0] in (0xDE, 0xDF)):
            return NOT_MAP
        return b"+" + b"".join(self.out)


def agree(tool, data):
    """The tool says what the oracle says; and what it takes, python-msgpack takes for the same."""
    answer = tool(data)
    assert answer == Oracle(data).answer(), data.hex()
    if answer[:1] == b"+":
        ours, theirs = (pack(msgpack.unpackb(bytes)) for bytes in (answer[1:], data))
        assert ours == theirs
    return answer


# ---- tests ------------------------------------------------------------------------------------


def test_golden_vector_of_channels_redis(tool):
    golden = bytes.fromhex("83a161c3a162c0a16381a16490")
    assert pack({"a": True, "b": None, "c": {"d": []}}) == golden
    assert tool(golden) == b"+" + golden


@cases(150)
@given(messages)
def test_we_write_the_bytes_that_python_msgpack_writes(tool, message):
    data = pack(message)
    assert tool(data) == b"+" + data


@cases(150)
@given(messages, st.randoms(use_true_random=False))
def test_every_width_is_read(tool, message, random):
    data = widened(message, random.choice)
    assert tool(data) == b"+" + pack(message)
    agree(tool, data)


@cases(150)
@given(messages, st.data())
def test_a_message_cut_short_is_malformed(tool, message, data):
    whole = pack(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert agree(tool, whole[:cut]) == MALFORMED


tags = st.one_of(st.integers(0x80, 0xE0), st.integers(0, 255))
edits = st.lists(
    st.tuples(st.sampled_from(["set", "insert", "delete", "repeat"]), st.integers(0, 2**16), tags),
    min_size=1,
    max_size=6,
)
small_values = st.recursive(
    st.one_of(st.none(), st.booleans(), edges, st.floats(), st.text(max_size=12), st.binary(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=12,
)
small_messages = st.dictionaries(st.text(max_size=6), small_values, max_size=5)


def edited(data, edits):
    data = bytearray(data)
    for verb, where, byte in edits:
        at = where % (len(data) + 1)
        if verb == "insert" or at == len(data):
            data.insert(at, byte)
        elif verb == "set":
            data[at] = byte
        elif verb == "delete":
            del data[at]
        else:
            data[at:at] = data[at : at + 8]
    return bytes(data)


@cases(1000)
@given(small_messages, st.randoms(use_true_random=False), edits)
def test_changed_bytes_get_the_verdict_of_the_rules(tool, message, random, edits):
    agree(tool, edited(widened(message, random.choice), edits))


@cases(1000)
@given(st.one_of(st.binary(max_size=64), st.lists(tags, max_size=64).map(bytes)))
@example(b"")
@example(b"\xdf\x80\x00\x00\x00")
def test_any_bytes_get_the_verdict_of_the_rules(tool, data):
    agree(tool, data)
    agree(tool, b"\x81\xa1k" + data)


@pytest.mark.parametrize("tag", range(256))
def test_every_tag_gets_the_verdict_of_the_rules(tool, tag):
    for rest in range(18):
        for fill in (b"\x00", b"\x01", b"\x80", b"\xff"):
            agree(tool, b"\x81\xa1k" + bytes([tag]) + fill * rest)
            agree(tool, b"\x81" + bytes([tag]) + fill * rest)


@pytest.mark.parametrize("depth", [1, 2, 31, 32, 33, 34, 100])
@pytest.mark.parametrize("kind", ["list", "map"])
def test_nesting_ends_at_the_limit(tool, depth, kind):
    value = {}
    for level in range(depth - 1):
        is_list = kind == "list" and level < depth - 2
        value = [value] if is_list else {"k": value}
    answer = agree(tool, pack(value)) if depth < 100 else tool(pack(value))
    assert (answer == TOO_DEEP) == (depth > MAX_DEPTH)


@pytest.mark.parametrize("n", [15, 16, 65535, 65536])
def test_containers_of_every_count(tool, n):
    data = pack({"list": [None] * n, "map": {str(i): i for i in range(n)}})
    assert tool(data) == b"+" + data


def test_a_large_message_is_like_a_small_one(tool):
    data = pack({"bytes": bytes(8 << 20), "text": "é" * (2 << 20), "list": list(range(200_000))})
    assert tool(data) == b"+" + data
