"""The crystal task: trains one fusion model of crystal graphs and their descriptions. Free of torch until it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from jobs.failure import Kind, RunFailure
from jobs.task import Outcome, Preparation
from jobs.tasks.crystal.data.properties import unit_of
from jobs.tasks.crystal.schema import CrystalParams
from jobs.training.options import ADVICE
from runner.config.metric_names import Mode
from runner.config.ranking import Reported
from runner.errors import Problem, UserError
from runner.files import write_json
from runner.health.quantities import Quantity

if TYPE_CHECKING:
    from jobs.context import RunContext
    from jobs.tasks.crystal.dataset import Corpus
    from jobs.tasks.crystal.learner import CrystalLearner


def _reported(**modes: Mode) -> Reported:
    """The first is followed."""
    return Reported(next(iter(modes)), tuple(modes.items()), frozenset(modes))


REGRESSION = _reported(val_mae="min", val_rmse="min")
OF_LOGARITHMS = _reported(val_mae_log10="min", val_mae="min", val_rmse="min")
CLASSIFICATION = _reported(val_bce="min", val_accuracy="max", val_f1="max", val_ap="max", val_auc="max")


class CrystalTask:
    """Regression of a property of crystals from graph, text, or both; or whether it is above a threshold."""

    Params: ClassVar[type[CrystalParams]] = CrystalParams
    seed_key: ClassVar[str] = "train.seed"
    advice: ClassVar[Mapping[Kind, str]] = ADVICE

    def reported(self, params: CrystalParams) -> Reported:
        """The metrics of a regression or of a classification."""
        if params.data.classify:
            return CLASSIFICATION
        return OF_LOGARITHMS if params.data.scale == "log10" else REGRESSION

    def quantities(self, params: Sequence[CrystalParams]) -> Sequence[Quantity]:
        """The unit of the errors, where all runs learn one property of a published set."""
        targets = {(each.data.dataset, each.data.target) for each in params if not each.data.classify}
        (dataset, target), *others = targets or [("", "")]
        unit = unit_of(target) if not others and _is_published(dataset) else ""
        names = [f"{split}_{error}" for split in ("val", "test") for error in ("mae", "rmse")] if unit else []
        return [Quantity(name, unit=unit, column=False) for name in names]

    def check_key(self, params: CrystalParams) -> Hashable:
        """Equal for parameters of which `check`, `inspect` and `missing` say the same."""
        return params.data, params.text if params.reads_text else None

    def check(self, params: Mapping[str, Any]) -> list[Problem]:
        """What the data set does not have: the target, so many crystals, the text column."""
        from jobs.tasks.crystal.data.check import check_data

        whole = CrystalParams.model_validate(params)
        return check_data(whole.data, whole.text.describe if whole.reads_text else None)

    def inspect(self, params: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with crystals and texts of a folder or table, all of which are read, the first time."""
        from jobs.tasks.crystal.data.check import check_crystals

        whole = CrystalParams.model_validate(params)
        return check_crystals(whole.data, whole.text.describe if whole.reads_text else None)

    def missing(self, params: Mapping[str, Any]) -> list[Problem]:
        """What has to be fetched or installed before a run can start, as far as a look at this machine can tell."""
        from jobs.tasks.crystal.data.check import missing_describer
        from models.encoders.text_folder import EncoderMissing, find

        whole = CrystalParams.model_validate(params)
        if not whole.reads_text:
            return []
        problems = missing_describer(whole.data.dataset, whole.text.describe)
        try:
            find(whole.text.encoder, whole.text.revision)
        except EncoderMissing as error:
            problems.append(Problem(str(error), key="text.encoder"))
        return problems

    def shrink(self, params: Mapping[str, Any], factor: float) -> dict[str, Any]:
        """Smaller pieces of a batch, for a GPU that is too small; UserError where that would change the result."""
        whole = CrystalParams.model_validate(params)
        if why := whole.why_whole_batches:
            raise UserError(f"{why}, so it cannot be computed in parts; set a smaller train.batch_size yourself")
        return {"train.micro_batch": max(1, int((whole.train.micro_batch or whole.train.batch_size) * factor))}

    def prepare(
        self, params: Sequence[CrystalParams], cache_root: Path, log: Callable[[str], None]
    ) -> list[Preparation]:
        """Fill the caches with the graphs and embeddings of all `params`; equal ones once."""
        from jobs.tasks.crystal.preparation import prepare

        return prepare(params, cache_root, log)

    def run(self, params: CrystalParams, context: RunContext) -> Outcome:
        """Train, keep the best epoch by validation error, evaluate it once on the test split."""
        import torch

        from jobs.tasks.crystal.dataset import gather
        from jobs.tasks.crystal.learner import CrystalLearner
        from jobs.training.device import choose_device
        from jobs.training.trainer import train
        from jobs.training.warm_start import continue_finished, warm_start

        device = choose_device(context.gpus)
        torch.set_num_threads(context.threads)
        kernels = choose_kernels(params, device, context.cache_root, context.say)
        try:
            corpus = gather(params, context.cache_root, device, context.threads, context.say)
        except UserError as error:  # the parameters were checked before: it is the data that are not as they were
            raise RunFailure(Kind.DATA_MISSING, str(error)) from error
        write_json(context.directory.splits, corpus.splits)
        torch.manual_seed(params.train.seed)
        model = build_model(params, corpus.texts.width if corpus.texts is not None else None)
        if (weights := params.train.warm_start) is not None:
            warm_start(model, Path(weights.checkpoint), weights.sha256, context.say)
        if params.train.continue_finished:
            continue_finished(context)
        learner = CrystalLearner(model.to(device), corpus, params.train)
        for line in banner(params, corpus, learner, f"{device}, convolutions {kernels}"):
            context.say(line)
        try:  # what the configuration could not check where data.train is null
            params.check_warmups(params.train.epochs * len(learner.batches(1)))
        except ValueError as error:
            raise RunFailure(Kind.BAD_CONFIG, str(error)) from None
        extra = {
            "kernels": kernels,
            "train_mean": corpus.mean,
            "train_deviation": corpus.deviation,
            "notes": corpus.notes,
            "threshold": params.data.classify.threshold if params.data.classify else None,
        }
        outcome = train(learner, params.train, context, extra)
        reliance = learner.reliance() if params.model.uses_text else None
        return replace(outcome, metrics=outcome.metrics | ({} if reliance is None else {"reliance": reliance}))


def choose_kernels(params: CrystalParams, device: Any, cache_root: Path, log: Callable[[str], None]) -> str:
    """What computes the convolutions from now on in this process: a compiled library, or torch."""
    from jobs.tasks.crystal.compiled_kernel import use_kernels, use_torch

    compiled = device.type == "cpu" and params.may_be_compiled
    return use_kernels(cache_root, log) if compiled else use_torch()


def build_model(params: CrystalParams, text_width: int | None) -> Any:
    """The model, freshly initialised; `text_width` is that of the text encoder's vectors."""
    from models.crystal_model import CrystalModel

    return CrystalModel(
        params.model.encoder,
        params.model.middle_fusion,
        params.model.late_fusion,
        text_dim=text_width,
        projection_dim=params.model.projection_dim,
        dropout=params.model.dropout,
        contrastive=params.train.contrastive_weight > 0,
    )


def banner(params: CrystalParams, corpus: Corpus, learner: CrystalLearner, device: str) -> list[str]:
    """What is trained, on what, how: the first lines of a log."""
    data, train = params.data, params.train
    sizes = ", ".join(f"{name} {len(places):,}" for name, places in corpus.places.items())
    lines = [
        f"data: {data.dataset}, {data.target}; {sizes} ({data.split} split, seed {data.seed}); "
        + _of_targets(params, corpus)
    ]
    if params.reads_text:
        lines.append(f"text: {params.text.describe} descriptions, {params.text.encoder}, {params.text.pooling} pooling")
    lines += learner.model.describe()
    lines.append(
        f"training: {train.epochs} epochs, batch {train.batch_size}, learning rate {train.learning_rate:g} "
        f"({train.schedule}), weight decay {train.weight_decay:g}, {train.loss} loss, seed {train.seed}, "
        f"{train.precision} on {device}"
    )
    return lines


def _of_targets(params: CrystalParams, corpus: Corpus) -> str:
    if (classify := params.data.classify) is None:
        of = " of log10" if corpus.logarithm else ""
        return f"train mean{of} {corpus.mean:.4g}, standard deviation {corpus.deviation:.4g}"
    positive = float(corpus.target[corpus.places["train"].start : corpus.places["train"].stop].mean())
    return f"{positive:.1%} of train above {classify.threshold:g}"


def _is_published(dataset: str) -> bool:
    """Whether it is a set whose units are known, and no file of the user's."""
    if not dataset or os.path.exists(dataset):
        return False
    from jobs.tasks.crystal.data import jarvis_sets, shipped_sets

    return dataset in (*shipped_sets.NAMES, *jarvis_sets.NAMES)
