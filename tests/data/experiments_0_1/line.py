import json
import sys
import time

slope, seed, epochs = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for epoch in range(1, epochs + 1):
    print(json.dumps({"epoch": epoch, "val_mae": abs(slope - 2) + 1 / epoch + seed / 100}), flush=True)
    time.sleep(float(sys.argv[4]))
