"""Tests for exporting and importing: other tools read the same bits, and what they write is read."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from maxsup_analysis.arrays import read_arrays
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import SHARD, Batch, FeatureStore, exporting, write_store
from maxsup_analysis.feature_store.damage import faults_at
from maxsup_analysis.feature_store.exporting import export_store
from maxsup_analysis.feature_store.importing import import_store, remarks
from maxsup_analysis.feature_store.parquet import matrices, parquet_file
from tests.feature_store.stores import HEAD, NAMES, PLAN, K, rows_of, same, split, store_at, whole

TOTAL = SHARD + 300
PLACES = ("out.npz", "out.pt", "out.parquet", "out")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    ids = torch.arange(TOTAL) * 2 + 5
    return store_at(tmp_path / "s.features", rows_of(ids))


def parts(head: object) -> list[list[float]]:
    weight, bias = head.weight, head.bias  # type: ignore[attr-defined]
    return [weight.tolist(), bias.tolist()]


@pytest.mark.parametrize("place", PLACES)
def test_there_and_back_is_the_same_store(tmp_path: Path, store: FeatureStore, place: str):
    export_store(store.path, tmp_path / place)
    names = tmp_path / "names.txt"
    names.write_text("\n".join(NAMES) + "\n")
    back = import_store(tmp_path / place, tmp_path / "back", class_names=names)
    assert same(whole(back), whole(store)) and back.class_names == NAMES
    assert not list(faults_at(back.path))
    if place == "out.parquet":
        assert back.head is None
    else:
        assert parts(back.head) == parts(HEAD)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_lose_no_value(tmp_path: Path, place: str, dtype: torch.dtype):
    rows = rows_of(50, dtype=dtype, logits=dtype != torch.float16)
    store_at(tmp_path / "s", rows)
    notes = export_store(tmp_path / "s", tmp_path / place)
    back = whole(import_store(tmp_path / place, tmp_path / "back"))
    assert torch.equal(back.features.double(), rows.features.double())
    assert (back.logits is None) == (rows.logits is None)
    widened = place != "out.pt" and dtype == torch.bfloat16
    assert widened == any("has no bfloat16; its values are float32 now, unrounded" in note for note in notes)
    if dtype == torch.float64 or place == "out.pt":
        assert back.features.dtype == dtype


def test_names_and_ids_travel_where_the_format_has_a_place_for_them(tmp_path: Path, store: FeatureStore):
    for place in ("out.npz", "out.parquet", "out"):
        export_store(store.path, tmp_path / place)
        assert import_store(tmp_path / place, tmp_path / f"{place}.back").class_names == NAMES


def test_numpy_reads_the_npz(tmp_path: Path, store: FeatureStore):
    export_store(store.path, tmp_path / "out.npz")
    rows = whole(store)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert set(file.files) == {"ids", "labels", "features", "logits", "weight", "bias", "class_names"}
        for name, column in rows.tensors().items():
            assert file[name].dtype == column.numpy().dtype
            assert file[name].tobytes() == column.numpy().tobytes()
        assert file["weight"].tolist() == HEAD.weight.tolist() and file["class_names"].tolist() == list(NAMES)


def test_the_same_store_gives_the_same_npz(tmp_path: Path, store: FeatureStore):
    for name in ("a.npz", "b.npz"):
        export_store(store.path, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_npz_is_what_measure_takes(tmp_path: Path, store: FeatureStore):
    export_store(store.path, tmp_path / "out.npz")
    read = read_arrays(tmp_path / "out.npz")
    assert read.class_names == NAMES and read.samples == TOTAL


def test_numpy_maps_the_folder(tmp_path: Path, store: FeatureStore):
    export_store(store.path, tmp_path / "out")
    found = np.load(tmp_path / "out" / "features.npy", mmap_mode="r", allow_pickle=False)
    assert found.shape == (TOTAL, 4) and found.tobytes() == whole(store).features.numpy().tobytes()
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        f"{name}.npy" for name in ("ids", "labels", "features", "logits", "weight", "bias", "class_names")
    }


def test_torch_reads_the_pt_without_pickled_classes(tmp_path: Path, store: FeatureStore):
    export_store(store.path, tmp_path / "out.pt")
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    assert set(found) == {"ids", "labels", "features", "logits", "weight", "bias"}
    head = {name: found.pop(name) for name in ("weight", "bias")}
    assert same(Batch(**found), whole(store))
    assert torch.equal(head["weight"], HEAD.weight) and head["bias"].tolist() == parts(HEAD)[1]


def test_pyarrow_and_pandas_read_the_parquet(tmp_path: Path, store: FeatureStore):
    export_store(store.path, tmp_path / "out.parquet")
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [SHARD, 300]
    assert file.schema_arrow.field("features").type == pa.list_(pa.float32(), 4)
    assert json.loads(file.schema_arrow.metadata[b"maxsup-analysis class names"]) == list(NAMES)
    assert json.loads(file.schema_arrow.metadata[b"maxsup-analysis provenance"]) == dict(store.provenance)
    table, rows = file.read().to_pandas(), whole(store)
    assert table["ids"].tolist() == rows.ids.tolist() and table["labels"].tolist() == rows.labels.tolist()
    assert np.stack(table["features"].tolist()).tobytes() == rows.features.numpy().tobytes()
    assert np.stack(table["logits"].tolist()).tobytes() == rows.logits.numpy().tobytes()  # type: ignore[union-attr]


def test_a_store_without_head_and_logits_is_exported(tmp_path: Path):
    write_store(tmp_path / "s", [rows_of(5, logits=False)], replace(PLAN, head=None))
    for place in PLACES:
        assert export_store(tmp_path / "s", tmp_path / place) == ()
        back = import_store(tmp_path / place, tmp_path / f"{place}.back")
        assert same(whole(back), rows_of(5, logits=False)) and back.head is None


def test_never_more_than_a_shard_is_exported_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_store(tmp_path / "s", split(rows_of(3 * SHARD), SHARD), PLAN)
    lengths = []
    as_numpy = exporting._as_numpy
    monkeypatch.setattr(exporting, "_as_numpy", lambda part: lengths.append(len(part)) or as_numpy(part))
    export_store(tmp_path / "s", tmp_path / "out.npz")
    assert set(lengths) == {SHARD}


def test_an_export_is_whole_or_absent(tmp_path: Path, store: FeatureStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exporting, "_npy", lambda _: (_ for _ in ()).throw(OSError("no space")))
    for place in ("out.npz", "out"):
        with pytest.raises(
            InputError, match=r"cannot write to .* \(no space\); choose another output with -o"
        ):
            export_store(store.path, tmp_path / place)
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.features"]


# What other people save, and the store that it makes.


def saved_npz(folder: Path, arrays: dict) -> Path:
    np.savez_compressed(folder / "f.npz", **{name: array.numpy() for name, array in arrays.items()})
    return folder / "f.npz"


def saved_torch(folder: Path, arrays: dict) -> Path:
    torch.save(arrays, folder / "f.pt")
    return folder / "f.pt"


def saved_safetensors(folder: Path, arrays: dict) -> Path:
    save_file(arrays, folder / "f.safetensors")
    return folder / "f.safetensors"


def saved_parquet(folder: Path, arrays: dict) -> Path:
    columns = {name: pa.array(array.tolist(), kind(array)) for name, array in arrays.items()}
    pq.write_table(pa.table(columns), folder / "f.parquet", row_group_size=70)
    return folder / "f.parquet"


def kind(array: torch.Tensor) -> pa.DataType:
    scalar = pa.float32() if array.is_floating_point() else pa.int64()
    return pa.list_(scalar) if array.ndim == 2 else scalar


def saved_npy(folder: Path, arrays: dict) -> Path:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array.numpy())
    return folder / "features.npy"


WRITERS = (saved_npz, saved_torch, saved_safetensors, saved_parquet, saved_npy)
Writer = Callable[[Path, dict], Path]


@pytest.mark.parametrize("saved", WRITERS)
def test_features_and_labels_are_enough(tmp_path: Path, saved: Writer):
    rows = rows_of(200)
    made = import_store(saved(tmp_path, {"features": rows.features, "labels": rows.labels}), tmp_path / "s")
    assert same(whole(made), replace(rows, logits=None)) and made.head is None
    assert made.class_names == ("0", "1", "2") and remarks(made) == ()


@pytest.mark.parametrize("saved", WRITERS[:4])
def test_logits_and_labels_alone_make_a_store_of_the_logits(tmp_path: Path, saved: Writer):
    rows = rows_of(200)
    path = saved(tmp_path, {"logits": rows.logits, "labels": rows.labels})
    made = import_store(path, tmp_path / "s")
    assert rows.logits is not None and same(whole(made), replace(rows, features=rows.logits))
    assert made.provenance["layer"] == "logits" and made.head is None
    assert remarks(made) == (
        "there are no features, so the logits stand in for them: measures of geometry speak of the logits",
    )


@pytest.mark.parametrize("saved", WRITERS)
def test_the_key_is_the_file(tmp_path: Path, saved: Writer):
    rows = rows_of(20)
    path = saved(tmp_path, {"features": rows.features, "labels": rows.labels})
    made = import_store(path, tmp_path / "s")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = {"imported": digest, "format": path.suffix[1:]}
    if path.suffix == ".npy":
        labels = hashlib.sha256((tmp_path / "labels.npy").read_bytes()).hexdigest()
        expected = {**expected, "beside": {"labels.npy": labels}}
    assert made.key.ingredients == expected
    assert made.provenance["imported"] == {"name": path.name, "sha256": digest, "format": path.suffix[1:]}


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64, ">i4"])
def test_labels_and_ids_of_any_integers(tmp_path: Path, dtype: str):
    rows = rows_of(20)
    np.savez(
        tmp_path / "f.npz",
        features=rows.features.numpy().astype(">f4"),
        labels=rows.labels.numpy().astype(dtype),
        ids=rows.ids.numpy().astype(dtype),
    )
    assert same(whole(import_store(tmp_path / "f.npz", tmp_path / "s")), replace(rows, logits=None))


def test_the_layout_of_thingsvision(tmp_path: Path):
    rows = rows_of(20)
    folders = ("beagle", "cat", "wolf")
    np.save(tmp_path / "features.npy", rows.features.numpy())
    paths = [f"images/{folders[label]}/{n}.jpg" for n, label in enumerate(rows.labels.tolist())]
    (tmp_path / "file_names.txt").write_text("\n".join(paths) + "\n")
    made = import_store(tmp_path, tmp_path / "s")
    assert same(whole(made), replace(rows, logits=None)) and made.class_names == folders
    (tmp_path / "classes.txt").write_text("wolf\ncat\nbeagle\n")
    turned = import_store(tmp_path, tmp_path / "t", class_names=tmp_path / "classes.txt")
    assert torch.equal(whole(turned).labels, 2 - rows.labels)


@pytest.mark.parametrize("name", ["y.txt", "y.npy"])
def test_labels_may_be_named(tmp_path: Path, name: str):
    rows = rows_of(20)
    np.save(tmp_path / "clip.npy", rows.features.numpy())
    np.save(tmp_path / "y.npy", rows.labels.numpy())
    np.savetxt(tmp_path / "y.txt", rows.labels.numpy(), fmt="%d")
    made = import_store(tmp_path / "clip.npy", tmp_path / "s", labels=tmp_path / name)
    assert torch.equal(whole(made).labels, rows.labels)


def test_a_parquet_file_of_large_row_groups_is_read_a_shard_at_a_time(tmp_path: Path):
    from maxsup_analysis.feature_store.parquet import matrices, parquet_file

    features = torch.randn(3 * SHARD, 2).numpy()
    lists = pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), 2)
    table = pa.table({"features": lists, "labels": pa.array([0, 1, 2] * SHARD)})
    pq.write_table(table, tmp_path / "f.parquet")
    assert [len(part["features"]) for part in matrices(parquet_file(tmp_path / "f.parquet"))] == [SHARD] * 3
    made = import_store(tmp_path / "f.parquet", tmp_path / "s")
    assert whole(made).features.numpy().tobytes() == features.tobytes()
    assert len(made.class_names) == K


# What cannot be a store, in one sentence.


def arrays(**changed: object) -> dict:
    rows = rows_of(6)
    made = {"features": rows.features, "labels": rows.labels, "ids": rows.ids, **changed}
    return {name: value for name, value in made.items() if value is not None}


WRONG = {
    "labels_range": (
        arrays(labels=torch.tensor([0, 1, 2, 3, 4, -1])),
        r"expected labels from 0 to 4, got -1 for sample 5; bring labels and classes of the same data",
    ),
    "labels_beyond_the_logits": (
        arrays(labels=torch.tensor([0, 1, 2, 3, 4, 5]), logits=torch.zeros(6, 3)),
        "expected labels from 0 to 2, got 3 for sample 3; bring labels and classes of the same data",
    ),
    "labels_huge": (
        arrays(labels=torch.tensor([0, 1, 2, 3, 4, 2**40])),
        r"expected labels below 1,000,000 in .*, got 1099511627776; number the classes from 0, or name them",
    ),
    "labels_short": (
        arrays(labels=torch.tensor([0, 1])),
        r"expected labels to be 6 integers, one a row of features, got shape \(2,\) of int64",
    ),
    "labels_floats": (
        arrays(labels=torch.arange(6) / 7),
        r"expected (labels as integers, got 0.14.* in row 1|integers as the column labels)",
    ),
    "features_flat": (
        arrays(features=torch.zeros(6)),
        r"expected (features to be N x D floating-point numbers, got shape|lists of floating-point numbers as the)",
    ),
    "features_nan": (
        arrays(features=torch.full((6, 2), float("nan"))),
        r"expected finite features, got NaN or infinity for sample 0 and 5 more in its block; extract in float32",
    ),
    "ids_twice": (
        arrays(ids=torch.zeros(6, dtype=torch.int64)),
        "expected 6 different ids, got 1; an id names one sample",
    ),
    "ids_floats": (
        arrays(ids=torch.arange(6) / 7),
        r"expected integers as (ids in .*, got float64; number the samples, or leave out the ids|the column ids)",
    ),
    "logits_short": (
        arrays(logits=torch.zeros(5, 3)),
        r"expected logits to be 6 x K, a row a sample and a column a class, got shape \(5, 3\) of float32",
    ),
    "nothing": (
        arrays(features=torch.zeros(0, 2), labels=torch.zeros(0, dtype=torch.int64), ids=None),
        "expected at least one sample in .*, got none; save features and labels of some",
    ),
}


@pytest.mark.parametrize("saved", WRITERS)
@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, saved: Writer, what: str):
    made, sentence = WRONG[what]
    if saved is saved_parquet and len({len(array) for array in made.values()}) > 1:
        pytest.skip("the columns of a Parquet file are of one length")
    if saved is saved_npy and what == "nothing":
        sentence = "is no .npy array, or damaged|expected at least one sample"
    with pytest.raises(InputError, match=sentence) as refusal:
        import_store(saved(tmp_path, made), tmp_path / "s")
    assert "\n" not in str(refusal.value) and not (tmp_path / "s").exists()


def test_integer_logits_and_odd_features(tmp_path: Path):
    rows = rows_of(6)
    whole_numbers = {"labels": rows.labels, "logits": torch.zeros(6, 3, dtype=torch.int64)}
    with pytest.raises(InputError, match="expected features to be N x D floating-point numbers"):
        import_store(saved_torch(tmp_path, whole_numbers), tmp_path / "s")
    made = import_store(saved_torch(tmp_path, {**whole_numbers, "features": rows.features}), tmp_path / "s")
    assert whole(made).tensors()["logits"].dtype == torch.float32


def test_text_ids_are_refused(tmp_path: Path):
    rows = rows_of(3)
    np.savez(tmp_path / "f.npz", features=rows.features, labels=rows.labels, ids=np.array(["a", "b", "c"]))
    with pytest.raises(InputError, match=r"expected integers as ids in .*, got <U1; number the samples"):
        import_store(tmp_path / "f.npz", tmp_path / "s")


def test_class_names_have_to_be_one_a_class(tmp_path: Path):
    rows = rows_of(6)
    (tmp_path / "n.txt").write_text("a\nb\n")
    path = saved_npz(tmp_path, {"features": rows.features, "labels": rows.labels, "logits": rows.logits})
    with pytest.raises(InputError, match=r"expected 3 class names in .*n.txt, one a class, got 2"):
        import_store(path, tmp_path / "s", class_names=tmp_path / "n.txt")
    path = saved_npz(tmp_path, {"features": rows.features, "labels": rows.labels})
    with pytest.raises(InputError, match="expected labels from 0 to 1, got 2 for sample 2"):
        import_store(path, tmp_path / "s", class_names=tmp_path / "n.txt")
    (tmp_path / "n.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(
        InputError, match=r"expected a text in UTF-8 at .*n.txt, got other bytes; save it as UTF-8"
    ):
        import_store(path, tmp_path / "s", class_names=tmp_path / "n.txt")
    with pytest.raises(InputError, match=r"expected a text at .*none.txt, cannot read it"):
        import_store(path, tmp_path / "s", class_names=tmp_path / "none.txt")
    np.savez(tmp_path / "g.npz", features=rows.features, labels=rows.labels, class_names=np.arange(3))
    for read in (read_arrays, lambda path: import_store(path, tmp_path / "s")):
        with pytest.raises(InputError, match=r"expected class_names in .* to be one text a class, got other"):
            read(tmp_path / "g.npz")


def test_files_that_are_no_features(tmp_path: Path):
    def refused(sentence: str, path: Path, labels: Path | None = None) -> None:
        with pytest.raises(InputError, match=sentence):
            import_store(path, tmp_path / "s", labels=labels)

    rows = rows_of(4)
    refused(
        "expected a file of features and labels at .*none.npz, found none; give .npz", tmp_path / "none.npz"
    )
    refused("expected a file of features and labels at .*features.npy, found none", tmp_path)
    torch.save({"labels": rows.labels}, tmp_path / "f.pt")
    refused("expected features, or logits at least, in .*f.pt, got neither; add features", tmp_path / "f.pt")
    torch.save({"features": rows.features}, tmp_path / "f.pt")
    refused("expected arrays named features, labels .* got features; add labels", tmp_path / "f.pt")
    refused("--labels goes with .npy files, got .*f.pt", tmp_path / "f.pt", labels=tmp_path / "y.npy")
    (tmp_path / "f.parquet").write_text("PAR1")
    refused(r"f.parquet is no Parquet file, or damaged \(.*\); fetch it again", tmp_path / "f.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "f.parquet")
    refused("expected columns features and labels .* in .*, got x; rename them", tmp_path / "f.parquet")
    np.save(tmp_path / "features.npy", rows.features.numpy())
    refused("expected the labels of .* beside it, as labels.npy or file_names.txt, found neither", tmp_path)
    (tmp_path / "y.txt").write_text("0\none\n2\n3\n")
    refused("expected an integer a line in .*y.txt, got 'one' in line 2", tmp_path, labels=tmp_path / "y.txt")
    (tmp_path / "file_names.txt").write_text("a.jpg\nb.jpg\nc/d.jpg\nc/e.jpg\n")
    refused("expected paths in the folders of classes in .*, got the folder ''", tmp_path)
    np.save(tmp_path / "labels.npy", np.array([{}] * 4), allow_pickle=True)
    refused("labels.npy is no .npy array, or damaged .*; save it with numpy.save", tmp_path)
    np.save(tmp_path / "labels.npy", np.array(["a"] * 4))
    refused("expected numbers in .*labels.npy, got <U1; save numbers", tmp_path)


@pytest.mark.parametrize(
    ("lists", "sentence"),
    [
        (
            [[1.0, 2.0], [3.0]],
            r"expected lists of one length without gaps as the column features, got lengths \[1, 2\]",
        ),
        (
            [[1.0, 2.0], None],
            "expected lists of floating-point numbers as the column features, got .* with 1 missing",
        ),
        ([[1.0, None], [3.0, 4.0]], "expected lists of one length without gaps"),
        (["a", "b"], "expected lists of floating-point numbers as the column features, got string"),
    ],
)
def test_parquet_columns_that_are_no_matrix(tmp_path: Path, lists: list, sentence: str):
    pq.write_table(pa.table({"features": lists, "labels": [0, 1]}), tmp_path / "f.parquet")
    with pytest.raises(InputError, match=sentence):
        import_store(tmp_path / "f.parquet", tmp_path / "s")


def test_exports_that_cannot_be(tmp_path: Path, store: FeatureStore):
    for place in ("out.csv", "out.npy"):
        with pytest.raises(
            InputError, match=r"expected -o FILE that ends in .npz, .pt, .parquet, or a folder"
        ):
            export_store(store.path, tmp_path / place)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(InputError, match="thesis exists already"):
        export_store(store.path, tmp_path / "thesis")
    with pytest.raises(InputError, match="thesis holds more than exported arrays and is not overwritten"):
        export_store(store.path, tmp_path / "thesis", overwrite=True)
    for _ in range(2):
        export_store(store.path, tmp_path / "out", overwrite=True)
    (store.path / "rows-00001.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"1 fault in .*: rows-00001.safetensors: No such file or directory; run the"
    ):
        export_store(store.path, tmp_path / "new.npz")


def test_parquet_without_pyarrow(tmp_path: Path, store: FeatureStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        InputError, match=r"Parquet needs pyarrow, .* `pip install 'maxsup-analysis\[parquet\]'`"
    ):
        export_store(store.path, tmp_path / "out.parquet")


def test_giving_up_a_parquet_file_imports_nothing(
    tmp_path: Path, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
):
    export_store(store.path, tmp_path / "out.parquet")
    reading = matrices(parquet_file(tmp_path / "out.parquet"))
    next(reading)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    reading.close()
