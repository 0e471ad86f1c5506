"""Folders of another program as runs."""

from __future__ import annotations

from jobs.adopt.runs import Adoptable
from jobs.adopt.schema import AdoptParams


def folder_runs(params: AdoptParams) -> Adoptable:
    raise NotImplementedError
