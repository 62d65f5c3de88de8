"""Tests for docs/losses.md: its table is generated, its examples run, its formulas compile."""

import re
import warnings
from pathlib import Path

import pytest
import torch
import typst
from torch import nn
from torch.utils.data import DataLoader

from maxsup_analysis.catalogue import losses_markdown, losses_text
from maxsup_analysis.losses import LOSSES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
LABELS = [torch.randint(3, (8,)) for _ in range(3)]


class Images(nn.Sequential):
    """A linear classifier of 3 x 6 x 6 images."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(108, 3))

    @property
    def loader(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(torch.randn(8, 3, 6, 6), labels) for labels in LABELS]


def run(example: str) -> dict:
    """The names that an example leaves, and whether it trained the network."""
    model = Images()
    names = {
        "model": model,
        "loader": model.loader,
        "optimiser": torch.optim.SGD(model.parameters(), lr=0.1),
        "epochs": 2,
        "classes": 3,
    }
    before = [part.clone() for part in model.parameters()]
    exec(example, names)
    return names | {"learnt": not all(map(torch.equal, before, model.parameters()))}


def example_with(word: str) -> str:
    (found,) = [example for example in EXAMPLES if word in example]
    return found


def test_the_table_is_generated():
    assert DOCUMENT.endswith(losses_markdown()), (
        "put the output of `python -m maxsup_analysis.catalogue losses` at the end of docs/losses.md"
    )


@pytest.mark.parametrize("word", ["criterion = MaxSupLoss()", "# the authors' schedule", "timm"])
def test_loops_run(word: str):
    assert run(example_with(word))["learnt"]


def test_the_lightning_module_trains():
    import pytorch_lightning as pl

    classifier = run(example_with("Lightning"))["Classifier"](Images(), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It has advice on workers and loggers.
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(classifier, DataLoader(Images().loader, batch_size=None))  # type: ignore[arg-type]
    assert int(classifier.criterion.epoch) == 1 and classifier.criterion.started


def test_the_example_of_a_new_loss(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES))
    names = run(example_with("LogitVarianceLoss"))
    logits, labels = torch.randn(8, 3), torch.randint(3, (8,))
    values = names["LogitVarianceLoss"](alpha=0.5)(logits, labels)
    expected = nn.functional.cross_entropy(logits, labels) + 0.5 * logits.var(1, correction=0).mean()
    torch.testing.assert_close(values, expected)
    assert LOSSES["logit_variance"].alpha == 0.01 and "logit_variance" in losses_text()


def test_every_formula_is_one_that_typst_knows(tmp_path: Path):
    formulas = "\n\n".join(f"$ {entry.formula} $" for entry in LOSSES.values())
    (tmp_path / "formulas.typ").write_text(formulas)
    assert typst.compile(str(tmp_path / "formulas.typ"))[:4] == b"%PDF"
