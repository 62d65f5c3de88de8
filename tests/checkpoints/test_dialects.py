"""Tests for what checkpoints state: it is used, or refused by name, or named as stated and not used."""

import json
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import ModelChoice, classifier_of
from maxsup_analysis.dialects import DIALECTS, FREE_IMAGES
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.inspection import Inspection, inspect_checkpoint

# Every argument of the programs' parsers that says nothing of the network, the images or the classes.
TIMM = (
    "data data_dir dataset train_split val_split train_num_samples val_num_samples dataset_download input_key "
    "target_key dataset_trust_remote_code pretrained pretrained_path initial_checkpoint resume no_resume_opt "
    "batch_size validation_batch_size channels_last fuser grad_accum_steps grad_checkpointing fast_norm "
    "head_init_scale head_init_bias torchcompile_mode torchscript torchcompile device amp amp_dtype amp_impl "
    "model_dtype no_ddp_bb synchronize_step local_rank device_modules opt opt_eps opt_betas momentum weight_decay "
    "clip_grad clip_mode layer_decay opt_kwargs sched sched_on_updates lr lr_base lr_base_size lr_base_scale "
    "lr_noise lr_noise_pct lr_noise_std lr_cycle_mul lr_cycle_decay lr_cycle_limit lr_k_decay warmup_lr min_lr "
    "epochs epoch_repeats start_epoch decay_milestones decay_epochs warmup_epochs warmup_prefix cooldown_epochs "
    "patience_epochs decay_rate no_aug train_crop_mode scale ratio hflip vflip color_jitter color_jitter_prob "
    "grayscale_prob gaussian_blur_prob aa aug_repeats aug_splits jsd_loss bce_loss bce_sum bce_target_thresh "
    "bce_pos_weight reprob remode recount resplit mixup cutmix cutmix_minmax mixup_prob mixup_switch_prob "
    "mixup_mode mixup_off_epoch smoothing train_interpolation drop drop_connect drop_path drop_block bn_momentum "
    "sync_bn dist_bn split_bn model_ema model_ema_force_cpu model_ema_decay model_ema_warmup seed worker_seeding "
    "log_interval recovery_interval checkpoint_hist workers save_images pin_mem no_prefetcher output experiment "
    "eval_metric tta use_multi_epochs_loader log_wandb wandb_project wandb_tags wandb_resume_id prefetcher "
    "distributed world_size rank"
)
DEIT = (
    "batch_size epochs bce_loss unscale_lr drop drop_path model_ema model_ema_decay model_ema_force_cpu opt opt_eps "
    "clip_grad momentum weight_decay sched lr lr_noise_pct warmup_lr min_lr decay_epochs warmup_epochs "
    "cooldown_epochs patience_epochs decay_rate color_jitter aa smoothing train_interpolation repeated_aug "
    "train_mode ThreeAugment src reprob remode recount resplit mixup cutmix mixup_prob mixup_switch_prob mixup_mode "
    "teacher_model teacher_path distillation_type distillation_alpha distillation_tau finetune attn_only data_path "
    "data_set inat_category output_dir device seed resume start_epoch eval dist_eval num_workers pin_mem "
    "distributed world_size dist_url gpu dist_backend rank prefetch load_into_ram lmdb cache"
)
TORCHVISION = (
    "data_path device batch_size epochs workers opt lr momentum weight_decay norm_weight_decay bias_weight_decay "
    "transformer_embedding_decay label_smoothing mixup_alpha cutmix_alpha lr_scheduler lr_warmup_epochs "
    "lr_warmup_method lr_warmup_decay lr_step_size lr_gamma lr_min print_freq output_dir resume start_epoch "
    "cache_dataset sync_bn test_only auto_augment ra_magnitude augmix_severity random_erase amp world_size dist_url "
    "model_ema model_ema_steps model_ema_decay use_deterministic_algorithms train_crop_size clip_grad_norm "
    "ra_sampler ra_reps weights use_v2 distributed rank gpu"
)
FFCV = (
    "model.pretrained data.train_dataset data.val_dataset data.num_workers data.in_memory lr.step_ratio lr.lr "
    "lr.step_length lr.lr_schedule_type logging.folder logging.log_level validation.batch_size validation.lr_tta "
    "resolution.min_res resolution.max_res resolution.end_ramp resolution.start_ramp training.eval_only "
    "training.batch_size training.optimizer training.momentum training.weight_decay training.epochs "
    "training.label_smoothing training.distributed dist.world_size dist.address dist.port"
)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=3)


def of_timm(folder: Path, net: nn.Module, **args: object) -> Path:
    content = {"arch": "test_resnet", "state_dict": net.state_dict(), "version": 2, "args": Namespace(**args)}
    torch.save(content, folder / "timm.pth.tar")
    return folder / "timm.pth.tar"


def of_deit(folder: Path, net: nn.Module, **args: object) -> Path:
    about = {"optimizer": {}, "lr_scheduler": {}, "scaler": {}, "epoch": 3}
    run = Namespace(**{"data_set": "IMNET", "nb_classes": 3, **args})
    torch.save({"model": net.state_dict(), "args": run, **about}, folder / "deit.pth")
    return folder / "deit.pth"


def of_torchvision(folder: Path, net: nn.Module, **args: object) -> Path:
    about = {"optimizer": {}, "lr_scheduler": {}, "epoch": 3}
    torch.save({"model": net.state_dict(), "args": Namespace(**args), **about}, folder / "model.pth")
    return folder / "model.pth"


def of_ffcv(folder: Path, net: nn.Module, **args: object) -> Path:
    (folder / "params.json").write_text(json.dumps({"model.arch": "resnet18", **args}))
    torch.save(net.state_dict(), folder / "final_weights.pt")
    return folder / "final_weights.pt"


def of_lightning(folder: Path, net: nn.Module, **args: object) -> Path:
    state = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
    content = {"pytorch-lightning_version": "2.6.0", "state_dict": state, "hyper_parameters": args}
    torch.save(content, folder / "last.ckpt")
    return folder / "last.ckpt"


Write = Callable[..., Path]
PARSERS: dict[str, tuple[Write, str]] = {
    "timm train.py": (of_timm, TIMM),
    "DeiT": (of_deit, DEIT),
    "torchvision references": (of_torchvision, TORCHVISION),
    "ffcv-imagenet": (of_ffcv, FFCV),
}


@pytest.mark.parametrize("program", PARSERS)
def test_what_is_about_the_run_alone_is_known_of_every_argument(program: str, tmp_path: Path, net: nn.Module):
    write, names = PARSERS[program]
    found = inspect_checkpoint(write(tmp_path, net, **dict.fromkeys(names.split(), 1)))
    assert (found.claims.format, found.claims.unused) == (program, ())


@pytest.mark.parametrize(
    "write", [of_timm, of_deit, of_torchvision, of_lightning], ids=lambda write: write.__name__
)
def test_what_is_not_known_is_named(tmp_path: Path, net: nn.Module, write: Write):
    path = write(tmp_path, net, squeeze_colours=3, pixel_order="BGR", lr=0.1, nothing=None)
    found = inspect_checkpoint(path)
    assert set(found.to_plain()["unused"]) == {"squeeze_colours", "pixel_order"}  # type: ignore[arg-type]
    assert "stated, not used: squeeze_colours; pixel_order" in found.to_text()


def test_arguments_that_a_file_may_not_choose_are_refused_and_the_advice_opens_it(
    tmp_path: Path, net: nn.Module
):
    path = of_timm(tmp_path, net, model_kwargs={"norm_layer": "os.system", "act_layer": "relu"})
    checkpoint = open_checkpoint(path)
    with pytest.raises(
        InputError, match=r"norm_layer is 'os.system', which a file may not choose"
    ) as refusal:
        classifier_of(checkpoint)
    assert "leave it out with --model timm/test_resnet" in str(refusal.value)
    assert classifier_of(checkpoint, ModelChoice("timm/test_resnet")).num_classes == 3


@pytest.mark.parametrize(
    "args",
    [{"crop_pct": 7.0}, {"mean": [0.5, "x", 0.5]}, {"interpolation": "random"}, {"crop_mode": "odd"},
     {"input_size": [3, 10**9, 10**9]}, {"std": [0.0, 0.0, 0.0]}],
    ids=str,
)  # fmt: skip
def test_images_that_are_not_soundly_stated_are_refused_and_the_advice_opens_it(
    tmp_path: Path, net: nn.Module, args: dict[str, object]
):
    from maxsup_analysis.preprocessing import Overrides

    checkpoint = open_checkpoint(of_timm(tmp_path, net, **args))
    with pytest.raises(InputError, match=str(next(iter(args)))) as refusal:
        classifier_of(checkpoint)
    assert "\n" not in str(refusal.value)
    images = Overrides(image_size=64, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert classifier_of(checkpoint, ModelChoice(images=images)).preprocessing.size == (3, 64, 64)


def test_a_class_map_has_to_be_given(tmp_path: Path, net: nn.Module):
    """The order of the classes is that of a file that the run was given; without it nothing is assumed."""
    for name in "abc":
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(np.full((40, 40, 3), ord(name), np.uint8)).save(tmp_path / "data" / name / "1.png")
    (tmp_path / "mine.txt").write_text("c\na\nb\n")
    path = of_timm(tmp_path, net, class_map="mine.txt", img_size=64)
    how = Extraction(data=str(tmp_path / "data"), workers=0)
    with pytest.raises(InputError, match=r"numbered the classes by a file, mine.txt.*--class-map"):
        extract_features(path, tmp_path / "a.features", how)
    given = Extraction(data=str(tmp_path / "data"), workers=0, class_map=tmp_path / "mine.txt")
    store = extract_features(path, tmp_path / "b.features", given)
    assert store.class_names == ("c", "a", "b")


NAMES = ("cat", "ant", "bee")
NUMBERED = {"cat": 0, "ant": 1, "bee": 2}
BACK = {0: "cat", 1: "ant", 2: "bee"}
PLACES: dict[str, dict[str, object]] = {
    "class_to_idx": {"class_to_idx": NUMBERED},
    "in any order": {"class_to_idx": {"bee": 2, "cat": 0, "ant": 1}},
    "idx_to_class": {"idx_to_class": BACK},
    "id2label as text": {"id2label": {"0": "cat", "1": "ant", "2": "bee"}},
    "label2id": {"label2id": NUMBERED},
    "classes": {"classes": list(NAMES)},
    "vocab": {"dls": None, "vocab": list(NAMES)},
    "meta": {"meta": {"CLASSES": NAMES}},
    "hyper-parameters": {"hyper_parameters": {"data": {"class_names": list(NAMES)}}},
    "state of a data module": {"ImageDataModule": {"class_to_idx": NUMBERED}},
    "twice, the same": {"classes": list(NAMES), "class_to_idx": NUMBERED},
    "args": {"args": Namespace(class_to_idx=NUMBERED)},
    "label_map": {"label_map": NUMBERED},
    "class_mapping": {"class_mapping": {str(k): name for k, name in BACK.items()}},
    "target_names": {"hyper_parameters": {"target_names": list(NAMES)}},
    "cat_to_name": {"cat_to_name": NUMBERED},
    "idx2name": {"idx2name": BACK},
    "class_list": {"class_list": list(NAMES)},
}


def with_more(folder: Path, net: nn.Module, more: dict[str, object]) -> Inspection:
    torch.save({"state_dict": net.state_dict(), **more}, folder / "weights.pt")
    return inspect_checkpoint(folder / "weights.pt")


@pytest.mark.parametrize("place", PLACES)
def test_names_of_the_classes_wherever_they_stand(tmp_path: Path, net: nn.Module, place: str):
    assert with_more(tmp_path, net, PLACES[place]).claims.classes == NAMES


UNSOUND: dict[str, tuple[dict[str, object], str]] = {
    "a number twice": ({"class_to_idx": {"a": 0, "b": 0, "c": 1}}, "each number once"),
    "from one": ({"class_to_idx": {"a": 1, "b": 2, "c": 3}}, "not from 0 to 2"),
    "a gap": ({"idx_to_class": {0: "a", 1: "b", 3: "c"}}, "not from 0 to 2"),
    "a name twice": ({"classes": ["a", "b", "a"]}, "two of them with the same name"),
    "contradiction": ({"classes": ["a", "b", "c"], "class_to_idx": {"c": 0, "b": 1, "a": 2}}, "differently"),
    "another number of them": ({"vocab": ["a", "b"]}, "names 2 classes (vocab) but its head has 3 rows"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_names_that_are_not_sound_are_not_used_and_said(tmp_path: Path, net: nn.Module, case: str):
    more, said = UNSOUND[case]
    found = with_more(tmp_path, net, more)
    assert any(said in line for line in found.warnings)
    assert classifier_of(open_checkpoint(tmp_path / "weights.pt")).class_names is None


LIGHTNING_LOSS = {"begin_lambda": 0.1, "end_lambda": 0.2, "label_smoothing": 0.0, "epochs": 90}
LOSSES: dict[str, tuple[Write, dict[str, object], dict[str, object], str]] = {
    "DeiT of the MaxSup authors": (of_deit, {"model": "our_patch16_224", "smoothing": 0.0}, {}, "adds MaxSup whatever"),
    "DeiT": (of_deit, {"model": "deit_tiny_patch16_224", "smoothing": 0.1}, {"loss": "ls", "alpha": 0.1}, ""),
    "torchvision with max_sup": (
        of_torchvision, {"max_sup": True, "label_smoothing": 0.0},
        {"loss": "maxsup", "alpha": 0.1, "alpha_end": 0.2}, "",
    ),
    "torchvision with a seed": (of_torchvision, {"seed": 0, "label_smoothing": 0.0}, {}, "adds MaxSup whatever"),
    "torchvision": (of_torchvision, {"label_smoothing": 0.0}, {"loss": "ce", "alpha": 0.0}, ""),
    "ffcv's default": (of_ffcv, {"training.label_smoothing": 0.1}, {}, "the default of ffcv-imagenet"),
    "ffcv": (of_ffcv, {"training.label_smoothing": 0.05}, {"loss": "ls", "alpha": 0.05}, ""),
    "Lightning of the MaxSup authors": (
        of_lightning, {"config": {"model": "resnet50", "loss": {"loss_type": "ms", **LIGHTNING_LOSS}}},
        {"loss": "maxsup", "alpha": 0.1, "alpha_end": 0.2}, "",
    ),
    "their LS": (
        of_lightning, {"config": {"loss": {**LIGHTNING_LOSS, "loss_type": "ls", "label_smoothing": 0.1}}},
        {"loss": "ls", "alpha": 0.1}, "",
    ),
    "their OOD code": (
        of_lightning, {"args": Namespace(loss="maxsup", net="tvresnet50"), "num_classes": 3},
        {"loss": "maxsup", "alpha": 0.1, "alpha_end": 0.2}, "",
    ),
    "their OOD code, LS": (of_lightning, {"args": Namespace(loss="lsce")}, {"loss": "ls", "alpha": 0.1}, ""),
    "nothing": (of_lightning, {"lr": 0.1}, {}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_what_the_file_says_or_is_not_told(tmp_path: Path, net: nn.Module, name: str):
    write, args, training, said = LOSSES[name]
    found = inspect_checkpoint(write(tmp_path, net, **args))
    assert dict(found.claims.training) == training
    remarks = [line for line in found.warnings if "loss is not told by the file" in line]
    assert [said in line for line in remarks] == ([True] if said else [])


def test_the_table_in_the_docs_has_every_dialect():
    page = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()
    table = page.split("## What they state")[1].split("\n## ")[0]
    assert [dialect.name for dialect in DIALECTS if f"| {dialect.name} |" not in table] == []
    for dialect in DIALECTS:
        (row,) = [line for line in table.splitlines() if line.startswith(f"| {dialect.name} |")]
        assert all(
            f"`{name}`" in row for name in (*dialect.arguments, *(set(dialect.used) - set(FREE_IMAGES)))
        ), dialect.name


def test_networks_of_torchvision_are_not_given_timms_arguments(tmp_path: Path):
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=3)
    path = of_lightning(
        tmp_path, net, arch="resnet18", model_kwargs={"width_per_group": 64}, global_pool="avg"
    )
    assert classifier_of(open_checkpoint(path)).name == "torchvision/resnet18"


def test_hyper_parameters_beside_sharded_weights_of_lightning(tmp_path: Path, net: nn.Module):
    """The strategies for sharded models keep them in `meta.pt`, beside the folder's pieces."""
    from torch.distributed.checkpoint.state_dict_saver import save

    state = {"model": {f"model.{name}": tensor for name, tensor in net.state_dict().items()}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(state, checkpoint_id=tmp_path / "sharded.ckpt", no_dist=True)
    hyper = {"class_to_idx": NUMBERED, "arch": "test_resnet", "lr": 0.1}
    meta = {"pytorch-lightning_version": "2.6.0", "epoch": 4, "hyper_parameters": hyper}
    torch.save(meta, tmp_path / "sharded.ckpt" / "meta.pt")
    found = inspect_checkpoint(tmp_path / "sharded.ckpt")
    assert (found.claims.format, found.claims.epoch, found.claims.classes) == ("PyTorch Lightning", 4, NAMES)
    assert found.architecture == "timm/test_resnet"


@pytest.mark.parametrize("place", ["data", "dataset", "transform", "val_transform"])
def test_images_that_are_stated_in_a_group_of_the_data(tmp_path: Path, place: str):
    """What the data are called is no network; sizes and deviations are those of the images, by any usual name."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=3)
    images = {
        "image_size": 64,
        "resize": 72,
        "normalize_mean": [0.5] * 3,
        "img_std": [0.25] * 3,
        "name": "resnet34",
    }
    path = of_lightning(tmp_path, net, model={"name": "resnet18"}, **{place: images})
    found = inspect_checkpoint(path)
    assert found.architecture == "torchvision/resnet18" and found.unused == ()
    made = found.preprocessing
    assert made is not None and (made.size, made.resize, made.mean, made.std) == (
        (3, 64, 64), 72, (0.5,) * 3, (0.25,) * 3,
    )  # fmt: skip


def test_names_of_classes_in_one_text_are_listed_as_not_used(tmp_path: Path, net: nn.Module):
    assert inspect_checkpoint(of_lightning(tmp_path, net, classes="cat, ant, bee")).unused == ("classes",)
