"""Runs a compiled function on all inputs at once.

angr gives the loader, the lifter to VEX, the meaning of VEX's operations and the solver. The loop that steps through
blocks is this file's own: angr's general one keeps much that is not needed here and takes a hundred times as long. It
gives each block's intermediate code the form of a Python function, in which a value is an `int` as long as it is
concrete and a claripy expression when it depends on the input.

Nothing is approximated. A branch that depends on the input is taken both ways, if the solver says that both are
possible; an address that does is taken for each value it can have; memory that was not written holds anything. What
cannot be done so is an error, which ends the whole proof: `Unsupported`.
"""

import re
import time

import angr
import claripy
import pyvex
from angr.engines.vex.claripy import ccall, irop


class Unsupported(Exception):
    """The program does what this cannot follow: nothing is proven."""


class Program:
    """A library, loaded as it is, without any of those it would be linked to."""

    def __init__(self, path):
        self.project = angr.Project(str(path), auto_load_libs=False, use_sim_procedures=False)
        if self.project.arch.name != "AMD64":
            raise Unsupported(f"code for {self.project.arch.name}: x86-64 is what this knows")
        self.registers = {name: offset for name, (offset, _) in self.project.arch.registers.items()}
        self.image = {}
        for start, backer in self.project.loader.memory.backers():
            self.image.update((start + index, byte) for index, byte in enumerate(bytes(backer)))
        self.hooks = {}
        self.blocks = {}
        # angr asks one for its options where it computes flags.
        self.state = self.project.factory.blank_state()

    def address(self, name):
        """Where a function begins, be it the library's own or one that it imports; None for neither."""
        symbol = self.project.loader.find_symbol(name)
        return symbol and symbol.rebased_addr

    def block(self, address):
        block = self.blocks.get(address)
        if block is None:
            block = self.blocks[address] = compiled(self, self.project.factory.block(address).vex)
        return block


class Path:
    """One way through the program, with all that is known of the inputs that take it."""

    def __init__(self, program, entry, memory):
        self.program = program
        self.memory = memory
        self.registers = {}
        self.solver = claripy.Solver()
        # What the solver was asked already, by the expression's hash: what it must be on this path. The same comparisons
        # come again and again.
        self.known = {}
        self.steps = 0
        self.ip = entry

    def copy(self):
        twin = object.__new__(Path)
        twin.program, twin.steps, twin.ip = self.program, self.steps, self.ip
        twin.memory, twin.registers, twin.known = self.memory.copy(), self.registers.copy(), self.known.copy()
        twin.solver = self.solver.branch()
        return twin

    def register(self, name):
        return self.get(self.program.registers[name], 8)

    def set_register(self, name, value):
        self.put(self.program.registers[name], value, 8)

    # Registers lie in slots of 8 bytes.

    def get(self, offset, size):
        if size > 8:
            return joined([self.get(offset + at, 8) for at in range(0, size, 8)], 64)
        slot, shift = offset & ~7, (offset & 7) * 8
        value = self.registers.get(slot)
        if value is None:
            value = self.registers[slot] = claripy.BVS(f"register_{slot}", 64)
        return part(value, 64, shift, size * 8)

    def put(self, offset, value, size):
        if size > 8:
            for at in range(0, size, 8):
                self.put(offset + at, part(value, size * 8, at * 8, 64), 8)
            return
        slot, shift = offset & ~7, (offset & 7) * 8
        if size < 8:
            whole = self.get(slot, 8)
            pieces = [(part(whole, 64, 0, shift), shift), (value, size * 8)]
            pieces.append((part(whole, 64, shift + size * 8, 64 - shift - size * 8), 64 - shift - size * 8))
            value = concatenated([(piece, width) for piece, width in pieces if width])
        self.registers[slot] = value

    # Memory at addresses that may depend on the input.

    def load(self, address, size):
        if isinstance(address, int):
            return self.memory.load(address, size)
        *others, last = self.values(address)
        value = expression(self.memory.load(last, size), size * 8)
        for at in others:
            value = claripy.If(address == at, expression(self.memory.load(at, size), size * 8), value)
        return lowered(value)

    def store(self, address, value, size):
        if isinstance(address, int):
            self.memory.store(address, value, size)
            return
        possible = self.values(address)
        if len(possible) == 1:
            self.memory.store(possible[0], value, size)
            return
        value = expression(value, size * 8)
        for at in possible:
            before = expression(self.memory.load(at, size), size * 8)
            self.memory.store(at, lowered(claripy.If(address == at, value, before)), size)

    # What is possible.

    def values(self, value):
        """All that an expression can be on this path."""
        if isinstance(value, int):
            return (value,)
        key = value.hash()
        if key in self.known:
            return (self.known[key],)
        values = self.solver.eval(value, MOST_VALUES + 1)
        if len(values) > MOST_VALUES:
            raise Unsupported(f"more than {MOST_VALUES} values where each is followed, at {self.ip:#x}")
        if len(values) == 1:
            self.known[key] = values[0]
        return tuple(sorted(values))

    def settle(self, value, size):
        """Splits into a path for each value that an expression can have: pairs of path and value."""
        possible = self.values(value)
        paths = [self.copy() for _ in possible[1:]] + [self]
        for path, one in zip(paths, possible):
            if len(possible) > 1:
                path.assume(value == one)
                path.known[value.hash()] = one
        return list(zip(paths, possible))

    def assume(self, condition):
        self.solver.add(condition)

    def decided(self, bit):
        """What a condition is on this path: 0, 1, or None for both."""
        if isinstance(bit, int):
            return bit
        key = bit.hash()
        if key not in self.known:
            holds = bit == 1
            can, need_not = (self.solver.satisfiable([c]) for c in (holds, claripy.Not(holds)))
            if can and need_not:
                return None
            self.known[key] = int(can)
        return self.known[key]

    def chosen(self, bit, one, other, size):
        """`one` if a condition holds, else `other`."""
        decided = self.decided(bit)
        if decided is not None:
            return one if decided else other
        return lowered(claripy.If(bit == 1, expression(one, size), expression(other, size)))

    def leaves(self, bit, target, forks):
        """Whether a side exit is taken. If it may be or not, the path that takes it goes to `forks`."""
        decided = self.decided(bit)
        if decided is not None:
            return decided
        twin = self.copy()
        twin.assume(bit == 1)
        twin.known[bit.hash()] = 1
        twin.ip = target
        forks.append(twin)
        self.assume(bit == 0)
        self.known[bit.hash()] = 0
        return 0


class Memory:
    """Bytes, each an `int` or a place in an expression. What nobody wrote is anything."""

    def __init__(self, image):
        self.image = image
        self.own = {}

    def copy(self):
        twin = Memory(self.image)
        twin.own = self.own.copy()
        return twin

    def byte(self, address):
        value = self.own.get(address)
        if value is None:
            value = self.image.get(address)
            if value is None:
                value = self.own[address] = (claripy.BVS(f"memory_{address:x}", 8), 0)
        return value

    def load(self, address, size):
        values = [self.byte(address + at) for at in range(size)]
        if all(type(value) is int for value in values):
            return int.from_bytes(values, "little")
        return assembled(values)

    def store(self, address, value, size):
        if isinstance(value, int):
            self.own.update(enumerate(value.to_bytes(size, "little"), address))
        else:
            self.own.update((address + at, (value, at)) for at in range(size))


def explore(program, path, on_end, on_progress=None):
    """Follows a path and all that split from it, to the end of each: calls `on_end` with it and the name of its end."""
    todo = [path]
    said = time.monotonic()
    while todo:
        path = todo.pop()
        while True:
            path.steps += 1
            hook = program.hooks.get(path.ip)
            if hook is not None:
                outcome = hook(path)
                if isinstance(outcome, str):
                    on_end(path, outcome)
                    break
                todo.extend(outcome)
                path = todo.pop()
                continue
            target = program.block(path.ip)(path, todo)
            if isinstance(target, int):
                path.ip = target
            else:
                for other, target in path.settle(target, 64):
                    other.ip = target
                    if other is not path:
                        todo.append(other)
            if on_progress and not path.steps % 256 and time.monotonic() - said > PROGRESS_INTERVAL:
                said = time.monotonic()
                on_progress(len(todo))


# Values: an `int`, or an expression that is not concrete.


def expression(value, size):
    return claripy.BVV(value, size) if isinstance(value, int) else value


def lowered(value):
    return value.concrete_value if value.op == "BVV" else value


def remembered(results, values, calculate):
    """What `calculate` makes of the values. The same are computed again and again, on all paths."""
    key = tuple([value if type(value) is int else (value.hash(),) for value in values])
    result = results.get(key)
    if result is None:
        result = results[key] = calculate(*values)
    return result


def part(value, width, shift, size):
    """`size` bits from `shift` on of a value of `width`."""
    if isinstance(value, int):
        return value >> shift & (1 << size) - 1
    if size == width or size == 0:
        return value if size else 0
    return remembered(PARTS, (value, shift, size), extracted)


def extracted(value, shift, size):
    return lowered(value[shift + size - 1 : shift])


def concatenated(pieces):
    """One value of pieces and their widths, the lowest first."""
    if all(isinstance(piece, int) for piece, _ in pieces):
        value = shift = 0
        for piece, width in pieces:
            value |= piece << shift
            shift += width
        return value
    if len(pieces) == 1:
        return pieces[0][0]
    values = [value for piece in pieces for value in piece]
    return remembered(WHOLES, values, concatenation)


def concatenation(*values):
    pieces = [expression(*piece) for piece in zip(values[::2], values[1::2])]
    return lowered(claripy.Concat(*reversed(pieces)))


def assembled(values):
    """One value of bytes, the lowest first."""
    pieces = []
    at = 0
    while at < len(values):
        if type(values[at]) is int:
            pieces.append((values[at], 8))
            at += 1
            continue
        # As many bytes as lie together in one expression.
        source, first = values[at]
        count = 1
        while at + count < len(values) and type(values[at + count]) is tuple:
            if values[at + count][0] is not source or values[at + count][1] != first + count:
                break
            count += 1
        pieces.append((part(source, source.length, first * 8, count * 8), count * 8))
        at += count
    return concatenated(pieces)


def bytes_of(value, size):
    """The bytes of a value, the lowest first: each an `int` or a place in an expression; None if it has none."""
    if size % 8:
        return None
    if isinstance(value, int):
        return list(value.to_bytes(size // 8, "little"))
    key = value.hash()
    if key not in BYTES:
        BYTES[key] = found_bytes(value)
    return BYTES[key]


def found_bytes(value):
    sizes = [argument.length for argument in value.args if isinstance(argument, claripy.ast.BV)]
    if any(size % 8 for size in sizes):
        return [(value, at) for at in range(value.length // 8)]
    match value.op:
        case "BVV":
            return bytes_of(value.concrete_value, value.length)
        case "Reverse":
            return bytes_of(value.args[0], value.length)[::-1]
        case "ZeroExt" if not value.args[0] % 8:
            return bytes_of(value.args[1], sizes[0]) + [0] * (value.args[0] // 8)
        case "Concat":
            return [byte for piece in reversed(value.args) for byte in bytes_of(piece, piece.length)]
        case "Extract" if not value.args[1] % 8:
            return bytes_of(value.args[2], sizes[0])[value.args[1] // 8 :][: value.length // 8]
    return [(value, at) for at in range(value.length // 8)]


def shuffle(name):
    """What an operation does with bytes, if it only moves some; then a function that answers None if it does more.

    A compiler turns numbers around with shifts and masks, which would hide from the solver that nothing is computed.
    """
    found = re.fullmatch(r"Iop_(And|Or|Xor|Shl|Shr)(16|32|64)|Iop_(8|16|32)Uto(16|32|64)|Iop_(16|32|64)to(8|16|32)", name)
    if not found:
        return None
    if found[1] == "And":
        return lambda a, b: bytewise(a, b, lambda x, y: 0 if 0 in (x, y) else x if y == 255 else y if x == 255 else None)
    if found[1] in ("Or", "Xor"):
        return lambda a, b: bytewise(a, b, lambda x, y: y if x == 0 else x if y == 0 else None)
    if found[1]:
        return lambda a, by: shifted(a, by, found[1] == "Shl")
    if found[3]:
        return lambda a: a + [0] * ((int(found[4]) - int(found[3])) // 8)
    return lambda a: a[: int(found[6]) // 8]


def bytewise(one, other, combine):
    values = [combine(x, y) for x, y in zip(one, other)]
    return None if None in values else values


def shifted(values, by, to_higher):
    count, odd = divmod(by[0], 8) if type(by[0]) is int else (0, 1)
    if odd or count > len(values):
        return None
    empty = [0] * count
    return empty + values[: len(values) - count] if to_higher else values[count:] + empty


def joined(values, width):
    return concatenated([(value, width) for value in values])


# From VEX to Python.


def compiled(program, irsb):
    """A function that runs a block: of a path and the list that gets those that split off, to the next address."""
    if irsb.jumpkind not in JUMPS:
        raise Unsupported(f"{irsb.jumpkind} behind {irsb.addr:#x}")
    scope = {"expression": expression}
    types = irsb.tyenv

    def bits(text):
        return pyvex.get_type_size(text)

    def source(e):
        match e.tag:
            case "Iex_RdTmp":
                return f"t{e.tmp}"
            case "Iex_Const":
                if not isinstance(e.con.value, int):
                    raise Unsupported(f"floating point at {irsb.addr:#x}")
                return str(constant(e.con))
            case "Iex_Get":
                size = bits(e.ty) // 8
                if size == 8 and not e.offset % 8:
                    # The commonest case, without a call.
                    return f"(r[{e.offset}] if {e.offset} in r else path.get({e.offset}, 8))"
                return f"path.get({e.offset}, {size})"
            case "Iex_Load" if e.end == "Iend_LE":
                return f"path.load({source(e.addr)}, {bits(e.ty) // 8})"
            case "Iex_Unop" | "Iex_Binop" | "Iex_Triop" | "Iex_Qop":
                operation = scope[e.op] = OPERATIONS.get(e.op) or OPERATIONS.setdefault(e.op, Operation(e.op))
                sizes = [bits(argument.result_type(types)) for argument in e.args]
                operation.sizes = sizes
                return f"{e.op}({', '.join(source(argument) for argument in e.args)})"
            case "Iex_ITE":
                size = bits(e.result_type(types))
                return f"path.chosen({source(e.cond)}, {source(e.iftrue)}, {source(e.iffalse)}, {size})"
            case "Iex_CCall":
                name = e.callee.name
                helper = scope[name] = HELPERS.get(name) or HELPERS.setdefault(name, Helper(program, name, e.retty))
                helper.sizes = [bits(argument.result_type(types)) for argument in e.args]
                return f"{name}({', '.join(source(argument) for argument in e.args)})"
        raise Unsupported(f"{e} at {irsb.addr:#x}")

    lines = ["r = path.registers"]
    for statement in irsb.statements:
        match statement.tag:
            case "Ist_IMark" | "Ist_AbiHint" | "Ist_NoOp":
                pass
            case "Ist_WrTmp":
                lines.append(f"t{statement.tmp} = {source(statement.data)}")
            case "Ist_Put":
                size = bits(statement.data.result_type(types)) // 8
                if size == 8 and not statement.offset % 8:
                    lines.append(f"r[{statement.offset}] = {source(statement.data)}")
                else:
                    lines.append(f"path.put({statement.offset}, {source(statement.data)}, {size})")
            case "Ist_Store" if statement.end == "Iend_LE":
                size = bits(statement.data.result_type(types)) // 8
                lines.append(f"path.store({source(statement.addr)}, {source(statement.data)}, {size})")
            case "Ist_Exit" if statement.jumpkind in JUMPS:
                target = constant(statement.dst)
                lines.append(f"if path.leaves({source(statement.guard)}, {target}, forks): return {target}")
            case "Ist_Exit":
                # A signal, such as for an address that is not aligned.
                scope["Unsupported"] = Unsupported
                reason = f"{statement.jumpkind} is possible at {irsb.addr:#x}"
                lines.append(f"if path.decided({source(statement.guard)}) != 0: raise Unsupported({reason!r})")
            case _:
                raise Unsupported(f"{statement} at {irsb.addr:#x}")
    lines.append(f"return {source(irsb.next)}")
    exec("def block(path, forks):\n    " + "\n    ".join(lines), scope)
    return scope["block"]


def constant(con):
    return con.value & (1 << con.size) - 1


class Operation:
    """A VEX operation, as angr defines it. The common ones are computed here when all is concrete."""

    def __init__(self, name):
        self.meaning = irop.vexop_to_simop(name, extended=True, fp=False)
        self.concrete = concrete(name)
        self.shuffle = shuffle(name)
        self.sizes = None
        self.results = {}

    def __call__(self, *values):
        if self.concrete and all(type(value) is int for value in values):
            return self.concrete(*values)
        return remembered(self.results, values, self.calculate)

    def calculate(self, *values):
        if self.shuffle:
            moved = self.shuffle(*(bytes_of(value, size) for value, size in zip(values, self.sizes)))
            if moved is not None:
                return assembled(moved)
        return lowered(self.meaning.calculate(*map(expression, values, self.sizes)))


class Helper:
    """One of VEX's functions for flags, as angr defines it."""

    def __init__(self, program, name, result):
        self.state = program.state
        self.meaning = getattr(ccall, name)
        self.size = pyvex.get_type_size(result)
        self.sizes = None
        self.results = {}

    def __call__(self, *values):
        return remembered(self.results, values, self.calculate)

    def calculate(self, *values):
        return lowered(self.meaning(self.state, *map(expression, values, self.sizes)))


def concrete(name):
    """What an operation does with integers; None for those that are left to angr."""
    if found := re.fullmatch(r"Iop_(Add|Sub|And|Or|Xor|Shl|Shr|CmpEQ|CmpNE)(8|16|32|64)", name):
        mask = (1 << int(found[2])) - 1
        return {
            "Add": lambda a, b: a + b & mask,
            "Sub": lambda a, b: a - b & mask,
            "And": lambda a, b: a & b,
            "Or": lambda a, b: a | b,
            "Xor": lambda a, b: a ^ b,
            "Shl": lambda a, b: a << b & mask,
            "Shr": lambda a, b: a >> b,
            "CmpEQ": lambda a, b: int(a == b),
            "CmpNE": lambda a, b: int(a != b),
        }[found[1]]
    if found := re.fullmatch(r"Iop_Cmp(LT|LE)(8|16|32|64)U", name):
        return (lambda a, b: int(a < b)) if found[1] == "LT" else lambda a, b: int(a <= b)
    if found := re.fullmatch(r"Iop_(1|8|16|32|64)(U?)to(1|8|16|32|64)", name):
        mask = (1 << int(found[3])) - 1
        return lambda a: a & mask
    return None


OPERATIONS = {}
HELPERS = {}
BYTES = {}
PARTS = {}
WHOLES = {}
JUMPS = ("Ijk_Boring", "Ijk_Call", "Ijk_Ret")
# More than any length, index or jump table of the decoder has.
MOST_VALUES = 80
PROGRESS_INTERVAL = 2.0
