"""In how many models of timm and torchvision the head is found; prints a table of counts, and what was not found.

Models are built without weights and given a little noise, so that no head is zero; each runs once on two images of
the smallest size it takes. Run: python benchmarks/heads_survey.py [--parameters 30e6] [NAME ...]
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Iterator

import timm
import torch
import torchvision
from torch import nn

from maxsup_analysis.errors import InputError
from maxsup_analysis.heads import FoundHead, find_head

# Tried from the smallest; some models take only the size they were made for.
SIZES = (64, 96, 128, 160, 224, 256, 299, 384, 448)


def build(name: str) -> nn.Module:
    """A model of random weights; names of timm start with `timm/`."""
    if name.startswith("timm/"):
        return timm.create_model(name.removeprefix("timm/"), pretrained=False)
    return torchvision.models.get_model(name, weights=None)


def parameters(name: str) -> int:
    """The number of parameters, counted without allocating them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(name).parameters())


def stirred(model: nn.Module) -> nn.Module:
    """The model with noise on every parameter: heads that start from zero say nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


def sizes(name: str) -> Iterator[int]:
    """Image sizes to try, in order; timm says which one a model was made for."""
    cfg = timm.get_pretrained_cfg(name.removeprefix("timm/")) if name.startswith("timm/") else None
    if cfg is not None and cfg.fixed_input_size:
        yield cfg.input_size[1]
    else:
        yield from SIZES


def head_of_model(name: str) -> FoundHead:
    """The head found at the first size that the model takes."""
    model = stirred(build(name))
    for size in sizes(name):
        try:
            return find_head(model, torch.randn(2, 3, size, size))
        except InputError:
            raise
        except (RuntimeError, AssertionError, ValueError, IndexError):
            continue
    raise RuntimeError(f"takes no image of {', '.join(map(str, sizes(name)))} pixels")


def outcome(name: str, most: float) -> str:
    """The form found, or why there is none."""
    torch.manual_seed(0)
    try:
        if parameters(name) > most:
            return "not tried: too large"
        found = head_of_model(name)
    except InputError as reason:
        return f"{type(reason).__name__}: {str(reason)[:150]}"
    except Exception as reason:  # whatever else a model of hundreds may raise is a row of the table
        return f"could not run: {type(reason).__name__}: {' '.join(str(reason).split())[:100]}"
    return found.form if found.temperature == 1 else f"{found.form} at a temperature"


def names() -> list[str]:
    """Every classifier of torchvision and every model of timm."""
    return torchvision.models.list_models(torchvision.models) + [
        f"timm/{name}" for name in timm.list_models()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=float, default=30e6, help="the largest model tried")
    parser.add_argument("names", nargs="*", help="models to try; all without any")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    for name in chosen.names or names():
        result = outcome(name, chosen.parameters)
        counts[result.split(":")[0]] += 1
        if ":" in result and not result.startswith("not tried"):
            print(f"- {name}: {result}", flush=True)
    print("\n| outcome | models |\n|---|---|")
    for result, count in counts.most_common():
        print(f"| {result} | {count} |")


if __name__ == "__main__":
    main()
