"""Ways for a pickle to run something; each makes opcodes that leave one value and touch a canary when loaded."""

import marshal
import pickle
from collections.abc import Callable
from pathlib import Path

from tests.checkpoints.opcodes import (
    BUILD,
    EMPTY_TUPLE,
    MARK,
    NEWOBJ_EX,
    NONE,
    PERSISTENT,
    POP,
    POP_MARK,
    PROTOCOL_4,
    REDUCE,
    called,
    data,
    got,
    items,
    made,
    mapping,
    named,
    put,
    stacked,
    storage,
    stream,
    tensor,
    text,
    value_of,
    whole,
)

EXTENSION = 240  # copyreg keeps 240 to 255 for private use


def statement(canary: Path) -> str:
    """Python that touches the canary."""
    return f"open({str(canary)!r}, 'w').close()"


def command(canary: Path) -> bytes:
    """A shell command that touches the canary, as opcodes."""
    return text(f"touch '{canary}'")


def code(canary: Path) -> bytes:
    """Python that touches the canary, as opcodes."""
    return text(statement(canary))


SYSTEM, EXEC, GETATTR = named("os", "system"), named("builtins", "exec"), named("builtins", "getattr")


class Shell:
    """Reduces to a call."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, (statement(self.canary),)


def reduce_system(canary: Path) -> bytes:
    return called(SYSTEM, command(canary))


def reduce_exec(canary: Path) -> bytes:
    return called(EXEC, code(canary))


def reduce_eval_of_protocol_2(canary: Path) -> bytes:
    return called(named("__builtin__", "eval"), code(canary))


def reduce_of_a_class(canary: Path) -> bytes:
    return value_of(Shell(canary))


def newobj_then_setstate(canary: Path) -> bytes:
    partial = made(named("functools", "partial"), named("builtins", "print"))
    state = items(SYSTEM, items(command(canary)), value_of({}), NONE)
    return partial + state + BUILD + EMPTY_TUPLE + REDUCE


def build_plants_setstate(canary: Path) -> bytes:
    instance = made(named("types", "SimpleNamespace"))
    return instance + mapping((text("__setstate__"), EXEC)) + BUILD + code(canary) + BUILD


def newobj_ex(canary: Path) -> bytes:
    partial = PROTOCOL_4 + named("functools", "partial") + items(SYSTEM, command(canary)) + value_of({})
    return partial + NEWOBJ_EX + EMPTY_TUPLE + REDUCE


def newobj_of_a_lazy_map(canary: Path) -> bytes:
    lazy = made(named("builtins", "map"), SYSTEM, items(command(canary)))
    return made(named("builtins", "bytes"), lazy)


def stack_global(canary: Path) -> bytes:
    return called(stacked("os", "system"), command(canary))


def stack_global_with_dots(canary: Path) -> bytes:
    return called(stacked("shutil", "os.system"), command(canary))


def names_in_the_memo(canary: Path) -> bytes:
    remembered = put(text("json"), 250) + POP + put(text("os"), 250) + POP + put(text("system"), 70_000) + POP
    return remembered + PROTOCOL_4 + got(250) + b"g70000\n" + b"\x93" + items(command(canary)) + REDUCE


def getattr_chain(canary: Path) -> bytes:
    module = called(named("builtins", "__import__"), text("os"))
    return called(called(GETATTR, module, text("system")), command(canary))


def attribute_getter(canary: Path) -> bytes:
    module = called(named("importlib", "import_module"), text("os"))
    return (
        called(called(named("operator", "attrgetter"), text("system")), module)
        + items(command(canary))
        + REDUCE
    )


def method_caller(canary: Path) -> bytes:
    module = called(named("importlib", "import_module"), text("posix"))
    return called(called(named("operator", "methodcaller"), text("system"), command(canary)), module)


def resolve_name(canary: Path) -> bytes:
    return called(called(named("pkgutil", "resolve_name"), text("os:system")), command(canary))


def marshalled_code(canary: Path) -> bytes:
    compiled = data(marshal.dumps(compile(statement(canary), "<payload>", "exec")))
    return called(EXEC, called(named("marshal", "loads"), compiled))


def marshalled_function(canary: Path) -> bytes:
    compiled = called(
        named("marshal", "loads"), data(marshal.dumps(compile(statement(canary), "<f>", "exec")))
    )
    scope = mapping((text("__builtins__"), called(named("builtins", "__import__"), text("builtins"))))
    return called(called(named("types", "FunctionType"), compiled, scope))


def call_before_pop(canary: Path) -> bytes:
    return called(SYSTEM, command(canary)) + POP + text("resnet18")


def call_before_pop_mark(canary: Path) -> bytes:
    return MARK + called(SYSTEM, command(canary)) + POP_MARK + whole(7)


def instance_of_protocol_0(canary: Path) -> bytes:
    return MARK + f"V{statement(canary)}\n".encode() + b"ibuiltins\nexec\n"


def object_of_protocol_1(canary: Path) -> bytes:
    return MARK + SYSTEM + command(canary) + b"o"


def extension_registry(canary: Path) -> bytes:
    register = called(named("copyreg", "add_extension"), text("os"), text("system"), whole(EXTENSION))
    return register + POP + b"\x82" + bytes([EXTENSION]) + items(command(canary)) + REDUCE


def persistent_id(canary: Path) -> bytes:
    return (
        items(text("storage"), called(SYSTEM, command(canary)), text("0"), text("cpu"), whole(6)) + PERSISTENT
    )


def arguments_of_a_tensor(canary: Path) -> bytes:
    hooks = called(named("collections", "OrderedDict")), called(SYSTEM, command(canary))
    return tensor(storage("0", 6), (6,), (1,), 0, *hooks)


def rebuilt_from_a_type(canary: Path) -> bytes:
    """torch calls what the file names, with what the file gives."""
    arguments = named("builtins", "exec"), named("torch", "Tensor"), items(code(canary)), value_of({})
    return called(named("torch._tensor", "_rebuild_from_type_v2"), *arguments)


def storage_from_bytes(canary: Path) -> bytes:
    """torch opens a second pickle inside the first, and trusts it."""
    return called(named("torch.storage", "_load_from_bytes"), data(stream(reduce_system(canary))))


def pickle_in_a_pickle(canary: Path) -> bytes:
    return called(named("_pickle", "loads"), data(stream(reduce_system(canary), protocol=4)))


def timed_statement(canary: Path) -> bytes:
    return called(
        named("timeit", "timeit"), code(canary), text("pass"), named("time", "perf_counter"), whole(1)
    )


def profiled_statement(canary: Path) -> bytes:
    return called(named("cProfile", "run"), code(canary), text("/dev/null"))


def default_factory(canary: Path) -> bytes:
    factory = called(named("functools", "partial"), SYSTEM, command(canary))
    return called(
        named("operator", "getitem"), called(named("collections", "defaultdict"), factory), text("w")
    )


def framed_by_protocol_5(canary: Path) -> bytes:
    return pickle.dumps([Shell(canary)], protocol=5)[:-1]


PAYLOADS: dict[str, Callable[[Path], bytes]] = {
    payload.__name__: payload
    for payload in (
        reduce_system,
        reduce_exec,
        reduce_eval_of_protocol_2,
        reduce_of_a_class,
        newobj_then_setstate,
        build_plants_setstate,
        newobj_ex,
        newobj_of_a_lazy_map,
        stack_global,
        stack_global_with_dots,
        names_in_the_memo,
        getattr_chain,
        attribute_getter,
        method_caller,
        resolve_name,
        marshalled_code,
        marshalled_function,
        call_before_pop,
        call_before_pop_mark,
        instance_of_protocol_0,
        object_of_protocol_1,
        extension_registry,
        persistent_id,
        arguments_of_a_tensor,
        rebuilt_from_a_type,
        storage_from_bytes,
        pickle_in_a_pickle,
        timed_statement,
        profiled_statement,
        default_factory,
        framed_by_protocol_5,
    )
}
