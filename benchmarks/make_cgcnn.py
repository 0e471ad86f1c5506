"""Write cgcnn.json: CGCNN's 92 one-hot atom features of the elements 1 to 100, as jarvis-tools ships them.

Source: Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018); jarvis/core/atom_init.json of jarvis-tools (NIST).
Run `python -m benchmarks.make_cgcnn` to write the file again.
"""

from __future__ import annotations

import json
from pathlib import Path

from jarvis.core.specie import cgcnn_feature_json

import models.encoders


def main() -> None:
    table = json.loads(Path(cgcnn_feature_json).read_text())
    rows = {number: "".join(str(bit) for bit in table[number]) for number in sorted(table, key=int)}
    source = "CGCNN atom features (Xie & Grossman 2018), from jarvis-tools; a digit a feature, by atomic number"
    target = Path(models.encoders.__file__).parent / "data" / "cgcnn.json"
    target.write_text(json.dumps({"source": source, "features": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
