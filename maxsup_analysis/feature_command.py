"""The command that users make most: `maxsup-analyze features`. The rest is imported inside it."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from maxsup_analysis.options import (
    BatchSize,
    Checkpoint,
    Data,
    DataDir,
    Device,
    Model,
    ModelArgs,
    Output,
    Overwrite,
    Split,
    UseEma,
    WeightsKey,
    Workers,
    arguments,
    batch_of,
    numbers,
    one_of,
)


def features(
    checkpoint: Checkpoint,
    output: Output = None,
    data: Data = None,
    data_dir: DataDir = None,
    split: Split = None,
    model: Model = None,
    model_args: ModelArgs = None,
    layer: Annotated[Optional[str], typer.Option(help="Take this layer's output as the features.")] = None,  # noqa: UP045
    list_layers: Annotated[bool, typer.Option("--list-layers", help="Print the layers and leave.")] = False,
    use_ema: UseEma = None,
    weights_key: WeightsKey = None,
    class_map: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Which output each class is: a class name or a number a line, or `path output` lines."
        ),
    ] = None,
    class_order: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="text|natural",
            help="Outputs are the classes by name: as text (torchvision) or as timm sorts.",
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", "--img-size", help="Pixels the model sees.")
    ] = None,
    resize: Annotated[
        Optional[int], typer.Option("--resize", "--val-resize-size", help="Shorter side before the crop.")  # noqa: UP045
    ] = None,
    crop_pct: Annotated[
        float | None, typer.Option(help="Part that the crop keeps, instead of --resize.")
    ] = None,
    mean: Annotated[Optional[str], typer.Option(help="By channel, such as 0.5,0.5,0.5.")] = None,  # noqa: UP045
    std: Annotated[Optional[str], typer.Option(help="By channel.")] = None,  # noqa: UP045
    interpolation: Annotated[Optional[str], typer.Option(help="bilinear, bicubic, nearest, lanczos.")] = None,  # noqa: UP045
    expect_sha256: Annotated[Optional[str], typer.Option(help="Refuse any other file.")] = None,  # noqa: UP045
    batch_size: BatchSize = "256",
    workers: Workers = None,
    amp: Annotated[Optional[str], typer.Option(help="Autocast: bf16 or fp16.")] = None,  # noqa: UP045
    tf32: Annotated[bool, typer.Option("--tf32", help="Allow TF32 on NVIDIA GPUs.")] = False,
    compile_model: Annotated[bool, typer.Option("--compile", help="torch.compile the model.")] = False,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Deterministic algorithms.")] = False,
    dtype: Annotated[
        str, typer.Option(help="How rows are stored: float32, float16 or bfloat16.")
    ] = "float32",
    logits: Annotated[bool, typer.Option(help="Store the logits too.")] = True,
    on_error: Annotated[
        str, typer.Option(help="Samples that cannot be read or are not finite: fail, or skip (listed).")
    ] = "fail",
    hash_data: Annotated[
        bool, typer.Option("--hash-data", help="Tell changed data by their contents, not by size and time.")
    ] = False,
    rank: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="RANK/WORLD", help="This process's part of the shards; torchrun's by itself."),
    ] = None,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say rows, disk, memory and time; write nothing.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Penultimate features and logits of every sample, into a feature store beside the checkpoint.

    Interrupted or killed, the same command goes on; when nothing has changed, it uses what is there.
    """
    from maxsup_analysis.classifiers import ModelChoice
    from maxsup_analysis.extraction import Storage
    from maxsup_analysis.features import Extraction, extract_share, layers_of
    from maxsup_analysis.forward import Precision
    from maxsup_analysis.preprocessing import Overrides

    one_of("--on-error", on_error, "fail", "skip")
    images = Overrides(
        image_size, resize, crop_pct, numbers("--mean", mean), numbers("--std", std), interpolation
    )
    how = Extraction(
        data=data,
        data_dir=data_dir,
        split=split,
        batch_size=batch_of(batch_size),
        device=device,
        workers=workers,
        model=ModelChoice(model, arguments("--model-args", model_args or []), layer, images),
        use_ema=use_ema,
        weights_key=weights_key,
        class_map=class_map,
        class_order=class_order,
        expect_sha256=expect_sha256,
        precision=Precision(amp, tf32, deterministic, compile_model),
        storage=Storage(dtype, logits, skip=on_error == "skip"),
        hash_data=hash_data,
        rank=rank,
    )
    if list_layers:
        for name, shape in layers_of(checkpoint, how).items():
            print(name, " x ".join(str(length) for length in shape[1:]), sep="\t")
    elif dry_run:
        from maxsup_analysis.rehearsal import rehearse

        print(rehearse(checkpoint, output, how).to_text())
    elif (store := extract_share(checkpoint, output, how, overwrite=overwrite)) is not None:
        print(store.path)
