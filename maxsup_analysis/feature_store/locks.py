"""Locks that keep two runs from making the same part of a feature store; they go with their process."""

from pathlib import Path

from filelock import FileLock, Timeout

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.store import PARTIAL
from maxsup_analysis.files import refusing_to_write
from maxsup_analysis.ranks import Ranks


def locked(folder: Path, ranks: Ranks) -> FileLock:
    """The lock of a rank in the folder of a store in the making, which is made where it is not there.

    Raises InputError where another run is at it: the same rank of as many, or any rank of another division.
    """
    mine = folder / _lock_name(ranks)
    for _ in range(100):
        with refusing_to_write(folder.parent, "choose another output with -o"):
            folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(mine)
        try:
            lock.acquire(blocking=False)
            if mine.exists():
                _require_one_division(folder, ranks, lock)
                return lock
            # Another run finished the store between the two steps, and the folder is gone.
            lock.release()
        except FileNotFoundError:
            continue
        except Timeout:
            raise InputError(_taken(folder, str(ranks))) from None
    raise InputError(f"cannot lock {mine}; remove {folder} if no other run is at it")


def _require_one_division(folder: Path, ranks: Ranks, lock: FileLock) -> None:
    for path in folder.glob("rank-*.lock"):
        if path.name.endswith(f"-of-{ranks.world}.lock"):
            continue
        other = FileLock(path)
        try:
            other.acquire(blocking=False)
            other.release()
        except Timeout:
            lock.release()
            raise InputError(_taken(folder, path.stem.replace("-", " "))) from None


def _lock_name(ranks: Ranks) -> str:
    return f"rank-{ranks.rank}-of-{ranks.world}.lock"


def _taken(folder: Path, which: str) -> str:
    return (
        f"another run ({which}) is making {folder.name.removesuffix(PARTIAL)} at this moment; wait for it, share the "
        "work with --rank, or choose another output with -o"
    )
