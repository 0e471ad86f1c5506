"""Who starts the runs: a pool of processes on this machine, or Slurm."""
