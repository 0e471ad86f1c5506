"""The names of properties: older names that people's scripts use, and the name that was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from jobs.tasks.crystal.data.crystals import Crystal
from runner.errors import Problem, UserError, nearest

UNNAMED = "target"  # the name of the target where id_prop.csv has no header; any name in a configuration matches it
OLDER_NAMES: Mapping[str, tuple[str, ...]] = {  # name in a configuration → names it may have in a data set
    "formation_energy": ("formation_energy_peratom",),
    "formation_energy_per_atom": ("formation_energy_peratom",),
    "e_form": ("formation_energy_peratom",),
    "formation_energy_peratom": ("e_form",),
    "hse_bandgap": ("hse_gap",),
    "hse_bandgap-2": ("hse_gap",),
    "hse_gap": ("hse_bandgap-2", "hse_bandgap"),
    "gap pbe": ("band_gap",),
    "gappbe": ("band_gap",),
    "band_gap": ("gap pbe",),
    "mbj_gap": ("mbj_bandgap",),
    "optb88_bandgap": ("optb88vdw_bandgap",),
    "bulk_modulus": ("bulk_modulus_kv", "bulk_modulus_vrh"),
    "shear_modulus": ("shear_modulus_gv", "shear_modulus_vrh"),
}

_UNITS = (  # a word in the name of a property → its unit in the sets that ship and in JARVIS
    (("formation_energy", "e_form", "ehull"), "eV/atom"),
    (("gap",), "eV"),
    (("modulus",), "GPa"),
)


def unit_of(target: str) -> str:
    """The unit of a known property; blank where its name does not say it."""
    return next((unit for words, unit in _UNITS if any(word in target.lower() for word in words)), "")


def column_of(target: str, available: Collection[str]) -> str | None:
    """The column that holds `target`: the name itself, else a name it had before; None when there is none.

    An id_prop.csv without a header has one nameless target, which any name means.
    """
    names = (UNNAMED,) if set(available) == {UNNAMED} else (target, *OLDER_NAMES.get(target, ()))
    return next((name for name in names if name in available), None)


def nearest_target(target: str, available: Collection[str]) -> str | None:
    """The available target most like `target`: by spelling, else by the quantity it begins with."""
    start = "_".join(target.split("_")[:2])
    return nearest(target, available) or next((name for name in sorted(available) if name.startswith(start)), None)


def missing_target(dataset: str, target: str, available: Mapping[str, int]) -> Problem:
    """The mistake of a target that a data set does not have; `available` counts the crystals of each target."""
    return Problem(
        f"{dataset} has no target {target!r}",
        key="data.target",
        allowed=", ".join(f"{name} ({available[name]:,})" for name in sorted(available)) or "none found",
        nearest=nearest_target(target, available),
    )


def refuse_without_logarithm(crystals: Sequence[Crystal], target: str, scale: str) -> None:
    """Raise UserError for targets that are not above 0 where `scale` is log10."""
    if below := [crystal for crystal in crystals if scale == "log10" and crystal.targets[target] <= 0]:
        first = f"{below[0].material_id} has {below[0].targets[target]:g}"
        what = f"log10 needs a {target} above 0; {len(below):,} of {len(crystals):,} crystals have none: {first}"
        raise UserError(f"data.scale: {what}\n    allowed: linear, or a data set without these crystals")
