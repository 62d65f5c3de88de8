"""Tests for the forward pass: memory that runs out, precision, and the same features as the libraries give."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.functional import normalize

from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.classifiers import Classifier
from maxsup_analysis.datasets import Fetched
from maxsup_analysis.errors import InputError
from maxsup_analysis.forward import ForwardPass, Precision, numerics
from maxsup_analysis.heads import find_head
from maxsup_analysis.preprocessing import Preprocessing
from tests.extraction.setting import Setting

CPU = torch.device("cpu")
IMAGES = Preprocessing((3, 64, 64), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def classifier_of(module: nn.Module, preprocessing: Preprocessing = IMAGES) -> Classifier:
    module.eval()
    head = find_head(module, torch.randn(3, *preprocessing.size))
    return Classifier("net", module, head, head.weights.weight.shape[0], preprocessing, None)


def images(count: int, preprocessing: Preprocessing = IMAGES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, *preprocessing.size), generator=generator, dtype=torch.uint8)


def columns(classifier: Classifier, pixels: torch.Tensor, precision: Precision | None = None, size: int = 4):
    fetched = [Fetched(ids, pixels[ids]) for ids in torch.arange(len(pixels)).split(size)]
    with ForwardPass(classifier, CPU, precision or Precision()) as forward:
        batches = list(forward.batches(fetched))
    return torch.cat([batch.features for batch in batches]), torch.cat([batch.logits for batch in batches])


def test_bytes_are_normalised_as_torchvision_does():
    pixels = images(2)
    expected = normalize(pixels.float() / 255, list(IMAGES.mean), list(IMAGES.std))
    assert torch.equal(IMAGES.normalised(pixels), expected)


TORCHVISION = {"resnet18": "avgpool", "mobilenet_v2": "classifier.0", "regnet_y_400mf": "avgpool"}
TIMM = ("resnet18", "vit_tiny_patch16_224", "convnext_atto")


@pytest.mark.parametrize("name", TORCHVISION)
def test_features_are_those_of_torchvisions_feature_extractor(name: str):
    torch.manual_seed(0)
    module = torchvision.models.get_model(name, weights=None, num_classes=10).eval()
    reference = create_feature_extractor(module, {TORCHVISION[name]: "features"})
    pixels = images(8)
    with torch.inference_mode():
        expected = reference(IMAGES.normalised(pixels))["features"].flatten(1)
    features, _ = columns(classifier_of(module), pixels)
    assert (features - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("name", TIMM)
def test_features_are_those_of_timms_forward_head(name: str):
    torch.manual_seed(0)
    options: dict[str, Any] = {"img_size": 64} if name.startswith("vit") else {}
    module = timm.create_model(name, num_classes=10, **options).eval()
    pixels = images(8)
    with torch.inference_mode():
        prepared = IMAGES.normalised(pixels)
        expected = module.forward_head(module.forward_features(prepared), pre_logits=True)  # type: ignore[operator]
    features, logits = columns(classifier_of(module), pixels)
    assert (features - expected).abs().max() <= 1e-6 * expected.abs().max()
    with torch.inference_mode():
        assert torch.allclose(logits, module(prepared), atol=1e-5)


class Hungry(nn.Module):
    """Runs out of memory with more than so many images at once."""

    def __init__(
        self, most: int, error: type[RuntimeError] = torch.OutOfMemoryError, said: str = "CUDA out of memory"
    ):
        super().__init__()
        self.net, self.most, self.error, self.said = small_cnn(3, 10, (4, 4, 4)), most, error, said
        self.tried: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(batch))
        if len(batch) > self.most:
            raise self.error(self.said)
        return self.net(batch)


@pytest.mark.parametrize("most", [3, 17, 64])
def test_memory_that_runs_out_halves_the_batch(most: int, capsys):
    torch.manual_seed(0)
    module = Hungry(most)
    classifier = classifier_of(module)
    module.tried.clear()
    features, logits = columns(classifier, images(150), size=100)
    failed = [size for size in module.tried if size > most]
    assert failed == [100, *[size for size in (50, 25, 12, 6) if size > most]][: len(failed)] and all(
        size <= most for size in module.tried[-2:]
    )
    assert capsys.readouterr().err.count("warning: out of memory with") == len(failed) <= 7
    module.most = 1000
    expected = columns(classifier, images(150), size=100)
    assert (features - expected[0]).abs().max() < 1e-5 and (logits - expected[1]).abs().max() < 1e-5


def test_memory_too_small_for_one_image_is_an_error():
    module = Hungry(3)
    classifier = classifier_of(module)
    with (
        pytest.raises(InputError, match="cpu has too little memory for a single image"),
        ForwardPass(classifier, CPU, Precision()) as forward,
    ):
        module.most = 0
        list(forward.batches([Fetched(torch.arange(2), images(2))]))
    with (
        pytest.raises(InputError, match="has too little memory for this model"),
        ForwardPass(classifier, CPU, Precision()),
    ):
        pass


def test_memory_of_the_cpu_counts_and_other_failures_do_not(capsys):
    module = Hungry(
        10, RuntimeError, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )
    features, _ = columns(classifier_of(module), images(30), size=30)
    assert len(features) == 30
    module = Hungry(10, RuntimeError, "CUDA error: an illegal memory access was encountered")
    classifier = classifier_of(module)
    module.tried.clear()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        columns(classifier, images(30), size=30)
    assert module.tried[1:] == [30]


def test_the_largest_batch_that_fits():
    module = Hungry(100)
    with ForwardPass(classifier_of(module), CPU, Precision()) as forward:
        assert forward.largest_batch() == 64
        forward.device = torch.device("meta")
        forward._run = lambda images: forward.tap(IMAGES.normalised(images))  # type: ignore[method-assign]
        assert forward.largest_batch() == 64
        module.most = 200
        assert forward.largest_batch() == 128


@pytest.mark.parametrize(("amp", "tolerance"), [("bf16", 3e-2), ("fp16", 4e-3)])
def test_autocast_is_close_and_float32_in_the_end(amp, tolerance: float):
    torch.manual_seed(0)
    classifier = classifier_of(torchvision.models.resnet18(num_classes=10))
    exact, rounded = (
        columns(classifier, images(8), precision)[0] for precision in (None, Precision(amp=amp))
    )
    assert rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
    assert (exact - rounded).norm() <= tolerance * exact.norm()


def test_compiled_is_the_same():
    torch.manual_seed(0)
    classifier = classifier_of(small_cnn(3, 10, (4, 4, 4)))
    exact, compiled = (
        columns(classifier, images(8), precision) for precision in (None, Precision(compile=True))
    )
    assert torch.allclose(exact[0], compiled[0], atol=1e-5) and torch.allclose(
        exact[1], compiled[1], atol=1e-5
    )


def test_numerics_are_as_asked_and_then_as_they_were():
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    with numerics(Precision()):
        assert not cudnn.allow_tf32 and not matmul.allow_tf32 and not cudnn.benchmark
        assert not torch.are_deterministic_algorithms_enabled()
    with numerics(Precision(tf32=True, deterministic=True)):
        assert cudnn.allow_tf32 and matmul.allow_tf32 and torch.are_deterministic_algorithms_enabled()
    assert (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark) == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_batch_normalisation_is_left_alone_and_batches_change_rounding_only(tmp_path: Path):
    # Eight draws of the weights gave 0.7e-6 to 1.3e-6, ten times float32's rounding, through 18 layers.
    torch.manual_seed(6)
    module = torchvision.models.resnet18(num_classes=10)
    classifier = classifier_of(module)
    state = {name: part.clone() for name, part in module.state_dict().items()}
    module.train()
    results = [columns(classifier, images(33), size=size)[0] for size in (1, 7, 33)]
    assert all(torch.equal(part, state[name]) for name, part in module.state_dict().items())
    for features in results[1:]:
        assert (features - results[0]).abs().max() <= 2e-6 * results[0].abs().max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_in_float32(tmp_path: Path):
    setting = Setting.of(tmp_path, 200)
    on_cpu, on_gpu = setting.extract("cpu.features"), setting.extract("gpu.features", device="cuda")
    assert on_cpu is not None and on_gpu is not None
    for first, second in zip(on_cpu, on_gpu, strict=True):
        assert (first.features - second.features).abs().max() <= 1e-4 * first.features.abs().max()
    assert setting.extract("auto.features", device="cuda", batch_size=None) is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_memory_of_the_gpu_that_runs_out(tmp_path: Path, capsys):
    module = torchvision.models.resnet18(num_classes=10).cuda()
    large = replace(IMAGES, size=(3, 512, 512))
    torch.cuda.set_per_process_memory_fraction(2e9 / torch.cuda.get_device_properties(0).total_memory)
    try:
        with ForwardPass(classifier_of(module.cpu(), large), torch.device("cuda"), Precision()) as forward:
            outputs = forward.outputs(images(256, large))
        assert (
            sum(len(part.features) for part in outputs) == 256 and "out of memory" in capsys.readouterr().err
        )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
