"""A network that is perfect under the loader of the program that made it is perfect here."""

import io
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from timm.data.config import resolve_data_config
from timm.data.dataset_factory import create_dataset
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn
from torchvision import transforms

from maxsup_analysis.features import Extraction, extract_features
from tests.datasets.test_tars import write_tar

pytestmark = pytest.mark.filterwarnings("ignore:Cannot pickle")

NAMES = {
    "numbers": [str(number) for number in range(20)],
    "numbers from 1": [str(number) for number in range(1, 13)],
    "mixed case": ["Abyssinian", "american_bulldog", "beagle", "Bengal", "Birman", "boxer", "Egyptian_Mau", "pug"],
    "numbers in names": [f"class{number}" for number in range(1, 12)],
    "two": ["ant", "Bee"],
}  # fmt: skip
SIDE = 64
PLAIN = transforms.Compose(
    [
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)  # fmt: skip


def picture(seed: int) -> Image.Image:
    """Coarse noise, different for each seed, that resizing keeps apart."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.NEAREST)


def pictures(root: Path, names: Sequence[str]) -> Path:
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        picture(number).save(root / name / "0.png")
    return root


def solved(features: Tensor, labels: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """A head that gives each sample its own label: least squares on one-hot labels."""
    ones = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    weights = torch.linalg.lstsq(
        ones, nn.functional.one_hot(labels, K).double(), driver="gelsd"
    ).solution.float()
    head = weights[:-1].T.contiguous(), weights[-1].contiguous()
    assert torch.equal((features @ head[0].T + head[1]).argmax(1), labels)
    return head


def by_timm(root: Path, K: int) -> tuple[Any, Tensor, Tensor]:
    """A network of timm's, the features and labels that timm's own data set and transform give."""
    torch.manual_seed(0)
    net: Any = timm.create_model("test_resnet", num_classes=K).eval()
    loaded: Any = create_dataset("", root=str(root), split="validation")
    loaded.transform = create_transform(**resolve_data_config(model=net), is_training=False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # timm leaves closing its files to others.
        images, labels = zip(*(loaded[k] for k in range(len(loaded))), strict=True)
        return (
            net,
            net.forward_head(net.forward_features(torch.stack(images)), pre_logits=True),
            torch.tensor(labels),
        )


def by_torchvision(loaded: Any, K: int) -> nn.Module:
    """A network of torchvision's that is right on all images and labels."""
    torch.manual_seed(0)
    net: Any = torchvision.models.shufflenet_v2_x0_5(num_classes=K).eval()
    images, labels = zip(*(loaded[k] for k in range(len(loaded))), strict=True)
    head, net.fc = net.fc, nn.Identity()
    with torch.no_grad():
        head.weight[:], head.bias[:] = solved(net(torch.stack(images)), torch.tensor(labels), K)
    net.fc = head
    return net


def timm_train(net: Any, folder: Path) -> Path:
    content = {"epoch": 1, "arch": "test_resnet", "state_dict": net.state_dict(), "version": 2}
    torch.save(content, folder / "model_best.pth.tar")
    return folder / "model_best.pth.tar"


def timm_folder(net: Any, folder: Path) -> Path:
    save_file(net.state_dict(), folder / "model.safetensors")
    config = {
        k: v
        for k, v in net.pretrained_cfg.items()
        if k in ("input_size", "interpolation", "crop_pct", "mean", "std")
    }
    about = {"architecture": "test_resnet", "num_classes": net.num_classes, "num_features": net.num_features}
    (folder / "config.json").write_text(json.dumps({**about, "pretrained_cfg": config}))
    return folder


def torchvision_reference(net: nn.Module, folder: Path) -> Path:
    content = {
        "model": net.state_dict(),
        "optimizer": {},
        "lr_scheduler": {},
        "epoch": 1,
        "args": {"model": "shufflenet_v2_x0_5"},
    }
    torch.save(content, folder / "model_1.pth")
    return folder / "model_1.pth"


def pytorch_example(net: nn.Module, folder: Path) -> Path:
    torch.save(
        {"epoch": 1, "arch": "shufflenet_v2_x0_5", "state_dict": net.state_dict()},
        folder / "model_best.pth.tar",
    )
    return folder / "model_best.pth.tar"


def accuracy(checkpoint: Path, data: Path, folder: Path) -> float:
    how = Extraction(data=str(data), device="cpu", workers=0)
    store = extract_features(checkpoint, folder / "found.features", how)
    rows: list[Any] = list(store)
    return float(torch.cat([row.logits.argmax(1) == row.labels for row in rows]).float().mean())


@pytest.mark.parametrize("save", [timm_train, timm_folder])
@pytest.mark.parametrize("names", NAMES)
def test_folders_by_timm(tmp_path: Path, names: str, save: Callable[[Any, Path], Path]):
    root = pictures(tmp_path / "images", NAMES[names])
    net, features, labels = by_timm(root, len(NAMES[names]))
    with torch.no_grad():
        net.fc.weight[:], net.fc.bias[:] = solved(features, labels, len(NAMES[names]))
    (tmp_path / "saved").mkdir()
    assert accuracy(save(net, tmp_path / "saved"), root, tmp_path) == 1.0


@pytest.mark.parametrize("save", [torchvision_reference, pytorch_example])
@pytest.mark.parametrize("names", NAMES)
def test_folders_by_torchvision(tmp_path: Path, names: str, save: Callable[[Any, Path], Path]):
    root = pictures(tmp_path / "images", NAMES[names])
    net = by_torchvision(torchvision.datasets.ImageFolder(str(root), PLAIN), len(NAMES[names]))
    assert accuracy(save(net, tmp_path), root, tmp_path) == 1.0


def test_a_data_set_of_hugging_face(tmp_path: Path):
    names = ["pug", "Bengal", "10", "9"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    content = {"image": [picture(k) for k in range(4)], "label": [2, 0, 3, 1]}
    made = datasets.Dataset.from_dict(content, features=features)
    made.save_to_disk(tmp_path / "pets")
    rows: Any = made
    net = by_torchvision([(PLAIN(row["image"]), row["label"]) for row in rows], 4)
    assert accuracy(pytorch_example(net, tmp_path), tmp_path / "pets", tmp_path) == 1.0


def test_a_tar_of_webdataset(tmp_path: Path):
    labels = [(7 * number) % 20 for number in range(20)]
    members = []
    for number, label in enumerate(labels):
        file = io.BytesIO()
        picture(number).save(file, "PNG")
        members += [(f"{number:04}.png", file.getvalue()), (f"{number:04}.cls", b"%d" % label)]
    tar = write_tar(tmp_path / "shard.tar", members)
    net = by_torchvision([(PLAIN(picture(number)), label) for number, label in enumerate(labels)], 20)
    assert accuracy(torchvision_reference(net, tmp_path), tar, tmp_path) == 1.0
