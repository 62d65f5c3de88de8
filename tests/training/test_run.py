"""Tests for training and checkpoints: the file says what it is, and the same plan gives the same weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maxsup_analysis.architectures.build import build_module
from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import classifier_of
from maxsup_analysis.datasets import load
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.forward import require_identity
from maxsup_analysis.heads import find_head
from maxsup_analysis.training import TrainingPlan, train

QUICK = TrainingPlan(loss="maxsup", alpha_end=0.2, epochs=2, train_samples=200, seed=3)


@pytest.fixture(scope="module")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "maxsup.pt"
    train(QUICK, path)
    return path


def test_a_checkpoint_is_plain_and_says_what_it_is(checkpoint_path: Path):
    content = torch.load(checkpoint_path, weights_only=True)
    about = content["metadata"]
    assert about["architecture"] == {"name": "small_cnn", "arguments": {"channels": 1, "classes": 10}}
    assert (about["data"], about["split"], len(about["classes"])) == ("digits", "test", 10)
    training = about["training"]
    assert (training["loss"], training["alpha"], training["alpha_end"]) == ("maxsup", 0.1, 0.2)
    assert (training["seed"], training["epoch"], training["samples"]) == (3, 2, 200)
    found = open_checkpoint(checkpoint_path).about
    assert (found["format"], found["architecture"], found["num_classes"]) == (
        "maxsup-analysis",
        "small_cnn",
        10,
    )
    assert (found["training"], found["classes"]) == (training, about["classes"])


def test_the_same_plan_gives_the_same_weights(checkpoint_path: Path, tmp_path: Path):
    train(QUICK, tmp_path / "again.pt")
    first, second = (open_checkpoint(path).state_dict for path in (checkpoint_path, tmp_path / "again.pt"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_features_are_what_enters_the_head(checkpoint_path: Path, tmp_path: Path):
    store = extract_features(
        checkpoint_path, tmp_path / "s.features", Extraction(batch_size=16, device="cpu")
    )
    assert store is not None
    (rows,) = store
    classifier, data = classifier_of(open_checkpoint(checkpoint_path)), load("digits", "test")
    images = classifier.preprocessing.normalised(data.images)
    with torch.inference_mode():
        assert rows.logits is not None
        assert torch.allclose(rows.logits.float(), classifier.module(images), atol=1e-5)
        assert torch.allclose(rows.features.float(), classifier.module[:-1](images), atol=1e-5)  # type: ignore[index]
    assert rows.ids.tolist() == list(range(600)) and torch.equal(rows.labels, data.labels)


def test_a_timm_model_trains_and_its_head_is_found(tmp_path: Path):
    module = build_module("timm/resnet10t", {"in_chans": 1, "num_classes": 10})
    found = find_head(module, torch.randn(4, 1, 32, 32))
    assert (found.layers, len(found.weights.weight)) == (("fc",), 10)
    with pytest.raises(
        InputError, match=r"expected an architecture of torchvision or timm, got 'timm/resnet9999'"
    ):
        build_module("timm/resnet9999", {})


def test_a_head_that_does_not_make_the_logits_is_refused(checkpoint_path: Path):
    head = classifier_of(open_checkpoint(checkpoint_path)).weights
    assert head is not None
    features = torch.randn(5, 64)
    logits = head.logits(features.double()).float()
    assert require_identity(head, features, logits) < 1e-6
    with pytest.raises(InputError, match="what reaches the head is not what makes the logits"):
        require_identity(head, features, logits * 1.01)


def test_weights_of_another_architecture_are_refused(checkpoint_path: Path, tmp_path: Path):
    content = torch.load(checkpoint_path, weights_only=True)
    content["state_dict"] = small_cnn(1, 10, (8, 8, 8)).state_dict()
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(
        InputError, match=r"other.pt: its weights are not those of small_cnn; .*another shape"
    ):
        classifier_of(open_checkpoint(tmp_path / "other.pt"))


def test_a_training_that_diverges_is_an_error_and_leaves_no_file(tmp_path: Path):
    plan = TrainingPlan(epochs=2, train_samples=100, learning_rate=1e30)
    with pytest.raises(
        InputError, match=r"the training loss became \w+ in epoch 1, step 2; lower learning_rate"
    ):
        train(plan, tmp_path / "x.pt", state=tmp_path / "x.state")
    assert not list(tmp_path.iterdir())


def test_the_plan_is_in_the_checkpoint_in_full(checkpoint_path: Path):
    about = torch.load(checkpoint_path, weights_only=True)["metadata"]
    assert set(QUICK.to_plain()) <= set(about["training"])
    assert [epoch["alpha"] for epoch in about["history"]] == [0.1, 0.2]
    assert all(0 <= epoch["accuracy"] <= 1 and epoch["loss"] > 0 for epoch in about["history"])


@pytest.mark.parametrize(("loss", "alpha"), [("ce", None), ("ls", 0.1), ("ols", 0.5)])
def test_an_alpha_that_was_not_given_is_the_default_of_the_loss(
    tmp_path: Path, loss: str, alpha: float | None
):
    train(TrainingPlan(loss=loss, epochs=1, train_samples=20), tmp_path / "x.pt")
    training = torch.load(tmp_path / "x.pt", weights_only=True)["metadata"]["training"]
    assert (training["alpha"], training["alpha_end"]) == (alpha, alpha)


def test_equal_runs_give_equal_bytes_whatever_was_set_or_drawn_before(tmp_path: Path):
    threads, kept = torch.get_num_threads(), torch.random.get_rng_state()
    train(QUICK, tmp_path / "a.pt")
    assert torch.equal(torch.random.get_rng_state(), kept)
    torch.set_num_threads(2)
    torch.rand(7)
    try:
        train(QUICK, tmp_path / "b.pt")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_bytes_do_not_depend_on_which_words_are_one_object(tmp_path: Path):
    """Words that came out of a file or another process are equal, but not the same, as those of the program."""
    data, model, loss = ("".join(list(word)) for word in (QUICK.data, QUICK.model, QUICK.loss))
    assert model is not QUICK.model
    train(QUICK, tmp_path / "a.pt")
    train(replace(QUICK, data=data, model=model, loss=loss), tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_another_seed_gives_other_weights(checkpoint_path: Path, tmp_path: Path):
    train(replace(QUICK, seed=4), tmp_path / "other.pt")
    first, second = (open_checkpoint(path).state_dict for path in (checkpoint_path, tmp_path / "other.pt"))
    assert not torch.equal(first["0.weight"], second["0.weight"])


def test_checkpoints_of_epochs_are_kept_and_say_which(tmp_path: Path):
    outcome = train(replace(QUICK, epochs=3, keep_every=2), tmp_path / "ce.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ce.epoch-0002.pt", "ce.pt"]
    early, last = (open_checkpoint(tmp_path / name).about for name in ("ce.epoch-0002.pt", "ce.pt"))
    assert (early["epoch"], last["epoch"], len(outcome.history)) == (2, 3, 3)


def test_noisy_labels_are_told_from_clean_ones(tmp_path: Path):
    outcome = train(TrainingPlan(epochs=4, label_noise=0.3, samples_per_class=40), tmp_path / "noisy.pt")
    with np.load(tmp_path / "noisy.labels.npz") as arrays:
        ids, labels, clean = (arrays[name] for name in ("ids", "labels", "clean_labels"))
    own = load("digits", "train").labels.numpy()
    assert np.array_equal(clean, own[ids]) and np.bincount(clean).tolist() == [40] * 10
    assert 0.2 < (labels != clean).mean() < 0.4
    # The network learns digits before it learns noise.
    assert outcome.last.clean_accuracy is not None and outcome.last.clean_accuracy > outcome.last.accuracy


def test_a_long_tail_has_the_sizes_that_it_should(tmp_path: Path):
    outcome = train(TrainingPlan(epochs=1, imbalance=10.0), tmp_path / "tail.pt")
    counts = torch.bincount(outcome.data.labels)
    assert counts[0] / counts[9] == pytest.approx(10, abs=1) and all(counts.diff() <= 0)
    assert (tmp_path / "tail.labels.npz").is_file()


def test_the_test_accuracy_is_that_of_the_weights_that_were_saved(tmp_path: Path):
    plan = replace(QUICK, test_split="test", ema=0.5)
    last = train(plan, tmp_path / "x.pt").last
    data = load("digits", "test")
    for use_ema, told in ((False, last.test_accuracy), (True, last.averaged_accuracy)):
        classifier = classifier_of(open_checkpoint(tmp_path / "x.pt", use_ema=use_ema))
        with torch.no_grad():
            found = classifier.module(classifier.preprocessing.normalised(data.images)).argmax(1)
        assert told == pytest.approx(float((found == data.labels).float().mean()), abs=0.002)


def test_more_samples_than_there_are_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected 2000 samples in digits train, got 1197; .*train_samples"):
        train(TrainingPlan(train_samples=2000), tmp_path / "x.pt")


@pytest.mark.parametrize("name", ["acls", "disturb_label", "logit_norm", "cosine"])
def test_losses_of_all_kinds_train(tmp_path: Path, name: str):
    history = train(TrainingPlan(loss=name, epochs=3, train_samples=300), tmp_path / "x.pt").history
    assert history[-1].loss < history[0].loss
    if name == "cosine":
        arguments = torch.load(tmp_path / "x.pt", weights_only=True)["metadata"]["architecture"]["arguments"]
        assert arguments["head"] == "cosine"


def test_fp16_is_for_cuda(tmp_path: Path):
    with pytest.raises(InputError, match="expected a CUDA device for amp fp16, got cpu; use bf16 there"):
        train(TrainingPlan(amp="fp16", device="cpu"), tmp_path / "x.pt")


def test_half_precision_trains(tmp_path: Path):
    plain, half = (
        train(TrainingPlan(epochs=2, train_samples=200, amp=amp), tmp_path / f"{amp}.pt").last
        for amp in (None, "bf16")
    )
    assert half.loss != plain.loss and half.loss == pytest.approx(plain.loss, rel=0.1)


def test_a_place_that_cannot_be_written_to_is_told_before_the_training(tmp_path: Path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("maxsup_analysis.training.run._trained", None)
    with pytest.raises(InputError, match=r"cannot write to .*file \(.*\); choose another output with -o"):
        train(QUICK, tmp_path / "file" / "x.pt")
    with pytest.raises(InputError, match=r"cannot write to /proc/nowhere"):
        train(QUICK, Path("/proc/nowhere/x.pt"))
