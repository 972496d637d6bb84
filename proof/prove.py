"""Shows that the compiled decoder does the same however its input is cut, and never panics: for all inputs.

    python prove.py LIBRARY [STATE ...]

LIBRARY is what `decoder/` compiles to. Each STATE below is a set of inputs behind a state of the decoder. Prints one JSON
object a line: "progress" now and then, one "proven" for each state, or "found" with an input that breaks it, and ends
with 1 then. Anything that would leave a gap is an exception: no verdict is given.
"""

import argparse
import ctypes
import importlib.metadata
import json
import math
import os
import resource
import signal
import sys
import time

import claripy

from symbolic import Memory, Path, Program, Unsupported, explore
from task import CAPACITY, ENTRIES, FIRST_FAULT, FAULTS, KINDS, LIMITS, OTHER_PATHS, Answer, Record, Request, Task


class State:
    """A state of the decoder and the inputs that are tried on it."""

    def __init__(self, says, prefix, size, pieces, reaches, moves=None, least=0):
        self.says = says
        # Parts of the stream that lead there: concrete bytes, or how many symbolic ones.
        self.prefix = prefix
        # Bytes of the input, and into how many pieces it is cut.
        self.size = size
        self.pieces = pieces
        # Events and faults that must come on some path, or the state is not what it says.
        self.reaches = reaches
        # How much of the payload that the prefix announces is moved past the decoder: "some" or "all".
        self.moves = moves
        # The least that the first two bytes of the input announce.
        self.least = least


HEAD = b"\x80\x01"
ANY_COUNT = 8
ANY_LENGTH = 8
NO_NAME = b"\0\0"
NO_FILES = bytes(8)
A_FILE = (HEAD, ANY_COUNT, NO_NAME, ANY_LENGTH)
A_MESSAGE = (HEAD, NO_FILES, ANY_LENGTH)

STATES = {
    "start": State(
        "at the start of a stream",
        (),
        size=20,
        pieces=3,
        reaches=("bad_start_bit", "unsupported_version", "too_many_files", "message_too_long", "name_too_long")
        + ("file_too_long", "frame_too_long", "frame_start", "file_start", "file_end", "message_start")
        + ("message_data", "frame_end"),
    ),
    "record": State(
        "behind a file of any size",
        A_FILE,
        size=12,
        pieces=2,
        reaches=("file_end", "file_start", "file_data", "message_start", "message_data", "frame_end")
        + ("name_too_long", "file_too_long", "message_too_long", "frame_too_long"),
        moves="all",
    ),
    "name": State(
        "behind a file of any size, if a name of at least 5 bytes follows",
        A_FILE,
        size=20,
        pieces=2,
        reaches=("file_start", "file_data", "name_too_long", "file_too_long", "frame_too_long"),
        moves="all",
        least=5,
    ),
    "file data": State(
        "anywhere in the data of a file of any size",
        A_FILE,
        size=12,
        pieces=2,
        reaches=("file_data", "file_end", "file_start", "message_start", "frame_too_long"),
        moves="some",
    ),
    "message data": State(
        "anywhere in a message of any size",
        A_MESSAGE,
        size=12,
        pieces=2,
        reaches=("message_data", "frame_end", "frame_start", "bad_start_bit"),
        moves="some",
    ),
}


class Question:
    """One state as the solver gets it: the memory of a task, and what of it stands for anything."""

    def __init__(self, name, state, entry):
        self.name, self.state, self.entry = name, state, entry
        # What stands for anything, and sums of it, by the name of its place in the request.
        self.inputs = {}
        self.assumed = []
        self.fixed = {"input": state.size, "last_cut": state.size, "pieces": state.pieces, "first_cut": 0}
        for limit in LIMITS[:-1]:
            self.anything(limit)
        self.anything("any_version", 1)
        parts = list(state.prefix) + ([state.size] if entry == "check_cuts" else [])
        at = 0
        self.stream = []
        for index, content in enumerate(parts):
            if isinstance(content, int):
                symbol = self.anything(f"stream {at}", 8 * content)
                self.stream.append((at, symbol, content))
                at += content
            else:
                self.stream.append((at, content, len(content)))
                at += len(content)
            if index == len(state.prefix) - 1:
                self.fixed["prefix"] = at
        self.fixed.setdefault("prefix", 0)
        if state.moves:
            # The last length of the prefix: the sum of what is moved and what is not, which is easier on the solver than
            # the difference would be.
            advance = self.anything("advance")
            rest = self.symbol("rest") if state.moves == "some" else claripy.BVV(0, 64)
            at, _, size = self.stream.pop(-1 if entry == "check_payload" else -2)
            length = self.inputs[f"stream {at}"] = advance + rest
            self.stream.append((at, length, size))
            self.assumed.append(claripy.ULE(advance, length))
            if state.prefix == A_FILE:
                self.assumed.append(self.inputs[f"stream {len(HEAD)}"] != 0)
        if state.least:
            first = self.inputs[f"stream {self.fixed['prefix']}"]
            self.assumed.append(claripy.UGE(first[first.length - 1 : first.length - 16], state.least))
        if entry == "check_payload":
            cut = self.anything("long_cut")
            self.inputs["long"] = cut + self.symbol("behind_cut")
            self.assumed.append(claripy.ULE(cut, self.inputs["long"]))

    def anything(self, name, bits=64):
        self.inputs[name] = self.symbol(name, bits)
        return self.inputs[name]

    def symbol(self, name, bits=64):
        return claripy.BVS(name.replace(" ", "_"), bits, explicit_name=True)

    def memory(self, image):
        memory = Memory(image)
        memory.store(TASK, 0, ctypes.sizeof(Task))
        for name, value in self.fixed.items():
            memory.store(TASK + getattr(Request, name).offset, value, 8)
        for name, symbol in self.inputs.items():
            if not name.startswith("stream"):
                memory.store(TASK + getattr(Request, name).offset, claripy.ZeroExt(64 - symbol.length, symbol), 8)
        for at, content, size in self.stream:
            place = TASK + Request.stream.offset + at
            if isinstance(content, bytes):
                content = int.from_bytes(content, "little")
            else:
                content = content.reversed
            memory.store(place, content, size)
        return memory

    def concrete(self, values):
        """The task with a number in the place of each symbol."""
        task = Task()
        request = task.request
        for name, value in self.fixed.items():
            setattr(request, name, value)
        for name, value in values.items():
            if not name.startswith("stream"):
                setattr(request, name, value)
        for at, content, size in self.stream:
            if not isinstance(content, bytes):
                content = values[f"stream {at}"].to_bytes(size, "big")
            request.stream[at : at + size] = content
        return task


class Found(Exception):
    """An input that breaks what was to be shown."""


class Proof:
    def __init__(self, library):
        self.program = Program(library)
        self.native = ctypes.CDLL(library)
        self.program.hooks[RETURN] = lambda path: "returned"
        self.program.hooks[self.program.address("choose")] = choose
        if panic := self.program.address("abort"):
            self.program.hooks[panic] = lambda path: "panicked"

    def prove(self, name, state, entry):
        """Answers what was covered; raises `Found`."""
        begun = time.monotonic()
        question = Question(name, state, entry)
        path = Path(self.program, self.program.address(entry), question.memory(self.program.image))
        path.set_register("rdi", TASK)
        path.set_register("rsp", STACK)
        path.set_register("d", 1)
        path.memory.store(STACK, RETURN, 8)
        for condition in question.assumed:
            path.assume(condition)
        conditions = []
        steps = 0
        seen = {}

        def on_end(path, end):
            nonlocal steps
            steps += path.steps
            path.steps = 0
            conditions.append(claripy.And(*path.solver.constraints))
            broken = claripy.true() if end == "panicked" else None
            if end == "returned":
                result = path.register("rax")
                broken = result != 0 if not isinstance(result, int) else claripy.BoolV(result != 0)
            if path.solver.satisfiable([broken]):
                self.report(question, path, end, broken)
            for kind in self.replay(question, path):
                seen[kind] = seen.get(kind, 0) + 1

        def on_progress(waiting):
            text = f"{name}: {len(conditions)} paths, {waiting} more begun, {time.monotonic() - begun:.0f} s"
            say(event="progress", text=text)

        explore(self.program, path, on_end, on_progress)
        # No input has been lost on the way.
        rest = claripy.Solver()
        rest.add(question.assumed)
        rest.add(claripy.Not(claripy.Or(*conditions)))
        if rest.satisfiable():
            raise Unsupported("the paths do not cover all inputs")
        if entry == "check_cuts" and (missing := [kind for kind in state.reaches if kind not in seen]):
            raise Unsupported(f"no path of state {name!r} reaches {', '.join(missing)}")
        seconds = time.monotonic() - begun
        return {"paths": len(conditions), "steps": steps, "seconds": math.ceil(seconds), "reached": seen}

    def witness(self, question, path, *conditions):
        symbols = list(question.inputs.values())
        (values,) = path.solver.batch_eval(symbols, 1, extra_constraints=conditions)
        return dict(zip(question.inputs, values))

    def replay(self, question, path):
        """Runs an input of the path on the processor: it must do what the path says. Answers what came of it."""
        values = self.witness(question, path)
        task = question.concrete(values)
        signaled, result, task = self.run(question.entry, task)
        if signaled or result:
            raise Unsupported(f"the processor disagrees: {values}: signal {signaled}, result {result}")
        if question.entry == "check_payload":
            return []
        given = [symbol == values[name] for name, symbol in question.inputs.items()]
        answer = TASK + Task.answer.offset
        for record in ("reference", "record"):
            base = answer + getattr(Answer, record).offset
            length = getattr(task.answer, record).len
            symbolic = [path.memory.load(base + 8 * index, 8) for index in range(1 + 4 * length)]
            native = ctypes.cast(ctypes.addressof(getattr(task.answer, record)), ctypes.POINTER(ctypes.c_uint64))
            wrong = [
                claripy.BoolV(value != native[index]) if isinstance(value, int) else value != native[index]
                for index, value in enumerate(symbolic)
            ]
            if path.solver.satisfiable([*given, claripy.Or(*wrong)]):
                raise Unsupported(f"the processor records something else for {values}")
        return {KINDS[entry.kind] for entry in task.answer.reference.entries[: task.answer.reference.len]}

    def report(self, question, path, end, broken):
        values = self.witness(question, path, broken)
        task = question.concrete(values)
        request = task.request
        stream = bytes(request.stream[: request.prefix + request.input])
        found = {
            "state": question.name,
            "what": "panic" if end == "panicked" else "difference",
            "prefix": stream[: request.prefix].hex(),
            "input": stream[request.prefix :].hex(),
            "limits": {name: getattr(request, name) for name in LIMITS},
            "moved": request.advance,
        }
        if question.entry == "check_payload":
            found |= {"input": f"{request.long} bytes", "cuts": [request.long_cut]}
        elif end == "returned":
            signaled, result, answered = self.run(question.entry, task)
            if signaled or not result:
                raise Unsupported(f"the processor does not show the difference: {found}")
            found |= self.place(question, task, answered)
        else:
            signaled, _, _ = self.run(question.entry, task)
            if signaled != signal.SIGABRT:
                raise Unsupported(f"the processor does not show the panic: {found}")
            found |= self.narrowed(question, task)
        raise Found(found)

    def place(self, question, task, answered):
        """Which cuts make a difference, or which way of taking the whole, and what is recorded there."""
        request, answer = task.request, answered.answer
        for way, difference in zip(OTHER_PATHS, answer.other_paths):
            if difference:
                return {"by": way, "byte_by_byte": answer.reference.said()}
        for index, difference in enumerate(answer.differences):
            if difference:
                first, second = (at - request.prefix for at in divmod(index, CAPACITY + 1))
                request.first_cut, request.last_cut = first, first
                _, _, answered = self.run(question.entry, task)
                answer = answered.answer
                cuts = sorted({at for at in (first, second) if 0 < at < request.input})
                return {"cuts": cuts, "byte_by_byte": answer.reference.said(), "cut": answer.record.said()}
        return {"by": "byte by byte, where it breaks its contract", "byte_by_byte": answer.reference.said()}

    def narrowed(self, question, task):
        """The first cut that panics, on its own; another way where it panics without a cut, too."""
        request = task.request
        request.first_cut, request.last_cut = 1, 0
        if self.run(question.entry, task)[0]:
            return {"by": "byte by byte or whole"}
        for cut in range(request.input + 1):
            request.first_cut = request.last_cut = cut
            if self.run(question.entry, task)[0]:
                return {"cuts": [cut] if 0 < cut < request.input else []}
        return {}

    def run(self, entry, task):
        """Calls the library on the processor, in a process of its own: the signal that ended it, result and answer."""
        size = ctypes.sizeof(Task)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            signal.signal(signal.SIGABRT, signal.SIG_DFL)
            function = getattr(self.native, entry)
            function.restype, function.argtypes = ctypes.c_uint64, [ctypes.c_void_p]
            result = function(ctypes.addressof(task))
            with os.fdopen(theirs, "wb") as pipe:
                pipe.write(result.to_bytes(8, "little") + bytes(task))
            os._exit(0)
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return os.WTERMSIG(status), None, None
        assert len(data) == 8 + size
        return None, int.from_bytes(data[:8], "little"), Task.from_buffer_copy(data[8:])


def choose(path):
    """What `choose` of the library does: returns a value, on a path of its own for each there can be."""
    paths = []
    for one, value in path.settle(path.register("rdi"), 64):
        one.set_register("rax", value)
        stack = one.register("rsp")
        one.ip = one.load(stack, 8)
        one.set_register("rsp", stack + 8)
        paths.append(one)
    return paths


def say(**what):
    print(json.dumps(what), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("states", nargs="*", metavar="STATE", help=f"of: {', '.join(STATES)}; none for all")
    parser.add_argument("--bytes", type=int, help="length of the inputs, instead of each state's own")
    parser.add_argument("--pieces", type=int, choices=(2, 3), help="how many pieces the input is cut into at most")
    arguments = parser.parse_args()
    proof = Proof(os.path.abspath(arguments.library))
    say(event="tools", angr=importlib.metadata.version("angr"), z3=importlib.metadata.version("z3-solver"))
    for name in arguments.states or STATES:
        state = STATES[name]
        state.size = arguments.bytes or state.size
        state.pieces = arguments.pieces or state.pieces
        for entry in ("check_payload", "check_cuts") if state.moves == "some" else ("check_cuts",):
            try:
                covered = proof.prove(name, state, entry)
            except Found as found:
                say(event="found", **found.args[0])
                return 1
            size = state.size if entry == "check_cuts" else None
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            say(event="proven", state=name, says=state.says, bytes=size, pieces=state.pieces, peak_mib=peak, **covered)
    return 0


# Places in the solver's memory where the program has nothing of its own.
TASK = 0x1000_0000
# As a call leaves it: aligned but for the return address.
STACK = 0x2000_0008
RETURN = 0x3000_0000

if __name__ == "__main__":
    sys.exit(main())
