"""One thread for every test: threads of small tensors wait for each other more than they work."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import torch  # noqa: E402  (after the environment, which it reads on import)

torch.set_num_threads(1)
