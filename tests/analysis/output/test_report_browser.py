"""The report as a browser shows it. Skipped where there is no Chromium; REQUIRE_CHROMIUM=1 makes that a failure."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from analysis.output.report import to_html
from analysis.plots.gallery import gallery
from analysis.rank.summary import summarize
from browser import Browser
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment

LOGGED = {"text_scale": 12.0, "gate_mean": 0.5, "gate_std": 0.1}
VARIANTS = [
    PlannedVariant(
        f"a rather long name of a variant, layers={layer} rate={rate}",
        0.1 + 0.01 * layer + rate,
        layers=(layer, layer + 1),
        layer_values=LOGGED,
        diagnostics={"gate_histogram": [1, 4, 4, 1]},
        axes={"model.middle_fusion.layers": [layer], "train.learning_rate": rate},
        parameters=10 ** (8 - layer),
        states={1: "failed"} if layer == 3 else {},
    )
    for layer in (1, 2, 3)
    for rate in (0.01, 0.002)
]
PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    plan = Plan(VARIANTS, crystal_noise=0.02, seeds=[0, 1], crystals=20, epochs=6, best_epoch=4)
    summary = summarize(write_experiment(folder, plan), now=NOW)
    path = folder / "report ä.html"
    path.write_text(to_html(summary, gallery(summary), "k"), encoding="utf-8")
    return path


def column(browser: Browser, title: str) -> list[str]:
    """The cells below a heading, from the top."""
    found: list[str] = browser.evaluate(
        f"""(() => {{
          const table = document.querySelector("table.sortable");
          const at = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent.trim() === {title!r});
          const cells = [...table.tBodies[0].rows].map(row => row.cells[at]);
          return cells.map(cell => cell.dataset.key ?? cell.textContent);
        }})()"""
    )
    return found


def click(browser: Browser, title: str) -> None:
    browser.evaluate(
        f"""[...document.querySelectorAll("table.sortable th button")]
              .find(button => button.textContent.trim() === {title!r}).click()"""
    )


@pytest.mark.parametrize("dark", [False, True])
def test_page_opens_without_a_complaint_and_asks_the_network_for_nothing(browser, page, dark) -> None:
    browser.show(page, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [page.resolve().as_uri()]
    assert browser.evaluate("document.querySelectorAll('figure svg').length") >= 4
    browser.evaluate("dispatchEvent(new Event('beforeprint')) && 1")  # draws what has not been near the window
    assert browser.evaluate("document.querySelectorAll('#curves svg, #layers svg, #parallel svg').length") >= 4


def test_columns_are_sorted_by_a_click_and_back_by_another(browser, page) -> None:
    browser.show(page)
    before = column(browser, "parameters")
    click(browser, "parameters")
    ascending = column(browser, "parameters")
    assert [float(cell) for cell in ascending] == sorted(float(cell) for cell in before)
    assert ascending != before
    click(browser, "parameters")
    assert column(browser, "parameters") == ascending[::-1]
    click(browser, "val_mae")
    assert [float(cell) for cell in column(browser, "val_mae")] == sorted(map(float, column(browser, "val_mae")))
    assert browser.complaints == []


def test_dark_mode_follows_the_reader(browser, page) -> None:
    browser.show(page)
    assert browser.evaluate(PAPER) == "rgb(255, 255, 255)"
    browser.show(page, dark=True)
    assert browser.evaluate(PAPER) == "rgb(20, 23, 27)"
    ink = browser.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert ink == browser.evaluate("getComputedStyle(document.body).color") == "rgb(230, 232, 235)"


@pytest.mark.parametrize("width", [320, 400, 768, 1600])
def test_nothing_wider_than_the_window_moves_the_page(browser, page, width) -> None:
    browser.show(page, width=width)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_a_wide_table_can_be_scrolled_in_its_own_box(browser, page) -> None:
    browser.show(page, width=400)
    box = "document.querySelector('#variants .box')"
    assert browser.evaluate(f"{box}.scrollWidth > {box}.clientWidth && getComputedStyle({box}).overflowX") == "auto"


def test_the_first_figure_is_seen_at_once_on_a_phone(browser, page) -> None:
    browser.show(page, width=390)
    assert browser.evaluate("document.querySelector('#forest').getBoundingClientRect().top") < 1200


def test_a_selection_stays_after_a_reload(browser, page) -> None:
    browser.show(page)
    browser.evaluate("document.querySelector('#forest tr[data-variant]:not(.on) button').click()")
    name = browser.evaluate("document.querySelector('#card h3').textContent")
    assert browser.evaluate("document.querySelector('#forest tr.on button').textContent") == name
    assert browser.evaluate("document.activeElement.textContent") == name
    browser.evaluate("location.reload()")
    time.sleep(1)
    assert browser.evaluate("document.querySelector('#card h3').textContent") == name


def test_the_switch_shows_the_test_split_with_intervals_of_its_own(browser, page) -> None:
    browser.show(page)
    texts = "[...document.querySelectorAll('#forest td.text')].map(cell => cell.textContent).join()"
    before = browser.evaluate(texts)
    browser.evaluate("document.getElementById('split-test').click()")
    assert browser.evaluate(texts) != before
    assert browser.evaluate("document.querySelector('#forest thead').textContent").endswith("test_mae")


def test_the_filter_leaves_what_matches_and_the_csv_has_just_that(browser, page) -> None:
    browser.show(page)
    browser.evaluate(
        "(box => { box.value = 'layers=1 rate=0.01'; box.dispatchEvent(new Event('input')) })"
        "(document.getElementById('filter'))"
    )
    rows = browser.evaluate("csv(document.querySelector('table.sortable')).trim().split('\\n').length")
    assert rows == 2


def test_a_name_is_text_in_script_and_page(browser, tmp_path) -> None:
    evil = "<img src=x onerror=console.error(1)>"
    variants = [PlannedVariant(evil, axes={"a.b": 1}), PlannedVariant("=1+1", 0.2, axes={"a.b": 2})]
    summary = summarize(
        write_experiment(tmp_path, Plan(variants, seeds=[0, 1], manifest={"baseline": "=1+1"})), now=NOW
    )
    path = tmp_path / "evil.html"
    path.write_text(to_html(summary, [], "k"), encoding="utf-8")
    browser.show(path)
    assert browser.complaints == []
    assert browser.evaluate("document.images.length") == 0
    for place in ("#forest", "table.sortable"):
        assert evil in browser.evaluate(f"document.querySelector('{place}').textContent")
    assert "'=1+1" in browser.evaluate("csv(document.querySelector('table.sortable'))")


def test_a_page_with_a_fault_is_noticed(browser, tmp_path) -> None:
    (tmp_path / "bad.html").write_text(
        "<script>console.error('oh'); undefinedFunction()</script><img src='missing.png'><p style='width:900px'>x"
    )
    browser.show(tmp_path / "bad.html", width=400)
    assert len(browser.complaints) >= 2
    assert browser.requests[-1].endswith("missing.png")
    assert browser.evaluate("document.documentElement.scrollWidth") > 400
