"""Tests for using what was opened: `inspect` and `features` on the releases of MaxSup, on mistakes, on damage."""

import json
import random
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn.utils import prune

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import ModelChoice, classifier_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import open_store
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.inspection import inspect_checkpoint
from maxsup_analysis.preprocessing import Overrides
from tests.checkpoints.nets import BlurPool

FIELDS = {
    "container", "format", "architecture", "evidence", "candidates", "num_classes", "feature_dim", "head",
    "preprocessing", "prefixes", "ema", "epoch", "training", "sha256", "foreign_classes", "warnings",
}  # fmt: skip


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two noisy images of each of ten classes, folders as of ImageNet."""
    root, noise = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for label in range(10):
        folder = root / "val" / f"n0000000{label}"
        folder.mkdir(parents=True)
        for number in range(2):
            pixels = noise.integers(0, 256, (40, 56, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def blurred(net: nn.Module) -> nn.Module:
    """As ffcv-imagenet wraps strided convolutions; written here again, on purpose."""
    for name, conv in list(net.named_modules()):
        if isinstance(conv, nn.Conv2d) and max(conv.stride) > 1 and conv.in_channels >= 16:
            parent, _, attribute = name.rpartition(".")
            setattr(net.get_submodule(parent), attribute, BlurPool(conv))
    return net


def deit(*, qkv_bias: bool = True) -> nn.Module:
    return timm.create_model("deit_small_patch16_224", num_classes=10, qkv_bias=qkv_bias)


def ffcv_release(folder: Path) -> tuple[Path, nn.Module]:
    net = blurred(torchvision.models.resnet50(weights=None, num_classes=10))
    settings = {"model.arch": "resnet50", "training.use_blurpool": 1, "validation.resolution": 64}
    (folder / "params.json").write_text(json.dumps(settings))
    torch.save(nn.DataParallel(net).state_dict(), folder / "final_weights.pt")
    return folder / "final_weights.pt", net


def lightning_release(folder: Path) -> tuple[Path, nn.Module]:
    net = blurred(torchvision.models.resnet50(weights=None, num_classes=10))
    content = {"model." + name: tensor for name, tensor in net.state_dict().items()}
    content["criterion.matrix"] = torch.rand(10, 10)
    facts = {"pytorch-lightning_version": "2.2.0", "epoch": 89, "state_dict": content, "hyper_parameters": {}}
    torch.save(facts, folder / "epoch=89.ckpt")
    return folder / "epoch=89.ckpt", net


def deit_release(folder: Path, net: nn.Module) -> tuple[Path, nn.Module]:
    average = {name: tensor * 0.5 for name, tensor in net.state_dict().items()}
    facts = {"optimizer": {}, "lr_scheduler": {}, "epoch": 299, "scaler": {}, "model_ema": average}
    run = Namespace(model="deit_small_patch16_224", nb_classes=10, smoothing=0.1, output_dir=Path("x"))
    torch.save({"model": net.state_dict(), "args": run, **facts}, folder / "checkpoint.pth")
    return folder / "checkpoint.pth", net


RELEASES = {
    "ffcv": ffcv_release,
    "lightning": lightning_release,
    "deit": lambda folder: deit_release(folder, deit()),
    "deit without qkv bias": lambda folder: deit_release(folder, deit(qkv_bias=False)),
}


@pytest.mark.parametrize("name", RELEASES)
def test_the_releases_of_maxsup_open_with_no_flag_but_data(name: str, tmp_path: Path, photographs: Path):
    torch.manual_seed(0)
    path, net = RELEASES[name](tmp_path)
    about = inspect_checkpoint(path).to_plain()
    assert set(about) >= FIELDS
    assert (about["num_classes"], about["ema"]) == (10, False)
    assert about["blurpool"] == (name in ("ffcv", "lightning"))
    store = extract_features(path, None, Extraction(data=str(photographs), batch_size=7))
    rows = next(iter(store))
    assert rows.ids.tolist() == list(range(20)) and rows.labels.tolist() == [
        k for k in range(10) for _ in "12"
    ]
    # The same images through the network that was saved.
    classifier = classifier_of(open_checkpoint(path))
    files = sorted(photographs.rglob("*.png"))
    images = torch.stack([classifier.preprocessing.transform(Image.open(file)) for file in files])
    with torch.inference_mode():
        logits = net.eval()(images)
    assert rows.logits is not None and torch.allclose(rows.logits.float(), logits, atol=1e-4, rtol=1e-4)
    assert store.head is not None
    assert (store.head.logits(rows.features.double()) - rows.logits).abs().max() < 1e-4


def saved(net: nn.Module, path: Path, **facts: object) -> Path:
    torch.save({"state_dict": net.state_dict(), **facts} if facts else net.state_dict(), path)
    return path


# What is in the file, what the user asks for, a part of the message, and what the message says to ask for instead.
MISTAKES = {
    "wrong architecture": (
        lambda: torchvision.models.resnet18(num_classes=10), {"name": "timm/resnet34"},
        "--model torchvision/resnet18", {"name": "torchvision/resnet18"},
    ),
    "another number of classes": (
        lambda: torchvision.models.resnet18(num_classes=10),
        {"name": "torchvision/resnet18", "arguments": {"num_classes": 1000}},
        "--model-args num_classes=10", {"name": "torchvision/resnet18", "arguments": {"num_classes": 10}},
    ),
    "another patch size": (
        lambda: timm.create_model("vit_small_patch32_224", num_classes=10), {"name": "timm/vit_small_patch16_224"},
        "--model timm/vit_small_patch32_224", {"name": "timm/vit_small_patch32_224"},
    ),
    "no bias in qkv": (
        lambda: timm.create_model("deit_tiny_patch16_224", num_classes=10, qkv_bias=False),
        {"name": "timm/deit_tiny_patch16_224", "arguments": {"qkv_bias": True}},
        "qkv_bias=False", {"name": "timm/deit_tiny_patch16_224", "arguments": {"qkv_bias": False}},
    ),
    "one channel": (
        lambda: timm.create_model("resnet18", num_classes=10, in_chans=1),
        {"name": "timm/resnet18", "arguments": {"in_chans": 3}},
        "in_chans=1", {"name": "timm/resnet18", "arguments": {"in_chans": 1}},
    ),
    "another image size": (
        lambda: timm.create_model("deit_tiny_patch16_224", num_classes=10, img_size=64),
        {"name": "timm/deit_tiny_patch16_224", "arguments": {"img_size": 224}},
        "img_size=64", {"name": "timm/deit_tiny_patch16_224", "arguments": {"img_size": 64}},
    ),
    "distilled": (
        lambda: timm.create_model("deit_tiny_distilled_patch16_224", num_classes=10),
        {"name": "timm/deit_tiny_patch16_224"},
        "--model timm/deit_tiny_distilled_patch16_224", {"name": "timm/deit_tiny_distilled_patch16_224"},
    ),
    "two architectures fit": (
        lambda: timm.create_model("deit_tiny_patch16_224", num_classes=10), {},
        "--model timm/deit_tiny_patch16_224", {"name": "timm/deit_tiny_patch16_224"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_the_flag_that_mends_it(name: str, tmp_path: Path):
    build, wrong, flag, right = MISTAKES[name]
    path = saved(build(), tmp_path / "weights.pth")
    checkpoint = open_checkpoint(path)
    with pytest.raises(InputError) as refusal:
        classifier_of(checkpoint, ModelChoice(**wrong))
    assert (
        flag in str(refusal.value) and "\n" not in str(refusal.value) and "weights.pth" in str(refusal.value)
    )
    assert classifier_of(checkpoint, ModelChoice(**right)).num_classes == 10


def test_averaged_weights_that_are_not_there(tmp_path: Path):
    path = saved(torchvision.models.resnet18(num_classes=10), tmp_path / "weights.pth", arch="resnet18")
    with pytest.raises(
        InputError, match=r"weights.pth: it has no averaged \(EMA\) weights.*leave out --use-ema"
    ):
        open_checkpoint(path, use_ema=True)
    assert classifier_of(open_checkpoint(path)).num_classes == 10
    with pytest.raises(InputError, match=r"no weights at 'model'; --weights-key takes one of: state_dict"):
        open_checkpoint(path, weights_key="model")


def test_blurpool_is_rebuilt_for_the_users_own_code_too(tmp_path: Path):
    net = blurred(torchvision.models.resnet18(num_classes=10))
    path = saved(net, tmp_path / "weights.pth")
    code = tmp_path / "mine.py"
    code.write_text("import torchvision\ndef net(): return torchvision.models.resnet18(num_classes=10)\n")
    choice = ModelChoice(f"{code}:net", images=Overrides(image_size=64))
    built = classifier_of(open_checkpoint(path), choice)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(built.module(images), net.eval()(images))


def test_classes_in_another_order(tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture):
    """Output k of the model is class order[k] of the folders, as in the zip files of the DeiT models."""
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    names = [f"n0000000{label}" for label in order]
    torch.manual_seed(0)
    path = saved(torchvision.models.resnet18(num_classes=10), tmp_path / "weights.pth", arch="resnet18")
    forms = {
        "numbers.txt": "\n".join(map(str, order)),
        "classes.txt": "\n".join(names),
        "train_map.txt": "\n".join(f"{name}/{name}_1.JPEG\t{k}" for k, name in enumerate(names)),
        "val_map.txt": "\n".join(f"{name}/0.png {k}" for k, name in enumerate(names)),
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        how = Extraction(data=str(photographs), class_map=tmp_path / name, batch_size=20)
        store = extract_features(path, tmp_path / f"{name}.features", how)
        rows = next(iter(store))
        assert [order[output] for output in rows.labels.tolist()] == [k for k in range(10) for _ in "12"]
        assert store.class_names == tuple(names)
    assert "near chance" in capsys.readouterr().err
    (tmp_path / "short.txt").write_text("\n".join(names[1:]))
    with pytest.raises(InputError, match=r"short.txt does not say which output the class 'n00000003' is"):
        how = Extraction(data=str(photographs), class_map=tmp_path / "short.txt")
        extract_features(path, tmp_path / "x.features", how)


def test_the_mean_and_deviation_that_a_model_carries_are_used(tmp_path: Path):
    """As MadryLab's robustness saves them."""
    content = {
        f"module.model.{k}": v for k, v in torchvision.models.resnet18(num_classes=3).state_dict().items()
    }
    content |= {"module.normalizer.new_mean": torch.full((3, 1, 1), 0.25)}
    content |= {"module.normalizer.new_std": torch.full((3, 1, 1), 0.5)}
    torch.save({"model": content, "schedule": None, "amp": None}, tmp_path / "robust.pt")
    found = classifier_of(open_checkpoint(tmp_path / "robust.pt"))
    assert (found.preprocessing.mean, found.preprocessing.std) == ((0.25,) * 3, (0.5,) * 3)


def test_a_layer_in_place_of_the_head(tmp_path: Path, photographs: Path):
    path = saved(torchvision.models.squeezenet1_1(num_classes=10), tmp_path / "weights.pth")
    how = Extraction(data=str(photographs), model=ModelChoice(images=Overrides(image_size=64)))
    with pytest.raises(InputError, match=r"--layer NAME \(--list-layers shows them\)"):
        extract_features(path, tmp_path / "a.features", how)
    layered = ModelChoice(layer="features", images=Overrides(image_size=64))
    store = extract_features(path, tmp_path / "b.features", Extraction(data=str(photographs), model=layered))
    assert store.head is None and next(iter(store)).features.shape == (20, 512)
    assert store.provenance["layer"] == "output of features"


@pytest.mark.parametrize("broken", ["truncated", "text"])
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, photographs: Path, broken: str):
    whole = (photographs / "val" / "n00000001" / "0.png").read_bytes()
    for label in range(2):
        (tmp_path / "data" / str(label)).mkdir(parents=True)
        (tmp_path / "data" / str(label) / "a.png").write_bytes(whole)
    (tmp_path / "data" / "1" / "b.png").write_bytes(whole[:300] if broken == "truncated" else b"no image")
    path = saved(torchvision.models.resnet18(num_classes=2), tmp_path / "weights.pth", arch="resnet18")
    for workers in (0, 1):
        with pytest.raises(InputError, match=r"^1/b.png \(sample 2\) cannot be read as an image") as refusal:
            extract_features(path, None, Extraction(data=str(tmp_path / "data"), workers=workers))
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "weights.data.features").exists()


def test_every_flipped_bit_of_a_zip_is_detected(tmp_path: Path):
    rng, undetected = random.Random(0), []
    sources = {"plain.pt": {"w.weight": torch.randn(40, 40), "w.bias": torch.zeros(40)},
               "nested.pt": {"state_dict": {"fc.weight": torch.randn(3, 5)}, "args": Namespace(model="x")}}  # fmt: skip
    for name, content in sources.items():
        torch.save(content, tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        for _ in range(100):
            bit = rng.randrange(8 * len(whole))
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            (tmp_path / "flipped.pt").write_bytes(flipped)
            if _opens(tmp_path / "flipped.pt"):
                undetected.append((name, bit))
    assert undetected == []


def _opens(path: Path) -> bool:
    """In this process: a child for each of 200 files would take a minute."""
    from maxsup_analysis.containers import parse
    from maxsup_analysis.containers.verify import verified

    try:
        return bool(verified(path, parse(path)))
    except InputError:
        return False


def test_weights_of_a_flipped_file_are_refused_unless_it_is_the_one_expected(tmp_path: Path):
    path = saved(torchvision.models.resnet18(num_classes=10), tmp_path / "weights.pth")
    digest = open_checkpoint(path).sha256
    assert open_checkpoint(path, expect_sha256=digest).sha256 == digest
    with pytest.raises(InputError, match="expected SHA-256 0000, got "):
        open_checkpoint(path, expect_sha256="0000")


def test_inspection_needs_neither_torch_nor_memory(tmp_path: Path):
    """A file of 100 MB and one of 10 GB, sparse: described without torch in 100 MB."""
    net = torchvision.models.resnet50(weights=None)
    facts = {"model": net.state_dict(), "args": Namespace(model="resnet50", label_smoothing=0.1), "epoch": 3}
    torch.save(facts, tmp_path / "small.pth")
    with (tmp_path / "large.safetensors").open("wb") as file:
        header = json.dumps({
            "fc.weight": {"dtype": "F32", "shape": [2_500_000, 1000], "data_offsets": [0, 10**10]},
        }).encode()  # fmt: skip
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 10**10)
    code = (
        "import resource, sys; from pathlib import Path; from maxsup_analysis.inspection import inspect_checkpoint\n"
        "found = inspect_checkpoint(Path(sys.argv[1])).to_plain()\n"
        # What the process that starts this one once used counts in its own ru_maxrss, hence the other place.
        "status = Path('/proc/self/status').read_text().split()\n"
        "own, child = int(status[status.index('VmHWM:') + 1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print(found['architecture'], 'torch' in sys.modules, found['sha256'] is None, max(own, child) < 100 * 1024)"
    )
    expected = {
        "small.pth": "torchvision/resnet50 False False True",
        "large.safetensors": "None False True True",
    }
    for name, said in expected.items():
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == said


def test_strange_names_are_shown_clean(tmp_path: Path):
    path = tmp_path / "strange.pth"
    torch.save({"\x1b[31mred\u202e.weight": torch.zeros(2, 2), "a\nb.weight": torch.zeros(2, 2)}, path)
    found = inspect_checkpoint(path)
    assert all(character.isprintable() or character == "\n" for character in found.to_text())
    json.dumps(found.to_plain())
    command = [sys.executable, "-m", "maxsup_analysis", "features", str(path), "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.removesuffix("\n").isprintable()


def test_factored_weights_are_multiplied_out(tmp_path: Path):
    """weight_norm in both spellings and pruning, into a plain module that computes the same."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)
    )
    nn.utils.parametrizations.weight_norm(net[1])
    prune.random_unstructured(net[3], "weight", amount=0.5)
    path, code = saved(net, tmp_path / "weights.pth"), tmp_path / "mine.py"
    code.write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), "
        "nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))\n"
    )
    choice = ModelChoice(f"{code}:net", images=Overrides(image_size=2))
    images = torch.randn(4, 3, 2, 2)
    with torch.inference_mode():
        built = classifier_of(open_checkpoint(path), choice).module(images)
        assert torch.allclose(built, net(images), atol=1e-6)


def test_a_checkpoint_that_was_extracted_is_open_to_measure(tmp_path: Path, photographs: Path):
    path = saved(torchvision.models.resnet18(num_classes=10), tmp_path / "weights.pth", arch="resnet18")
    extract_features(path, None, Extraction(data=str(photographs)))
    store = open_store(tmp_path / f"weights.{photographs.name}.features")
    assert (store.size, len(store.class_names)) == (20, 10)
