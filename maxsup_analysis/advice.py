"""Advice that names a flag says of which command it is, where the one that was called does not have it."""

import re
from collections.abc import Collection, Mapping

FLAG = re.compile(r"--[a-z][a-z0-9-]*")
OF_STUDIES = "ablate"
SAID_ALREADY = "is an option of"


def with_commands(message: str, command: str | None, flags: Mapping[str, Collection[str]]) -> str:
    """The message, with where the flags in it belong that the command lacks.

    flags: those of each command, the command to be named first where several have one.

    Example:
        >>> has = {"features": ["--split", "--class-map"], "probe": ["--splits"]}
        >>> with_commands("name one with --split", "probe", has)
        'name one with --split (of probe: --splits)'
        >>> with_commands("say --class-map FILE", "probe", has)
        'say --class-map FILE (--class-map is an option of `maxsup-analyze features`)'
        >>> with_commands("say --class-map FILE", "features", has)
        'say --class-map FILE'
    """
    own = flags.get(command or "")
    if own is None or SAID_ALREADY in message:
        return message
    lacking = [flag for flag in dict.fromkeys(FLAG.findall(message)) if flag not in own]
    known = [flag for flag in lacking if any(flag in theirs for theirs in flags.values())]
    said = [_where(flag, str(command), own, flags) for flag in known]
    return f"{message} ({'; '.join(said)})" if said else message


def _where(flag: str, command: str, own: Collection[str], flags: Mapping[str, Collection[str]]) -> str:
    near = next((mine for mine in sorted(own) if mine.startswith(flag)), None)
    if near is not None:
        return f"of {command}: {near}"
    if command == OF_STUDIES:
        return f"{flag} is a key of the study: {flag.strip('-').replace('-', '_')}"
    of = next(name for name, theirs in flags.items() if flag in theirs)
    return f"{flag} is an option of `maxsup-analyze {of}`"
