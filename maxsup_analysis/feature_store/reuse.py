"""Whether a feature store that is there is the one that is wanted."""

import os
import shutil
from pathlib import Path

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.checks import shard_fault
from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.request import Request, certificates, partial_of, replaced_by
from maxsup_analysis.feature_store.store import FeatureStore, described, is_store, open_store


def reusable(request: Request) -> FeatureStore | None:
    """The store that is wanted, where it is there already, every byte of it checked; else None, and the way is clear.

    One that is harmed becomes a store in the making, so that only its harmed parts are made anew. Raises InputError
    where something else is in its place that may not be overwritten.
    """
    target, key = request.target, request.plan.key
    if not target.exists():
        return None
    if not target.is_dir() or not (is_store(target) or list(target.glob("rows-*.safetensors"))):
        raise InputError(
            f"{target} is no feature store and is not overwritten; choose another output with -o"
        )
    _remove_replaced(target)
    store = _as_described(target)
    if store is not None and store.key == key and (whole := _unharmed(request)) is not None:
        return whole
    if not target.exists():
        # Another rank has taken it up again at this moment.
        return None
    own = store.key == key if store is not None else any(certificates(request, target))
    if own:
        _take_up_again(request)
    elif not request.overwrite:
        raise InputError(_other_content(target, key, store))
    return None


def is_made(request: Request) -> bool:
    """Whether a store of this content is in its place; `reusable` also reads every byte of it."""
    try:
        return open_store(request.target).key == request.plan.key
    except InputError:
        return False


def _as_described(target: Path) -> FeatureStore | None:
    """What the manifest says, whatever became of head and shards; None where it cannot be read."""
    try:
        return described(target, with_head=False)
    except InputError:
        return None


def _unharmed(request: Request) -> FeatureStore | None:
    """The finished store, where every part of it is what it was, and no sample that is wanted lacks."""
    try:
        store = open_store(request.target)
    except InputError:
        return None
    if store.skipped and not request.allow_skipped:
        return None
    return None if any(shard_fault(store, place) is not None for place in store.places) else store


def _remove_replaced(target: Path) -> None:
    """What a store replaced, where a run was killed before it removed that."""
    replaced = replaced_by(target)
    if is_store(target) and is_store(replaced):
        shutil.rmtree(replaced, ignore_errors=True)


def _take_up_again(request: Request) -> None:
    """A finished store becomes one in the making; where there is one already, that goes on and takes its place."""
    try:
        os.rename(request.target, partial_of(request.target))
    except OSError:
        if not partial_of(request.target).is_dir():
            raise


def _other_content(target: Path, key: ContentKey, store: FeatureStore | None) -> str:
    differs = (
        f"differs in: {key.changes_from(store.key)}" if store is not None else "is damaged beyond recognition"
    )
    return f"{target} exists already and {differs}; choose another output with -o, or replace it with --overwrite"
