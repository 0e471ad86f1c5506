import pytest

from runner.config.metric_names import named_mode


@pytest.mark.parametrize(
    "name",
    ["val_acc", "val_accuracy", "val_acc2", "val_acc7", "val_auc", "val_roc_auc", "val_auroc", "val_f1", "val_f1_macro",
     "val_f1score", "val_r2", "val_r2_score", "val_R²", "val_corr", "val_correlation", "val_pearson", "val_Accuracy"],
)  # fmt: skip
def test_a_score_is_to_be_maximised(name):
    assert named_mode(name) == "max"


@pytest.mark.parametrize(
    "name", ["val_mae", "val_rmse", "val_loss", "val_error", "val_auc_loss", "val_bce", "val_f1_error"]
)
def test_an_error_is_to_be_minimised(name):
    assert named_mode(name) == "min"


@pytest.mark.parametrize("name", ["val_neg_mae", "val_throughput", "val_saucer", "val_account", "val_f16", "val_car2"])
def test_other_names_say_nothing(name):
    assert named_mode(name) is None
