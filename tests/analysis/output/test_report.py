import re
from html.parser import HTMLParser

import pytest

from analysis.formatting import axis_label, shortened
from analysis.output.documents import in_latex, to_latex
from analysis.output.report import is_current, report_key, to_html
from analysis.output.report_data import embedded
from analysis.plots.axes import values_of
from analysis.plots.figure import INK
from analysis.plots.gallery import gallery
from analysis.rank.curves import read_logs
from analysis.rank.summary import summarize
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment
from runner.rundir.layout import ExperimentDir

LOGGED = {"text_scale": 12.0, "gate_mean": 0.5, "gate_std": 0.1, "contribution_ratio": 4.0}
GRID = [
    PlannedVariant(
        f"layers={layer} rate={rate}",
        0.1 + 0.01 * layer + rate,
        layers=(layer, layer + 1),
        layer_values=LOGGED,
        diagnostics={"gate_histogram": [1, 4, 4, 1]},
        axes={"model.middle_fusion.layers": [layer], "train.learning_rate": rate},
        parameters=1_000_000 * layer,
    )
    for layer in (1, 2)
    for rate in (0.01, 0.002)
]


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    plan = Plan(GRID, crystal_noise=0.02, seeds=[0, 1], crystals=20, epochs=6, best_epoch=4)
    return summarize(write_experiment(tmp_path_factory.mktemp("grid"), plan), now=NOW)


@pytest.fixture(scope="module")
def plots(summary):
    return gallery(summary)


@pytest.fixture(scope="module")
def page(summary, plots):
    return to_html(summary, plots, "k")


def names(plots):
    return [plot.name for plot in plots]


def test_every_figure_is_drawn_where_its_data_was_logged(plots):
    assert names(plots) == [
        "variants", "learning_curves", "axes", "heat_map", "cost", "parity", "ratio", "weights", "contribution_ratio",
        "text_scale", "gates", "alpha",
    ]  # fmt: skip


def test_figures_without_data_are_left_out(tmp_path):
    bare = PlannedVariant("graph_only", layers=(), weights=None, parameters=None, axes={})
    path = write_experiment(tmp_path, Plan([bare], seeds=[0]))
    for name in ("predictions.csv", "metrics.jsonl", "fusion_weights.csv"):
        next(path.glob(f"runs/*/{name}")).unlink()
    assert names(gallery(summarize(path, now=NOW))) == ["variants"]


def test_an_experiment_without_results_has_a_report_without_figures(tmp_path):
    nothing = summarize(write_experiment(tmp_path, Plan([PlannedVariant("2", states={0: "new"})], seeds=[0])), now=NOW)
    page = to_html(nothing, gallery(nothing), "k")
    assert "nothing to choose from yet" in page
    assert "<figure" not in page


class Elements(HTMLParser):
    """Collects tags and attributes, and checks that they are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.found = [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in {"meta", "br", "link", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_nothing_else(page):
    elements = Elements()
    elements.feed(page)
    assert elements.open == []
    for tag, attributes in elements.found:
        assert tag not in {"link", "iframe", "img"}
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert not re.search(r"url\((?!#|&quot;#|\"#)", page)
    assert "@import" not in page


def test_figures_take_the_colours_of_the_page(page):
    assert INK not in page
    assert "currentColor" in page
    assert "prefers-color-scheme: dark" in page


def test_ids_of_clip_paths_differ_between_figures(page):
    ids = re.findall(r'<clipPath id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 4


def test_names_cannot_inject_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    summary = summarize(write_experiment(tmp_path, Plan([PlannedVariant("2")], name="x", seeds=[0],
                                                        manifest={"experiment": evil})), now=NOW)  # fmt: skip
    page = to_html(summary, [], "k")
    assert evil not in page
    assert "&lt;script&gt;" in page
    assert "\\u003cscript>" in embedded({"name": evil})


def test_rows_carry_numbers_to_sort_by(page):
    assert 'data-key="1000000">1.00 M' in page
    assert re.search(r'data-key="0\.1\d+">0\.1\d+ ± 0\.\d+', page)


def test_a_report_is_written_once_and_again_when_a_log_changes(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=[0]))
    report = ExperimentDir(path).report
    assert analysis("summarize", path)[1].endswith(f"report: {report}\n")
    assert (ExperimentDir(path).figures / "ratio.svg").read_text().startswith("<svg")
    first = report.read_text(), report.stat().st_mtime_ns
    analysis("summarize", path)
    assert (report.read_text(), report.stat().st_mtime_ns) == first
    metrics = next(path.glob("runs/*/metrics.jsonl"))
    metrics.write_text(metrics.read_text() + '{"epoch": 13, "val_mae": 0.3}\n')
    analysis("summarize", path)
    assert report.read_text() != first[0]


def test_no_report_where_none_is_wanted(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=[0]))
    analysis("summarize", path, "--no-report")
    assert not ExperimentDir(path).report.exists()
    assert ExperimentDir(path).summary_latex.exists()


def test_a_key_is_found_in_the_page(tmp_path, summary):
    file = tmp_path / "r.html"
    file.write_text(to_html(summary, [], report_key(summary)))
    assert is_current(file, report_key(summary))
    assert not is_current(file, "other")
    assert not is_current(tmp_path / "absent.html", "other")


def test_curves_are_means_over_seeds_of_what_all_logs_hold(summary):
    variant = summary.variants[0]
    logs = read_logs(summary.collection.directory, variant)
    curve = logs.metric("val_mae")
    assert curve.epochs == [1, 2, 3, 4, 5, 6]
    assert (curve.mean[3], curve.sd[3]) == pytest.approx((variant.val.mean, variant.val.sd))
    assert logs.quantity("2", "text_scale").mean == [12.0] * 6
    assert logs.latest("2", "gate_histogram") == [[1, 4, 4, 1]] * 2


def test_names_and_values_are_shown_short_and_in_order(summary):
    assert values_of(summary.variants, "train.learning_rate") == ["0.002", "0.01"]  # by size
    assert axis_label({"layers": [2], "name": "middle"}) == "name=middle layers=[2]"
    assert axis_label([1, 2]) == "[1, 2]"
    assert shortened(["layers=1 learning_rate=0.0005", "short"], 20) == ["layers=1 le…e=0.0005", "short"]


def test_latex_escapes_and_marks_the_choice(summary):
    text = to_latex(summary)
    assert text.count(r"\\") == 1 + len(summary.variants)
    assert r"\textbf{layers=1 rate=0.002}" in text
    assert r"val\_mae" in text
    assert in_latex("50% a_b {c} ±") == r"50\% a\_b \{c\} $\pm$"
