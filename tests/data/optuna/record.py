"""Writes study.db beside this file with Optuna itself: `python record.py` where optuna is installed.

The recorded one is of Optuna 5.0.0 with SQLAlchemy 2.1.9, Python 3.11; a second recording differs in its times alone.
"""

from __future__ import annotations

from pathlib import Path

import optuna

HERE = Path(__file__).parent


def objective(trial: optuna.Trial) -> float:
    """The last of six validation errors; worse ones are pruned, one trial raises."""
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    layers = trial.suggest_int("layers", 1, 4)
    late = trial.suggest_categorical("late_fusion", ["concat", "tucker", None])
    rank = trial.suggest_int("rank", 4, 32) if late == "tucker" else 16
    if trial.number == 3:
        raise RuntimeError("out of memory")
    error = 0.0
    for step in range(6):
        error = 0.2 + 40 * abs(rate - 0.003) + 0.05 * abs(layers - 2) + 0.001 * abs(rank - 16) + 0.3 / (step + 1)
        trial.report(error, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    trial.set_user_attr("test_mae", error + 0.01)
    return error


if __name__ == "__main__":
    path = HERE / "study.db"
    path.unlink(missing_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(storage=storage, sampler=sampler, pruner=pruner, study_name="fusion")
    study.optimize(objective, n_trials=14, catch=(RuntimeError,))
    study.enqueue_trial({"learning_rate": 0.003})  # still waiting
    optuna.create_study(storage=storage, study_name="empty", directions=["minimize", "maximize"])
