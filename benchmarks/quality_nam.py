"""Neural Amp Modeler's standard WaveNet with its own recipe, within a CPU-time budget.

Runs in an environment with neural-amp-modeler 0.13.0, see quality.py. NAM's own classes build network, loss, optimiser
and scheduler from its `wavenet.json` and `default.json` for `nam-full` (Adam 4e-3, ExponentialLR 0.993 per epoch, mean
squared error), with the output at -18 dBFS as in its trainer, and windows of NAM's 8192 outputs or the length of a
clip. BATCH is 16 there, and 1 in NAM's simple trainer without a GPU. Validation after each epoch selects the weights. A
plain loop replaces that of Lightning and is slightly faster.

usage: quality_nam.py CLIPS.npz BATCH BUDGET ...
prints one line of JSON per budget: budget, batch, steps, epochs, and the ESR of validation and test
"""

import json
import sys
import time

import numpy as np
import torch
from nam.train.lightning_module import LightningModule

COMPARED_FROM = 4096
OUTPUTS = 8192
LEVEL_DBFS = -18.0


def _stack(entry, channels, head, bias):
    return {
        "input_size": entry,
        "condition_size": 1,
        "channels": channels,
        "head": {"out_channels": head, "kernel_size": 1, "bias": bias},
        "kernel_size": 3,
        "dilations": [2**power for power in range(10)],
        "activation": "Tanh",
    }


CONFIG = {
    "net": {
        "name": "WaveNet",
        "config": {"layers_configs": [_stack(1, 16, 8, False), _stack(16, 8, 1, True)], "head_scale": 0.02},
    },
    "loss": {"val_loss": "mse"},
    "optimizer": {"lr": 0.004},
    "lr_scheduler": {"class": "ExponentialLR", "kwargs": {"gamma": 0.993}},
}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    clips = np.load(sys.argv[1])
    batch, budgets = int(sys.argv[2]), sorted(float(budget) for budget in sys.argv[3:])
    module = LightningModule.init_from_config(CONFIG)
    net, context = module.net, module.net.receptive_field - 1
    scale = 10 ** (LEVEL_DBFS / 20) / float(np.sqrt(np.mean(np.square(clips["train_wet"], dtype=np.float64))))
    window = min(context + OUTPUTS, clips["train_dry"].shape[1])
    dry = torch.from_numpy(clips["train_dry"][:, :window].copy())
    wet = torch.from_numpy(clips["train_wet"][:, context:window] * np.float32(scale))
    made = module.configure_optimizers()
    optimiser, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    started, steps, epochs, best, kept = time.process_time(), 0, 0, np.inf, None

    def error(split: str) -> float:
        """Return the ESR pooled over a split."""
        total = energy = 0.0
        with torch.no_grad():
            for x, y in zip(clips[f"{split}_dry"], clips[f"{split}_wet"] * scale, strict=True):
                found = net(torch.from_numpy(x)[None], pad_start=False)[0].numpy()[COMPARED_FROM - context :]
                total += float(np.square(found - y[COMPARED_FROM:], dtype=np.float64).sum())
                energy += float(np.square(y[COMPARED_FROM:], dtype=np.float64).sum())
        return total / energy

    def validate() -> None:
        nonlocal best, kept
        found = error("valid")
        if found < best:
            best, kept = found, {name: weight.clone() for name, weight in net.state_dict().items()}

    while budgets:
        for rows in torch.randperm(len(dry))[: len(dry) // batch * batch].view(-1, batch):
            optimiser.zero_grad()
            loss = module.training_step((dry[rows], wet[rows]), 0)
            loss.backward()
            optimiser.step()
            steps += 1
            if budgets and time.process_time() - started >= budgets[0]:
                validate()
                latest = {name: weight.clone() for name, weight in net.state_dict().items()}
                net.load_state_dict(kept)
                row = {
                    "budget": budgets.pop(0),
                    "batch": batch,
                    "steps": steps,
                    "epochs": epochs,
                    "valid": best,
                    "test": error("test"),
                }
                print(json.dumps(row), flush=True)
                net.load_state_dict(latest)
                if not budgets:
                    return
        scheduler.step()
        epochs += 1
        validate()


if __name__ == "__main__":
    main()
