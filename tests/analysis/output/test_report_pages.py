"""The report of five kinds of search in a browser: light and dark, wide and on a phone, printed, without a mouse."""

from __future__ import annotations

import gzip
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.output.report import to_html
from analysis.plots.gallery import gallery
from analysis.rank.summary import summarize
from browser import Browser
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment

DATA = Path(__file__).parents[2] / "data"
AXE = gzip.decompress((DATA / "axe" / "axe.min.js.gz").read_bytes()).decode()
A4 = 718  # CSS pixels between the margins
LOGGED = {"text_scale": 12.0, "gate_mean": 0.5, "gate_std": 0.1}
DEMO = [
    PlannedVariant("graph_only", 0.20, layers=(), weights=None, axes={}, parameters=183_105),
    *(
        PlannedVariant(
            f"layers={','.join(map(str, layers))}",
            0.2 + 0.004 * sum(layers),
            layers=layers,
            weights=(0.5, 0.5 + 0.05 * len(layers)),
            layer_values=LOGGED,
        )
        for layers in ((1,), (2,), (3,), (2, 3), (1, 2, 3))
    ),
]
GRID = [
    PlannedVariant(f"delta_va={va} delta_nce={nce}", 0.3 + 0.1 * abs(va - 0.4) + nce, layers=(), weights=None,
                   axes={"loss.delta_va": va, "loss.delta_nce": nce})
    for va in (0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 1.0) for nce in (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
]  # fmt: skip
MANY = [
    PlannedVariant(f"lr={rate:g} width={width} depth={depth}", 0.1 + 0.0003 * (number * 37 % 200), layer_values=LOGGED,
                   axes={"lr": rate, "width": width, "depth": depth}, states={0: "failed"} if number % 50 == 0 else {})
    for number, (rate, width, depth) in enumerate(
        (10.0**-rate, width, depth) for rate in range(1, 9) for width in (16, 32, 64, 128, 256) for depth in range(1, 6)
    )
]  # fmt: skip


def demo(seeds: int) -> Callable[[Path], Path]:
    manifest = {"baseline": "graph_only", "description": "After which ALIGNN layers should the text be injected?"}
    plan = Plan(DEMO, "demo", range(seeds), 100, 20, 15, crystal_noise=0.05, seed_noise=0.006, manifest=manifest)
    return lambda folder: write_experiment(folder, plan)


def grid(folder: Path) -> Path:
    return write_experiment(folder, Plan(GRID, "grid", [0], crystal_noise=0.02, manifest={"baseline": GRID[0].name}))


def many(folder: Path) -> Path:
    return write_experiment(folder, Plan(MANY, "many", [0, 1], 20, crystal_noise=0.02, seed_noise=0.01))


def program(folder: Path) -> Path:
    return Path(shutil.copytree(DATA / "experiments_0_1" / "command", folder / "command"))


SEARCHES = {"demo": demo(1), "demo_3_seeds": demo(3), "grid": grid, "many": many, "program": program}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of every search, without whatever else `analysis summarize` writes."""
    folder = tmp_path_factory.mktemp("reports")
    for name, made in SEARCHES.items():
        summary = summarize(made(folder), now=NOW)
        (folder / f"{name}.html").write_text(to_html(summary, gallery(summary), "k"), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in SEARCHES}


def draw_all(browser: Browser) -> None:
    """As before printing: also what has not been near the window."""
    browser.evaluate("dispatchEvent(new Event('beforeprint')) && 1")


def violations(browser: Browser) -> list[str]:
    """What axe-core says against the page: rule and first places."""
    browser.evaluate(AXE + "; 1")
    browser.evaluate("document.querySelectorAll('section').forEach(each => each.style.contentVisibility = 'visible')")
    places: list[str] = browser.evaluate(
        """axe.run().then(all => all.violations.map(
          each => `${each.id}: ${each.nodes.slice(0, 3).map(node => node.html)}`))"""
    )
    return places


def selected(browser: Browser) -> list[str]:
    """The variant of the card, and the one whose row is marked."""
    both: list[str] = browser.evaluate(
        """[document.querySelector("#card h3").textContent,
            variants[document.querySelector("#forest tr.on").dataset.variant].name]"""
    )
    return [name.removeprefix("★ ") for name in both]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", SEARCHES)
def test_page_is_in_order_for_everybody(name: str, dark: bool, width: int, browser: Browser, pages) -> None:
    browser.show(pages[name], width=width, dark=dark)
    draw_all(browser)
    assert browser.complaints == []
    assert browser.requests == [pages[name].resolve().as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(browser) == []


@pytest.mark.parametrize("name", SEARCHES)
def test_first_figure_is_seen_at_once_on_a_laptop(name: str, browser: Browser, pages) -> None:
    browser.show(pages[name], width=1280)
    assert 0 < browser.evaluate("document.querySelector('#forest svg').getBoundingClientRect().top") < 900


@pytest.mark.parametrize("name", SEARCHES)
def test_nothing_is_cut_on_paper(name: str, browser: Browser, pages) -> None:
    browser.show(pages[name], width=A4, printed=True)
    draw_all(browser)
    cut = browser.evaluate(
        f"""[...document.querySelectorAll("body *")].filter(each => each.getClientRects().length).filter(each => {{
          const box = each.getBoundingClientRect(), hides = getComputedStyle(each).overflow !== "visible";
          const inside = each.scrollWidth <= each.clientWidth + 1 && each.scrollHeight <= each.clientHeight + 1;
          return box.right > {A4} + 1 || (hides && !inside && !(each instanceof SVGElement));
        }}).map(each => each.outerHTML.slice(0, 200))"""
    )
    assert cut == []
    assert browser.pdf().startswith(b"%PDF")


def test_a_variant_is_selected_by_keyboard_alone(browser: Browser, pages) -> None:
    browser.show(pages["demo"], width=1280)
    for _ in range(20):
        browser.press("Tab")
        if browser.evaluate("!!document.activeElement.closest('#forest tr[data-variant]')"):
            break
    first, row = selected(browser)
    assert first == row
    browser.press("ArrowDown")
    second, row = selected(browser)
    assert second == row != first
    browser.press("Tab")  # to the button of the row below
    browser.press("Enter")
    third, row = selected(browser)
    assert third == row
    assert third not in (first, second)


def test_two_hundred_variants_are_drawn_within_ten_times_an_empty_page(browser: Browser, pages, tmp_path) -> None:
    empty = tmp_path / "empty.html"
    empty.write_text("<!doctype html><title>empty</title>")
    seconds: dict[Path, list[float]] = {empty: [], pages["many"]: []}
    for _ in range(5):
        for page, measured in seconds.items():
            browser.show(page, width=1280)
            measured.append(browser.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart"))
    assert browser.evaluate("data.variants.length") == 200
    alone, drawn = (statistics.median(measured) for measured in seconds.values())
    assert drawn <= 10 * alone, f"{drawn} ms, an empty page {alone} ms"


def test_what_is_wrong_with_a_page_is_noticed(browser: Browser, tmp_path) -> None:
    (tmp_path / "bad.html").write_text("<p style='color: #ccc'>pale</p><img src='data:,'><button></button>")
    browser.show(tmp_path / "bad.html")
    assert {"button-name", "color-contrast", "image-alt"} <= {each.partition(":")[0] for each in violations(browser)}
