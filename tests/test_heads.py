"""Tests for the head that is found, and for the taps that read features through it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from maxsup_analysis.errors import InputError
from maxsup_analysis.heads import IDENTITY_TOLERANCE, FoundHead, NoLinearHead, find_head
from maxsup_analysis.hooks import logits_of
from maxsup_analysis.taps import FeatureTap, LayerTap, layer_names

K, D = 5, 7


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 4, 4)


def body(width: int = D) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, width), nn.Tanh())


def maps(width: int = D) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Tanh())


def require_head(model: nn.Module, images: Tensor, **expected: object) -> FoundHead:
    """The head found, once features of other images times its weight are what the model says about them."""
    found = find_head(model, images)
    for name, value in expected.items():
        assert getattr(found, name) == value
    assert found.residual <= IDENTITY_TOLERANCE
    assert found.weights.weight.dtype == torch.float64
    other = torch.randn_like(images)
    with FeatureTap(model, found) as tap:
        outputs = tap(other)
    with torch.no_grad():
        said = logits_of(model.eval()(other)).double()
    again = outputs.features.double() @ found.weights.weight.T
    again = again if found.weights.bias is None else again + found.weights.bias
    if found.ending != "logits":
        assert torch.allclose(
            said.exp() if found.ending == "log-softmax" else said, again.softmax(1), atol=1e-6
        )
        said = again
    assert torch.allclose(outputs.logits.double(), said, atol=1e-4 * float(said.abs().max()))
    assert torch.allclose(again, said, atol=1e-4 * float(said.abs().max()))
    return found


class Cosine(nn.Module):
    """s cos(h, w); with columns, as in ArcFace code, the weight is D x K."""

    def __init__(self, scale: float, *, columns: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(D, K) if columns else torch.randn(K, D))
        self.scale, self.columns = scale, columns

    def forward(self, features: Tensor) -> Tensor:
        weight = self.weight.T if self.columns else self.weight
        return self.scale * functional.linear(functional.normalize(features), functional.normalize(weight))


class Scaled(nn.Module):
    def __init__(self, layer: nn.Module, scale: float) -> None:
        super().__init__()
        self.layer, self.scale = layer, scale

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * self.layer(features)


class Heads(nn.Module):
    """Several heads on parts of the features; `combine` makes the output of theirs."""

    def __init__(self, count: int, combine) -> None:
        super().__init__()
        self.body = body(D * count)
        self.heads = nn.ModuleList(nn.Linear(D, K) for _ in range(count))
        self.combine = combine

    def forward(self, images: Tensor) -> object:
        parts = self.body(images).split(D, 1)
        return self.combine([head(part) for head, part in zip(self.heads, parts, strict=True)])


class Answering(nn.Module):
    def __init__(self, model: nn.Module, answer) -> None:
        super().__init__()
        self.model, self.answer = model, answer

    def forward(self, images: Tensor) -> object:
        return self.answer(self.model(images))


PLAIN = {
    "linear": (lambda: nn.Sequential(body(), nn.Linear(D, K)), "1"),
    "no bias": (lambda: nn.Sequential(body(), nn.Linear(D, K, bias=False)), "1"),
    "dropout": (lambda: nn.Sequential(body(), nn.Dropout(0.9), nn.Linear(D, K)), "2"),
    "nested": (lambda: nn.Sequential(body(), nn.Sequential(nn.LayerNorm(D), nn.Linear(D, K))), "1.1"),
    "mlp": (lambda: nn.Sequential(body(), nn.Linear(D, K), nn.GELU(), nn.Linear(K, K)), "3"),
    "identity after": (lambda: nn.Sequential(body(), nn.Linear(D, K), nn.Identity()), "1"),
    "wide by chance": (lambda: nn.Sequential(body(K), nn.Linear(K, K), nn.Tanh(), nn.Linear(K, K)), "3"),
    "convolution": (
        lambda: nn.Sequential(maps(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(D, K, 1), nn.Flatten()),
        "2",
    ),
    "convolution, 4-D output": (
        lambda: nn.Sequential(maps(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(D, K, 1)),
        "2",
    ),
    "convolution, then pool": (
        lambda: nn.Sequential(maps(), nn.Conv2d(D, K, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "1",
    ),
    "weight norm": (
        lambda: nn.Sequential(body(), nn.utils.parametrizations.weight_norm(nn.Linear(D, K))),
        "1",
    ),
    "spectral norm": (
        lambda: nn.Sequential(body(), nn.utils.parametrizations.spectral_norm(nn.Linear(D, K))),
        "1",
    ),
    "unit features": (lambda: nn.Sequential(Answering(body(), functional.normalize), nn.Linear(D, K)), "1"),
    "lazy": (lambda: nn.Sequential(body(), nn.LazyLinear(K)), "1"),
    "in a list": (lambda: Heads(2, lambda outputs: outputs[1]), "heads.1"),
    "not the auxiliary": (lambda: Heads(2, lambda outputs: outputs[0]), "heads.0"),
    "one class": (lambda: nn.Sequential(body(), nn.Linear(D, 1)), "1"),
    "as many features as classes": (lambda: nn.Sequential(body(K), nn.Linear(K, K)), "1"),
    "frozen and trained modules mixed": (
        lambda: nn.Sequential(
            nn.ModuleList([body(), nn.Linear(D, K)])[0], nn.Linear(D, K).requires_grad_(False)
        ),
        "1",
    ),
}


@pytest.mark.parametrize("case", PLAIN)
def test_a_linear_head_is_found(case: str, images: Tensor):
    build, layer = PLAIN[case]
    model = build()
    if case == "lazy":
        model(images)
    found = require_head(model, images, layers=(layer,), form="linear", temperature=1.0, ending="logits")
    if case == "no bias":
        assert found.weights.bias is None
        assert found.description == f"linear head 1: {D} features to {K} classes, no bias"


@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
def test_a_cosine_head_is_found_with_its_scale(columns: bool, images: Tensor):
    head = Cosine(16.0, columns=columns)
    model = nn.Sequential(body(), head)
    found = require_head(model, images, layers=("1",), form="cosine")
    assert found.temperature == pytest.approx(1 / 16, rel=1e-5)
    assert torch.allclose(found.weights.weight.norm(dim=1), torch.full((K,), 16.0).double(), rtol=1e-5)
    with FeatureTap(model, found) as tap:
        assert torch.allclose(tap(images).features.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("width", [D, K], ids=["D x K", "square"])
def test_a_weight_by_columns_is_turned(width: int, images: Tensor):
    class Columns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(width, K))

        def forward(self, features: Tensor) -> Tensor:
            return features @ self.weight

    require_head(nn.Sequential(body(width), Columns()), images, layers=("1",), form="linear")


def test_temperature_is_found_and_folded_into_the_weights(images: Tensor):
    layer = nn.Linear(D, K)
    found = require_head(
        nn.Sequential(body(), Scaled(layer, 1 / 4)), images, layers=("1.layer",), form="linear"
    )
    assert found.temperature == pytest.approx(4, rel=1e-5)
    assert torch.allclose(found.weights.weight, layer.weight.double() / 4, rtol=1e-5)
    assert found.description == f"linear head 1.layer: {D} features to {K} classes, bias, temperature 4"


def test_a_negative_multiple_is_no_temperature(images: Tensor):
    with pytest.raises(NoLinearHead):
        find_head(nn.Sequential(body(), Scaled(nn.Linear(D, K), -1)), images)


@pytest.mark.parametrize("ending", ["softmax", "log-softmax"])
@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_a_final_softmax_is_undone(ending: str, size: float, images: Tensor):
    last = nn.Softmax(1) if ending == "softmax" else nn.LogSoftmax(1)
    layer = nn.Linear(D, K)
    layer.weight.data *= size
    found = require_head(
        nn.Sequential(body(), layer, last), images, layers=("1",), form="linear", ending=ending
    )
    assert torch.equal(found.weights.weight, layer.weight.double())
    assert found.description.endswith(f"; the model ends in {ending}, its logits stand before it")


def test_behind_a_softmax_there_may_be_cosines(images: Tensor):
    found = require_head(
        nn.Sequential(body(), Cosine(9.0), nn.Softmax(1)), images, form="cosine", ending="softmax"
    )
    assert found.temperature == pytest.approx(1 / 9, rel=1e-4)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_mean_of_heads_is_one_linear_map_of_all_their_features(count: int):
    model: Any = Heads(count, lambda outputs: torch.stack(outputs).mean(0))
    layers = tuple(f"heads.{number}" for number in range(count))
    found = require_head(model, torch.randn(8, 3, 4, 4), layers=layers, form="mean of heads", temperature=1.0)
    weights = torch.cat([head.weight.double() / count for head in model.heads], 1)
    assert torch.allclose(found.weights.weight, weights)
    bias = torch.stack([head.bias.double() for head in model.heads]).mean(0)
    assert found.weights.bias is not None and torch.allclose(found.weights.bias, bias)


def test_of_three_heads_two_may_be_averaged():
    model = Heads(3, lambda outputs: (outputs[0] + outputs[2]) / 2)
    require_head(model, torch.randn(4, 3, 4, 4), layers=("heads.0", "heads.2"), form="mean of heads")


def test_a_sum_of_heads_is_their_mean_at_a_temperature():
    model = Heads(2, lambda outputs: outputs[0] + outputs[1])
    assert require_head(model, torch.randn(4, 3, 4, 4), form="mean of heads").temperature == pytest.approx(
        1 / 2
    )


def test_heads_may_have_unequal_shares():
    model: Any = Heads(3, lambda outputs: 0.7 * outputs[0] + 0.29 * outputs[1] + 0.01 * outputs[2])
    found = require_head(model, torch.randn(4, 3, 4, 4), form="mean of heads")
    assert found.layers == ("heads.0", "heads.1", "heads.2")
    assert found.temperature == pytest.approx(1, rel=1e-4)
    parts = found.weights.weight.split(D, 1)
    for share, part, head in zip((0.7, 0.29, 0.01), parts, model.heads, strict=True):
        assert torch.allclose(part, share * head.weight.double(), atol=1e-5)


def test_a_difference_of_heads_is_no_mean():
    with pytest.raises(NoLinearHead):
        find_head(Heads(2, lambda outputs: outputs[0] - outputs[1]), torch.randn(4, 3, 4, 4))


def test_many_unrelated_layers_do_not_add_up_to_the_logits(images: Tensor):
    model = Heads(40, lambda outputs: torch.stack(outputs).mean(0).tanh())
    with pytest.raises(NoLinearHead):
        find_head(model, images)


def test_nothing_fits_after_an_activation(images: Tensor):
    model = nn.Sequential(
        maps(), nn.Conv2d(D, K, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    pattern = (
        rf"^expected a linear layer that makes the model's {K} outputs, got none \(relative residuals: 1 \S+\); "
        r"choose a layer with --layer NAME \(--list-layers shows them\)$"
    )
    with pytest.raises(NoLinearHead, match=pattern):
        find_head(model, images)


def test_no_layer_of_the_right_width_is_said_so(images: Tensor):
    with pytest.raises(NoLinearHead, match=r"\(relative residuals: none has that many outputs\)"):
        find_head(nn.Sequential(nn.Flatten(), nn.Tanh()), images)


def test_five_candidates_are_named_the_nearest_first(images: Tensor):
    model = Heads(9, lambda outputs: outputs[4].tanh())
    with pytest.raises(NoLinearHead) as caught:
        find_head(model, images)
    listed = str(caught.value).split("residuals: ")[1].split(")")[0].split(", ")
    assert len(listed) == 5 and listed[0].startswith("heads.4 ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("value", "came"), [(0.0, "nothing but zeros"), (float("nan"), "NaN or infinity")])
def test_logits_that_tell_nothing_are_refused(value: float, came: str, images: Tensor):
    layer = nn.Linear(D, K)
    nn.init.constant_(layer.weight, value)
    nn.init.constant_(layer.bias, value)
    with pytest.raises(
        InputError, match=rf"^expected finite logits that tell layers apart, got {came} on the probe"
    ):
        find_head(nn.Sequential(body(), layer), images)


def test_small_logits_are_judged_by_their_size(images: Tensor):
    model: Any = nn.Sequential(body(), nn.Linear(D, K), nn.Tanh(), nn.Linear(K, K), nn.Tanh())
    for layer in (model[1], model[3]):
        layer.weight.data *= 1e-3
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        assert model(images).abs().max() < IDENTITY_TOLERANCE
    assert find_head(model, images).layers == ("3",)  # tanh(x) = x down here


def test_of_two_layers_that_fit_the_last_is_taken(images: Tensor):
    last = nn.Linear(K, K)
    nn.init.eye_(last.weight)
    nn.init.zeros_(last.bias)
    require_head(nn.Sequential(body(), nn.Linear(D, K), last), images, layers=("2",))


def test_of_a_tied_layer_the_last_call_counts(images: Tensor):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = body(), nn.Linear(D, K)
            self.same = self.head

        def forward(self, images: Tensor) -> Tensor:
            features = self.body(images)
            return self.same(features + self.head(features).sum(1, keepdim=True))

    model = Tied().eval()
    found = require_head(model, images, layers=("head",))
    with torch.no_grad():
        features = model.body(images)
        expected = features + model.head(features).sum(1, keepdim=True)
    with FeatureTap(model, found) as tap:
        assert torch.allclose(tap(images).features, expected)


def test_features_handed_over_by_keyword_are_found(images: Tensor):
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = body(), nn.Linear(D, K)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(input=self.body(images))

    require_head(Keyword(), images, layers=("head",))


def test_what_happens_in_place_after_the_head_does_not_reach_the_features(images: Tensor):
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = body(), nn.Linear(D, K)

        def forward(self, images: Tensor) -> Tensor:
            features = self.body(images)
            logits = self.head(features)
            features.zero_()
            return logits

    require_head(InPlace(), images, layers=("head",))


def test_the_way_to_run_the_model_may_be_given(images: Tensor):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = body(), nn.Linear(D, K)

        def classify(self, images: Tensor) -> Tensor:
            return self.head(self.body(images))

    model = Two()
    found = find_head(model, images, forward=model.classify)
    with FeatureTap(model, found, forward=model.classify) as tap:
        outputs = tap(images)
    assert torch.allclose(found.weights.logits(outputs.features.double()), outputs.logits.double(), atol=1e-6)


@pytest.mark.parametrize(
    "answer",
    [
        lambda logits: {"logits": logits, "features": torch.zeros(3, D)},
        lambda logits: {"loss": torch.tensor(1.0), "scores": logits},
        lambda logits: SimpleNamespace(logits=logits),
        lambda logits: (torch.tensor(0.5), logits),
        lambda logits: [logits],
        lambda logits: logits[:, :, None, None],
    ],
    ids=["dict", "only one", "attribute", "with a loss", "list", "4-D"],
)
def test_logits_are_recognised_in_what_models_return(answer, images: Tensor):
    require_head(Answering(nn.Sequential(body(), nn.Linear(D, K)), answer), images, layers=("model.1",))


@pytest.mark.parametrize(
    ("output", "came"),
    [
        ((torch.zeros(2, 3), torch.zeros(2, 3)), r"a tuple of 2 \(\[2, 3\], \[2, 3\]\)"),
        ({"a": None}, r"a dict of 1 \(NoneType\)"),
        (torch.zeros(2, 3, 4, 4), r"a tensor of shape \[2, 3, 4, 4\] and type float32"),
        (torch.zeros(2, 3).long(), r"a tensor of shape \[2, 3\] and type int64"),
        ("cat", "a str"),
    ],
)
def test_other_outputs_are_refused(output: object, came: str):
    pattern = (
        rf"^expected logits of shape \[B, K\] from the model, got {came}; "
        "let it return its logits alone or under the name 'logits'$"
    )
    with pytest.raises(InputError, match=pattern):
        logits_of(output)


def hook_count(model: nn.Module) -> int:
    return sum(len(layer._forward_hooks) + len(layer._forward_pre_hooks) for layer in model.modules())


class Broken(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        raise ArithmeticError("broken")


def test_hooks_go_and_modes_return_also_when_the_model_raises(images: Tensor):
    model = nn.Sequential(body(), nn.Linear(D, K), Broken()).train()
    model[0].eval()
    modes = [layer.training for layer in model.modules()]
    with pytest.raises(ArithmeticError):
        find_head(model, images)
    with pytest.raises(ArithmeticError):
        layer_names(model, images)
    with pytest.raises(ArithmeticError), LayerTap(model, "1") as tap:
        assert hook_count(model) == 1 and not model.training
        tap(images)
    assert hook_count(model) == 0
    assert [layer.training for layer in model.modules()] == modes


def test_modes_return_after_the_head_is_found(images: Tensor):
    model = nn.Sequential(body(), nn.Dropout(0.5), nn.Linear(D, K)).train()
    model[0].eval()
    found = find_head(model, images)
    with FeatureTap(model, found) as tap:
        assert hook_count(model) == 1
        assert torch.equal(tap(images).logits, tap(images).logits)
    assert hook_count(model) == 0
    assert [layer.training for layer in (model, model[0], model[1])] == [True, False, True]


def test_the_weights_can_be_used_outside_inference(images: Tensor):
    model = nn.Sequential(body(), nn.utils.parametrizations.weight_norm(nn.Linear(D, K)))
    head = find_head(model, images).weights
    assert not head.weight.is_inference() and head.bias is not None and not head.bias.is_inference()
    layer = nn.Linear(D, K).double()
    head = find_head(nn.Sequential(body().double(), layer), images.double()).weights
    before = head.weight.clone()
    layer.weight.data.zero_()
    assert torch.equal(head.weight, before)


def test_a_layer_that_no_longer_runs_is_an_error(images: Tensor):
    model = Heads(2, lambda outputs: outputs[1])
    found = find_head(model, images)
    model.forward = lambda images: model.body(images)  # type: ignore[method-assign]
    with (
        pytest.raises(InputError, match=r"^expected layer 'heads.1' to run and give a tensor, it does not"),
        FeatureTap(model, found) as tap,
    ):
        tap(images)


def test_layers_are_listed_in_the_order_they_run(images: Tensor):
    model = nn.Sequential(maps(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(D, K))
    expected = {
        "0.0": (3, D, 4, 4), "0.1": (3, D, 4, 4), "0": (3, D, 4, 4), "1": (3, D, 1, 1), "2": (3, D), "3": (3, K),
    }  # fmt: skip
    assert layer_names(model, images) == expected
    assert list(layer_names(model, images)) == list(expected)


def test_a_layer_is_pooled_over_positions_before_what_follows_in_place(images: Tensor):
    model = nn.Sequential(nn.Conv2d(3, D, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with LayerTap(model, "0") as tap:
        outputs = tap(images)
    with torch.no_grad():
        assert torch.allclose(outputs.features, model[0](images).mean((2, 3)), atol=1e-6)
        assert torch.equal(outputs.logits, model(images))


@pytest.mark.parametrize(
    ("shape", "mean_over"),
    [((3, 9, D), (1,)), ((3, D, 4, 4), (2, 3)), ((3, 4, 4, D), (1, 2)), ((3, D, 2, 4), (2, 3)), ((3, D), ())],
)
def test_any_layer_gives_one_vector_a_sample(
    shape: tuple[int, ...], mean_over: tuple[int, ...], images: Tensor
):
    given = torch.randn(shape)
    model = nn.Sequential(
        Answering(nn.Identity(), lambda images: given), Answering(nn.Identity(), lambda _: images[:, 0, 0])
    )
    with LayerTap(model, "0") as tap:
        features = tap(images).features
    assert torch.allclose(features, given.mean(mean_over) if mean_over else given, atol=1e-6)


def test_layers_that_cannot_be_read_are_errors(images: Tensor):
    model = nn.Sequential(Answering(nn.Identity(), lambda images: images[0]), nn.Flatten(), nn.Linear(16, K))
    with pytest.raises(
        InputError, match=r"^expected a layer of the model, got '0.modle'; the nearest are 0.model"
    ):
        LayerTap(model, "0.modle")
    with pytest.raises(InputError, match=r"^expected a layer of the model, got 'head'; none is like it"):
        LayerTap(model, "head")
    with pytest.raises(InputError, match=r"got 3; choose another"), LayerTap(model, "2") as tap:
        tap(torch.randn(2, 3, 4, 4))
    deep = nn.Sequential(nn.Unflatten(1, (1, 1, 3)), nn.Flatten(), nn.Linear(48, K))
    with (
        pytest.raises(
            InputError, match=r"^expected \[B, D\], .* from layer '0', got \[3, 1, 1, 3, 4, 4\]; choose"
        ),
        LayerTap(deep, "0") as tap,
    ):
        tap(images)


def test_googlenet_and_inception_in_training_mode_answer_with_named_logits():
    import torchvision

    model = torchvision.models.googlenet(num_classes=K, init_weights=False, aux_logits=True).train()
    images = torch.randn(2, 3, 64, 64)
    modes = {name: layer.training for name, layer in model.named_modules()}
    require_head(model, images, layers=("fc",), form="linear")
    model.train()
    assert {name: layer.training for name, layer in model.named_modules()} == modes
    assert logits_of(model(images)).shape == (2, K)


def test_transformers_models_answer_with_model_outputs():
    from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification

    classes: dict[str, Any] = {"num_labels": K}
    vit = ViTForImageClassification(
        ViTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8,
            patch_size=4, **classes,
        )
    )  # fmt: skip
    resnet = ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **classes)
    )
    require_head(vit, torch.randn(2, 3, 8, 8), layers=("classifier",), form="linear")
    require_head(resnet, torch.randn(2, 3, 32, 32), layers=("classifier.1",), form="linear")
