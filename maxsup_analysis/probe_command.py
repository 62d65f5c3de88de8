"""The command of linear transfer. The rest is imported inside it."""

import json
from typing import Annotated

import typer

from maxsup_analysis.errors import InputError
from maxsup_analysis.options import AsJson, Checkpoint, DataDir, Device, Model, ModelArgs, Workers, arguments


def probe(
    checkpoint: Checkpoint,
    data: Annotated[str, typer.Option(help="The data to transfer to, as --data of `features`.")],
    data_dir: DataDir = None,
    splits: Annotated[
        str, typer.Option(metavar="TRAIN,TEST", help="The splits to train the probe on and to test it on.")
    ] = "train,test",
    model: Model = None,
    model_args: ModelArgs = None,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b")] = 256,
    workers: Workers = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """How well a linear classifier on the features does another task: its accuracy, with a 95 % interval."""
    from maxsup_analysis.classifiers import ModelChoice
    from maxsup_analysis.rounding import plus_minus
    from maxsup_analysis.transfer import Transfer, transferred

    names = splits.split(",")
    if len(names) != 2 or not all(names):
        raise InputError(f"expected --splits TRAIN,TEST, got {splits!r}")
    choice = ModelChoice(model, arguments("--model-args", model_args or []))
    target = Transfer(data, data_dir, (names[0], names[1]), batch_size, device, workers, choice)
    found = transferred(checkpoint, target).probe
    if as_json:
        plain = {
            "accuracy": found.accuracy.value,
            "standard_error": found.accuracy.standard_error,
            "strength": found.strength,
            "held_out": list(found.held_out),
            "notes": list(found.notes),
        }
        print(json.dumps(plain, indent=2))
        return
    print(f"accuracy {plus_minus(found.accuracy)} on {data} {names[1]} (L2 strength {found.strength:.3g})")
    for note in found.notes:
        print(f"note: {note}")
