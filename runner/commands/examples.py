"""The commands of `runner` by what they are for, each with two command lines."""

EXAMPLES = {
    "Plan": {
        "init": ("runner init", "runner init --script train.py --metric val_acc"),
        "expand": ("runner expand configs/demo.yaml", "runner expand configs/demo.yaml --set 'matrix.seeds=[0, 1, 2]'"),
        "prepare": (
            "runner prepare configs/demo.yaml",
            "runner prepare configs/demo.yaml --cluster configs/clusters/slurm.yaml",
        ),
        "doctor": ("runner doctor configs/clusters/slurm.yaml", "runner doctor configs/clusters/slurm.yaml --gpus 1"),
        "schema": ("runner schema crystal > crystal.json", "runner schema cluster > cluster.json"),
    },
    "Train": {
        "submit": (
            "runner submit configs/demo.yaml --wait",
            "runner submit configs/stage1.yaml --cluster site.yaml --supervise",
        ),
        "resubmit": ("runner resubmit demo", "runner resubmit demo --kind diverged --force"),
        "run": ("runner run configs/demo.yaml :1", "runner run configs/demo.yaml graph_only@0 --set train.epochs=1"),
        "supervise": ("runner supervise demo", "runner supervise demo --only graph_only"),
        "cancel": ("runner cancel demo", "runner cancel demo --state queued"),
    },
    "Look": {
        "status": ("runner status demo --watch", "runner status demo --format json"),
        "failures": ("runner failures", "runner failures demo"),
        "logs": ("runner logs demo :1", "runner logs demo graph_only@0 --follow"),
        "reread": ("runner reread train", "runner reread configs/train.yaml"),
    },
    "Afterwards": {
        "promote": ("runner promote stage1", "runner promote stage1 --next configs/stage2.yaml --top 3"),
        "adopt": ("runner adopt configs/adopt_layers.yaml --dry-run", "runner adopt configs/adopt_layers.yaml"),
        "bundle": ("runner bundle demo", "runner bundle demo --output demo.tar.gz"),
        "clean": ("runner clean demo --checkpoints --dry-run", "runner clean demo --failed --gone"),
    },
}
