"""summary.tex: the ranked table for a paper, with the rules of booktabs."""

from __future__ import annotations

from analysis.formatting import axis_value, mean_with_sd, parameter_count, significant
from analysis.output.summary_table import cost_columns
from analysis.rank.ranking import Variant
from analysis.rank.statistics import MeanSd
from analysis.rank.summary import Summary
from runner.terminal import one_line

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text as LaTeX prints it, on one line."""
    return "".join(SPECIAL.get(character, character) for character in one_line(text))


def to_latex(summary: Summary) -> str:
    """A tabular of the variants that have a metric; the chosen one in bold. Needs the package booktabs."""
    manifest = summary.collection.manifest
    select, t = manifest.select, manifest.thresholds
    chosen = summary.choice.variant if summary.choice else None
    (cost,) = cost_columns(summary)
    titles = ["", "variant", *(axis.rsplit(".", 1)[-1] for axis in manifest.axes), "seeds",
              select.metric, select.test_metric, "ratio", "parameters", cost.title]  # fmt: skip
    lines = [
        f"% {one_line(manifest.experiment)}; made by `analysis summarize`. Needs \\usepackage{{booktabs}}.",
        rf"\begin{{tabular}}{{rl{'l' * len(manifest.axes)}rrrrrr}}",
        r"\toprule",
        " & ".join(map(escaped, titles)) + r" \\",
        r"\midrule",
    ]
    for variant in summary.variants:
        if variant.val is None:
            continue
        judged = variant.judged_layer(t)
        cells = [
            str(variant.rank or "–"),
            variant.name,
            *(axis_value(variant.axes.get(axis)) for axis in manifest.axes),
            _seeds(variant),
            _mean(variant.val),
            _mean(variant.test),
            significant(judged[2], 3) if judged else "",
            parameter_count(variant.parameters),
            cost.cell(variant),
        ]
        found = [escaped(cell) for cell in cells]
        if variant.name == chosen:
            found = [rf"\textbf{{{cell}}}" if cell else "" for cell in found]
        lines.append(" & ".join(found) + r" \\")
    cautions = [
        f"% {one_line(f'{variant.name}: {flag.message}')}"
        for variant in summary.variants
        if variant.val
        for flag in variant.flags
    ]
    return "\n".join([*lines, *cautions, r"\bottomrule", r"\end{tabular}", ""])


def _seeds(variant: Variant) -> str:
    return str(len(variant.scored)) if variant.complete else f"{len(variant.scored)}/{len(variant.runs)}"


def _mean(value: MeanSd | None) -> str:
    return mean_with_sd(value.mean, value.sd) if value else ""
