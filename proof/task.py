"""The memory that the compiled check shares with us: what `decoder/src/task.rs` and `record.rs` lay out."""

import ctypes

CAPACITY = 64
NAME = 8
ENTRIES = 24
LIMITS = ("files", "file", "message", "frame", "any_version")


def numbers(*names):
    return [(name, ctypes.c_uint64) for name in names]


class Request(ctypes.Structure):
    _fields_ = [
        *numbers(*LIMITS, "advance", "long", "long_cut", "prefix", "input", "first_cut", "last_cut", "pieces"),
        ("stream", ctypes.c_uint8 * CAPACITY),
    ]


class Entry(ctypes.Structure):
    _fields_ = numbers("kind", "at", "first", "second")


class Mark(ctypes.Structure):
    _fields_ = [
        *numbers("len", "payload_end", "offset", "remaining", "between_frames"),
        ("finish", ctypes.c_uint64 * 3),
    ]


class Record(ctypes.Structure):
    _fields_ = [*numbers("len"), ("entries", Entry * ENTRIES), ("marks", Mark * (CAPACITY + 1))]

    def said(self):
        """What it holds, for people."""
        return [described(entry) for entry in self.entries[: self.len]]


class Answer(ctypes.Structure):
    _fields_ = [
        ("other_paths", ctypes.c_uint64 * 3),
        ("differences", ctypes.c_uint64 * (CAPACITY + 1) ** 2),
        ("reference", Record),
        ("record", Record),
    ]


class Task(ctypes.Structure):
    _fields_ = [("request", Request), ("answer", Answer)]


def described(entry):
    name = KINDS.get(entry.kind, f"kind {entry.kind}")
    if entry.kind == 1:
        return f"{name} status={entry.first >> 8} version={entry.first & 255} files={entry.second} at {entry.at}"
    if entry.kind in (2, 5):
        size, what = (entry.second, f" name of {entry.first}") if entry.kind == 2 else (entry.first, "")
        return f"{name}{what} size={size} at {entry.at}"
    if entry.kind in (3, 6):
        return f"{name} {entry.at}..{entry.second}"
    if entry.kind >= FIRST_FAULT:
        return f"{name} value={entry.first} at {entry.at}"
    return f"{name} at {entry.at}"


OTHER_PATHS = ("through step and resolve", "through advance_payload", "through decode_frame")
FIRST_FAULT = 0x11
FAULTS = (
    "bad_start_bit",
    "unsupported_version",
    "too_many_files",
    "name_too_long",
    "file_too_long",
    "message_too_long",
    "frame_too_long",
)
KINDS = {
    1: "frame_start",
    2: "file_start",
    3: "file_data",
    4: "file_end",
    5: "message_start",
    6: "message_data",
    7: "frame_end",
} | dict(enumerate(FAULTS, FIRST_FAULT))
