"""What to do about failures of our training loop, with the keys of its tasks."""

from __future__ import annotations

from collections.abc import Mapping

from runner.rundir.failures import Kind

ADVICE: Mapping[Kind, str] = {
    Kind.GPU_OUT_OF_MEMORY: "a smaller train.batch_size or train.micro_batch, or a larger GPU",
    Kind.DIVERGED: "a smaller train.learning_rate, or train.gradient_clip: 1.0",
}
