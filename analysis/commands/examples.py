"""The commands of `analysis` by what they are for, each with two command lines."""

EXAMPLES = {
    "Rank and choose": {
        "summarize": ("analysis summarize demo", "analysis summarize demo --all"),
        "compare": (
            "analysis compare layers=2 graph_only -e demo",
            "analysis compare runs/stage1 runs/stage2 --format json",
        ),
        "refine": ("analysis refine search", "analysis refine search --points 7 --name finer"),
        "export": ("analysis export demo --to csv", "analysis export demo --to leaderboard"),
    },
    "Read what fused layers logged": {
        "weights": ("analysis weights demo", "analysis weights demo --variant layers=2"),
        "scale": ("analysis scale demo", "analysis scale demo --format csv"),
    },
    "Open a checkpoint": {
        "diagnose": ("analysis diagnose demo", "analysis diagnose 2@0 -e demo --samples 50"),
        "alpha": ("analysis alpha 2@0 -e demo", "analysis alpha runs/demo/runs/RUN"),
        "robustness": ("analysis robustness -e demo", "analysis robustness layers=2 -e demo --format csv"),
        "predict": ("analysis predict 2@0 POSCAR -e demo", "analysis predict 2@0 crystals/ -e demo"),
        "rescale": (
            "analysis rescale runs/demo/runs/RUN/best.pt --factor 6 --to new.pt",
            "analysis rescale best.pt --factor 0.5 --to halved.pt",
        ),
    },
}
