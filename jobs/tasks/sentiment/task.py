"""The sentiment task: sentiment in [−3, 3] from text, vision and audio. Free of torch until it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from jobs.failure import Kind
from jobs.task import Outcome, Preparation
from jobs.tasks.sentiment.schema import GENERATED, GUIDANCE, FeatureFile, SentimentParams
from jobs.training.options import ADVICE
from models.sentiment.options import MODALITIES
from runner.config.metric_names import Mode
from runner.config.ranking import Reported
from runner.errors import Problem, UserError
from runner.files import write_json
from runner.health.quantities import Quantity

if TYPE_CHECKING:
    from jobs.context import RunContext
    from jobs.tasks.sentiment.dataset import Corpus

# The parts of the loss that have a weight: what `analysis summarize` says of an axis over one of them
LOSS_WEIGHTS = {"loss.delta_va": "distillation", "loss.delta_nce": "contrast"}
SHARED = (
    "model.shared: all three guided vectors are one, as first published: distillation pulls one vector to two "
    "teachers, and the positive pair of InfoNCE is trivial, a vector with itself"
)

_METRICS: tuple[tuple[str, Mode], ...] = (
    ("val_mse", "min"), ("val_mae", "min"), ("val_corr", "max"), ("val_acc7", "max"), ("val_acc2", "max"),
    ("val_f1", "max"),
)  # fmt: skip
REPORTED = Reported("val_mse", _METRICS, frozenset(dict(_METRICS)))
QUANTITIES = tuple(
    Quantity(
        f"{GUIDANCE}_{name}",
        group=GUIDANCE,
        unit="%",
        low=0.05,
        high=0.9,
        below=f"{name} is ignored: guidance weight",
        above=f"{name} alone decides: guidance weight",
        below_advice=f"check the {name} features and their lengths; or do without them",
        above_advice="check the features of the others",
    )
    for name in MODALITIES
)


class SentimentTask:
    """Regression of sentiment with distillation from unimodal teachers, contrast, and guidance weights."""

    Params: ClassVar[type[SentimentParams]] = SentimentParams
    seed_key: ClassVar[str] = "train.seed"
    advice: ClassVar[Mapping[Kind, str]] = ADVICE

    def reported(self, params: SentimentParams) -> Reported:
        """The metrics of every run."""
        return REPORTED

    def quantities(self, params: Sequence[SentimentParams]) -> Sequence[Quantity]:
        """The mean weight of each modality on the validation split."""
        return QUANTITIES

    def check_key(self, params: SentimentParams) -> Hashable:
        """Equal for parameters of which `check` says the same."""
        return params.data.dataset, params.teachers

    def check(self, params: Mapping[str, Any]) -> list[Problem]:
        """Files that are not there, and what of the data shows without reading the features."""
        from jobs.tasks.sentiment import mmsa

        whole = SentimentParams.model_validate(params)
        problems = []
        dataset = whole.data.dataset
        if dataset != GENERATED:
            try:
                mmsa.check(Path(dataset).expanduser())
            except UserError as error:
                allowed = error.next_command or f"{GENERATED}, or the path of an .npz in the MMSA layout"
                problems.append(Problem(error.message.removeprefix("data.dataset: "), "data.dataset", allowed=allowed))
        teachers = whole.teachers
        if isinstance(teachers, FeatureFile) and not os.path.isfile(os.path.expanduser(teachers.path)):
            what = f"there is no file {teachers.path!r}"
            problems.append(Problem(what, "teachers.path", allowed="the path of an .npz of teacher features"))
        return problems

    def shrink(self, params: Mapping[str, Any], factor: float) -> dict[str, Any]:
        """Refuse smaller pieces of a batch, for a GPU that is too small: UserError."""
        raise UserError(
            "InfoNCE compares all utterances of a batch, so it cannot be computed in parts; set a smaller "
            "train.batch_size or model.width yourself"
        )

    def prepare(
        self, params: Sequence[SentimentParams], cache_root: Path, log: Callable[[str], None]
    ) -> list[Preparation]:
        """Read the data sets, train the teachers; equal ones once."""
        from jobs.tasks.sentiment.preparation import prepare

        return prepare(params, cache_root, log)

    def run(self, params: SentimentParams, context: RunContext) -> Outcome:
        """Train, keep the best epoch by validation MSE, evaluate it once on the test split."""
        import torch

        from jobs.tasks.sentiment.dataset import Corpus, read
        from jobs.tasks.sentiment.learner import SentimentLearner
        from jobs.tasks.sentiment.teachers import teacher_features
        from jobs.training.device import choose_device
        from jobs.training.trainer import train
        from models.sentiment.model import SentimentModel

        device = choose_device(context.gpus)
        torch.set_num_threads(context.threads)
        samples = read(params)
        write_json(context.directory.splits, {name: split.ids for name, split in samples.splits.items()})
        teachers = {}
        if params.loss.delta_va:
            teachers = teacher_features(
                params.teachers, samples, context.cache_root, device, context.say, context.raise_if_stopped
            )
        corpus = Corpus.of(samples, teachers, device)
        torch.manual_seed(params.train.seed)
        widths = {name: features.shape[1] for name, features in corpus.teachers.items()}
        model = SentimentModel(params.model, corpus.widths, widths).to(device)
        learner = SentimentLearner(model, corpus, params.loss, params.train)
        notes = [*corpus.notes, *([SHARED] if params.model.shared else [])]
        for line in banner(params, corpus, device):
            context.say(line)
        outcome = train(learner, params.train, context, {"loss_weights": LOSS_WEIGHTS, "notes": notes})
        weights = {each.member: outcome.fusion[GUIDANCE][each.name] for each in QUANTITIES}
        return replace(outcome, extra={**outcome.extra, "guidance_weights": weights})


def banner(params: SentimentParams, corpus: Corpus, device: Any) -> list[str]:
    """What is trained, on what, how: the first lines of a log."""
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in corpus.splits.items())
    shapes = ", ".join(
        f"{name} {sequences.mask.shape[1]} × {corpus.widths[name]}"
        for name, sequences in corpus.splits["train"].modalities.items()
    )
    loss, train = params.loss, params.train
    return [
        f"data: {params.data.dataset}; {sizes}; {shapes}",
        f"loss: MSE + {loss.delta_va:g}·(vision + audio distillation, {loss.distance}) + {loss.delta_nce:g}·InfoNCE "
        f"(temperature {loss.temperature:g})",
        f"training: {train.epochs} epochs, batch {train.batch_size}, learning rate {train.learning_rate:g} "
        f"({train.schedule}), weight decay {train.weight_decay:g}, seed {train.seed} on {device}",
    ]
