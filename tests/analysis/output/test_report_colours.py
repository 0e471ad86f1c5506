"""The colours of the report that carry meaning are told apart without red or green cones, and can be read."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from analysis.plots.figure import COLOURS

CSS = (Path(__file__).parents[3] / "analysis" / "output" / "templates" / "report.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
)
SCHEMES = {"light": LIGHT, "dark": DARK}
SETS = {  # what a reader tells apart by colour, beside its sign or place
    "marks of the first figure": ("selected", "better", "worse"),
    "health": ("better", "warning", "blocking"),
    "lines": ("selected", "ink", "context"),
    "verdict": ("selected", "worse"),
}
TEXT = ("ink", "quiet", "selected", "better", "worse", "warning", "blocking")
# Machado, Oliveira, Fernandes, IEEE Trans. Vis. Comput. Graph. 15, 1291 (2009), severity 1.0, on linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
Lab = tuple[float, float, float]


def linear(color: str) -> np.ndarray:
    """#rrggbb as linear RGB, 0 to 1 (sRGB, IEC 61966-2-1)."""
    share = np.array([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> Lab:
    """CIELAB of linear RGB, D65."""
    ratio = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return float(116 * y - 16), float(500 * (x - y)), float(200 * (y - z))


def ciede2000(one: Lab, two: Lab) -> float:
    """Sharma, Wu, Dalal, Color Res. Appl. 30, 21 (2005), eqs. 2 to 22."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean7 = ((math.hypot(a1, b1) + math.hypot(a2, b2)) / 2) ** 7
    more = 1 + 0.5 * (1 - math.sqrt(mean7 / (mean7 + 25**7)))
    c1, c2 = math.hypot(more * a1, b1), math.hypot(more * a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, more * a)) % 360 if (a or b) else 0.0 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    d_l, d_c, d_h = l2 - l1, c2 - c1, 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    mean_h = h1 + h2 if c1 * c2 == 0 else h1 + turn / 2
    cos = [math.cos(math.radians(k * mean_h + shift)) for k, shift in ((1, -30), (2, 0), (3, 6), (4, -63))]
    t = 1 - 0.17 * cos[0] + 0.24 * cos[1] + 0.32 * cos[2] - 0.20 * cos[3]
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / math.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    around_blue = 30 * math.exp(-((((mean_h % 360) - 275) / 25) ** 2))
    r_t = -2 * math.sqrt(mean_c**7 / (mean_c**7 + 25**7)) * math.sin(math.radians(2 * around_blue))
    parts = (d_l / s_l, d_c / s_c, d_h / s_h)
    return math.sqrt(sum(part**2 for part in parts) + r_t * parts[1] * parts[2])


def contrast(one: str, two: str) -> float:
    """WCAG 2.2: relative luminance of the lighter over that of the darker."""
    low, high = sorted(float(XYZ[1] @ linear(color)) for color in (one, two))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("group", SETS)
def test_colours_that_carry_meaning_differ(scheme: str, vision: str, group: str) -> None:
    seen = {name: lab(VISION[vision] @ linear(SCHEMES[scheme][name])) for name in SETS[group]}
    near = {pair: ciede2000(*(seen[name] for name in pair)) for pair in itertools.combinations(seen, 2)}
    assert {pair: round(difference, 1) for pair, difference in near.items() if difference < 10} == {}


@pytest.mark.parametrize("vision", VISION)
def test_lines_of_the_figures_differ(vision: str) -> None:
    seen = [lab(VISION[vision] @ linear(color)) for color in COLOURS]
    assert min(ciede2000(*pair) for pair in itertools.combinations(seen, 2)) >= 10


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lines_of_the_figures_stand_out(scheme: str) -> None:
    assert min(contrast(color, SCHEMES[scheme]["paper"]) for color in COLOURS) >= 2.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_is_read_on_every_background(scheme: str) -> None:
    colors = SCHEMES[scheme]
    pale = [
        (name, under) for name in TEXT for under in ("paper", "soft") if contrast(colors[name], colors[under]) < 4.5
    ]
    assert pale == []


@pytest.mark.parametrize(
    ("one", "two", "difference"),  # of the data that Sharma, Wu and Dalal published to test implementations
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((90.8027, -2.0831, 1.441), (91.1528, -1.6435, 0.0447), 1.4441),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_difference_is_the_published_one(one: Lab, two: Lab, difference: float) -> None:
    assert ciede2000(one, two) == pytest.approx(difference, abs=1e-4)
    assert ciede2000(two, one) == pytest.approx(difference, abs=1e-4)
