"""The `train` command."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from maxsup_analysis.errors import InputError
from maxsup_analysis.options import DataDir, Device, Overwrite, Workers, arguments, one_of

Count = Optional[int]  # noqa: UP045
Number = Optional[float]  # noqa: UP045
Word = Optional[str]  # noqa: UP045
Pairs = Optional[list[str]]  # noqa: UP045
DATA, LOSS, MODEL, STEPS, IMAGES, RUN = "Data", "Loss", "Model", "Optimisation", "Augmentation", "Run"
# Where the flag is not the field's name with hyphens.
FLAGS = {"learning_rate": "--lr", "model_args": "--model-arg", "loss_args": "--loss-arg"}


def flag_of(field: str) -> str:
    """The flag of a field of the plan.

    Example:
        >>> flag_of("batch_size"), flag_of("learning_rate")
        ('--batch-size', '--lr')
    """
    return FLAGS.get(field, f"--{field.replace('_', '-')}")


def option(help: str, panel: str, *flags: str, metavar: str | None = None) -> Any:  # noqa: A002
    """A flag with its help, among those of its panel."""
    return typer.Option(*flags, help=help, rich_help_panel=panel, metavar=metavar)


def train(
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write.")],
    data: Annotated[
        str, option("A data set by name, or a folder of images; see docs/data.md.", DATA)
    ] = "digits",
    data_dir: DataDir = None,
    split: Annotated[str, option("What is trained on.", DATA)] = "train",
    test_split: Annotated[Word, option("Take the accuracy on this split after each epoch.", DATA)] = None,
    train_samples: Annotated[Count, option("Train on the first so many images only.", DATA)] = None,
    samples_per_class: Annotated[Count, option("So many images of each class, drawn.", DATA)] = None,
    imbalance: Annotated[
        float, option("Largest class over smallest, exponential in between: 10, 50, 100.", DATA)
    ] = 1.0,
    label_noise: Annotated[float, option("Share of the labels that are replaced, 0 to 1.", DATA)] = 0.0,
    label_noise_kind: Annotated[
        str, option("symmetric (any other class) or pair (the next class).", DATA)
    ] = "symmetric",
    loss: Annotated[str, option("ce, ls, maxsup, ...; see `maxsup-analyze losses`.", LOSS)] = "ce",
    alpha: Annotated[Number, option("Strength of the loss; by default its own.", LOSS)] = None,
    alpha_end: Annotated[
        Number, option("Strength in the last epoch, reached linearly (MaxSup's paper: 0.1 to 0.2).", LOSS)
    ] = None,
    loss_args: Annotated[
        Pairs, option("An argument of the loss, such as margin=6.", LOSS, "--loss-arg", metavar="KEY=VALUE")
    ] = None,
    model: Annotated[
        str,
        option(
            "small_cnn, cifar_resnet18, ..., timm/NAME, torchvision/NAME or file.py:factory.",
            MODEL,
            "--model",
            "--arch",
            "-m",
        ),
    ] = "small_cnn",
    model_args: Annotated[
        Pairs, option("An argument of the model's constructor.", MODEL, "--model-arg", metavar="KEY=VALUE")
    ] = None,
    image_size: Annotated[Count, option("Side of the images that the model sees.", MODEL)] = None,
    epochs: Annotated[int, option("Passes over the data.", STEPS)] = 15,
    batch_size: Annotated[
        int, option("Images of one optimiser step, over all processes.", STEPS, "--batch-size", "-b")
    ] = 64,
    accumulate: Annotated[
        int, option("Parts in which a batch goes through the model: less memory, same gradients.", STEPS)
    ] = 1,
    optimiser: Annotated[
        str, option("sgd (Nesterov) or adamw.", STEPS, "--optimiser", "--optimizer")
    ] = "sgd",
    learning_rate: Annotated[float, option("Peak of the schedule.", STEPS, "--lr", "--learning-rate")] = 0.2,
    momentum: Annotated[float, option("Of SGD; beta_1 of AdamW.", STEPS)] = 0.9,
    weight_decay: Annotated[float, option("Weight decay.", STEPS)] = 5e-4,
    decay_norms_and_biases: Annotated[
        bool,
        option(
            "Whether weight decay takes them too.", STEPS, "--decay-norms-and-biases/--spare-norms-and-biases"
        ),
    ] = True,
    schedule: Annotated[str, option("one-cycle, cosine, step or constant.", STEPS)] = "one-cycle",
    warmup_epochs: Annotated[int, option("Epochs of linear warm-up before the schedule.", STEPS)] = 0,
    step_epochs: Annotated[int, option("Epochs between the steps of --schedule step.", STEPS)] = 30,
    step_factor: Annotated[float, option("What each of them multiplies by.", STEPS)] = 0.1,
    clip_norm: Annotated[Number, option("Largest norm of the gradient.", STEPS)] = None,
    crop_padding: Annotated[int, option("Move images by up to so many pixels.", IMAGES)] = 0,
    flip: Annotated[bool, option("Mirror every other image left to right.", IMAGES)] = False,
    resized_crop: Annotated[bool, option("A random part of each image, at full size.", IMAGES)] = False,
    erasing: Annotated[float, option("Probability that a rectangle becomes noise.", IMAGES)] = 0.0,
    mixup: Annotated[float, option("Parameter of mixup's Beta distribution; 0 for none.", IMAGES)] = 0.0,
    cutmix: Annotated[float, option("Parameter of CutMix's Beta distribution; 0 for none.", IMAGES)] = 0.0,
    ema: Annotated[Number, option("Decay of an average of the weights, saved beside them.", RUN)] = None,
    amp: Annotated[Word, option("Half precision: bf16 or fp16 (CUDA).", RUN)] = None,
    compile: Annotated[bool, option("Use torch.compile.", RUN)] = False,  # noqa: A002
    sync_batchnorm: Annotated[
        bool, option("Under torchrun: batch statistics of all processes.", RUN)
    ] = False,
    seed: Annotated[int, option("Of weights, order, augmentation, noise and subsets.", RUN)] = 0,
    device: Device = "auto",
    threads: Annotated[int, option("Threads of torch on the CPU; they decide the last digits.", RUN)] = 1,
    keep_every: Annotated[
        Count, option("Also a checkpoint NAME.epoch-0010.pt every so many epochs.", RUN)
    ] = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Train one run with one loss; the checkpoint says what it is.

    Interrupted, it keeps OUTPUT.state, and the same line goes on from there.
    """
    # One name for a thing: the parameters are the fields of the plan.
    flags = dict(locals())
    from maxsup_analysis.files import require_absent
    from maxsup_analysis.ranks import ranks_of
    from maxsup_analysis.training import TrainingPlan
    from maxsup_analysis.training import train as run
    from maxsup_analysis.training.sense import choices, problems

    require_absent(output, overwrite=overwrite)
    given = {name: flags[name] for name in (item.name for item in fields(TrainingPlan))}
    for name in ("loss_args", "model_args"):
        given[name] = arguments(flag_of(name), given[name] or [])
    for name, words in choices().items():
        if given[name] is not None:
            one_of(flag_of(name), given[name], *words)
    plan = TrainingPlan(**given)
    for problem in problems(plan):
        raise InputError(problem.sentence(flag_of(problem.field)))
    outcome = run(plan, output, state=output.with_name(f"{output.name}.state"), replace_state=overwrite)
    if ranks_of(None).rank == 0:
        _report(plan.loss, plan.seed, outcome)
        print(output)


def _report(loss: str, seed: int, outcome: Any) -> None:
    """What came of it, in a line."""
    from maxsup_analysis.progress import say

    last = outcome.last
    shown = {
        "of its training samples in the last epoch": last.accuracy,
        "by their clean labels": last.clean_accuracy,
        "of the test samples": last.test_accuracy,
        "of them by the averaged weights": last.averaged_accuracy,
    }
    words = ", ".join(f"{value:.3f} {what}" for what, value in shown.items() if value is not None)
    say(f"trained {loss} with seed {seed}: accuracy {words}")
