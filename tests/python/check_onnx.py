"""Checks ONNX files that this library wrote: `onnx.checker`, and ONNX Runtime's results against ours.

    pip install onnx onnxruntime safetensors numpy
    OCELLI_ONNX_OUT=FOLDER cargo test --workspace --test round_trip
    OCELLI_ONNX_OUT=FOLDER OCELLI_NETWORKS=vgg cargo test --workspace --test round_trip
    python tests/python/check_onnx.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

failures = 0
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    onnx.checker.check_model(str(path), full_check=True)
    reference = load_file(path.with_suffix(".safetensors"))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"input": reference["x"]})
    distance = np.linalg.norm(y.astype(np.float64) - reference["y"]) / np.linalg.norm(reference["y"].astype(np.float64))
    failures += distance > 1e-5 or y.shape != reference["y"].shape
    print(f"{path.stem}: {distance:.1e}", flush=True)
sys.exit(failures > 0)
