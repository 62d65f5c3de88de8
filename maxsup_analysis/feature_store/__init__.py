"""The feature store: a folder of shards that anyone with safetensors and JSON can read.

    manifest.json             what is in here and where it comes from, with a checksum of every file
    head.safetensors          weight K x D, bias K (absent where the features are of another layer)
    rows-00000.safetensors    ids, labels, features, logits of 4,096 samples
    ...

Nothing in it is ever executed. See docs/feature-store.md.
"""

from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.manifest import MANIFEST
from maxsup_analysis.feature_store.shards import SHARD, Batch, Skipped
from maxsup_analysis.feature_store.store import FeatureStore, is_store, open_store
from maxsup_analysis.feature_store.writing import StorePlan, write_store

__all__ = [
    "MANIFEST",
    "SHARD",
    "Batch",
    "ContentKey",
    "FeatureStore",
    "Skipped",
    "StorePlan",
    "is_store",
    "open_store",
    "write_store",
]
