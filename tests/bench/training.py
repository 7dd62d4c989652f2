"""How fast training is: whole steps with the optimiser, each target sample counted once.

    python tests/bench/training.py [--threads 2] [--steps 5] [--dim 512 --layers 2 --batch 32 --seq-len 1024]

The network is PRiSM's: 16/64, mu-law 256, embedding of 256, and a linear first layer in its sample level, which folds.
"""

from __future__ import annotations

import argparse
import time

import torch

from sopilib.model import Config
from sopilib.train import machine
from sopilib.train.network import SampleRNN


def samples_per_second(config: Config, precision: torch.dtype, batch: int, steps: int) -> list[float]:
    network = SampleRNN(config, precision=precision)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    codes = torch.randint(0, config.q_levels, (batch, config.lookback + config.seq_len))
    state, rates = [[t.detach() for t in tier] for tier in network.initial_state(batch)], []
    for _ in range(steps + 2):
        began = time.perf_counter()
        total, _, after = network.loss(codes, state)
        optimiser.zero_grad(set_to_none=True)
        (total / (batch * config.seq_len)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        state = [[t.detach() for t in tier] for tier in after]
        rates.append(batch * config.seq_len / (time.perf_counter() - began))
    return sorted(rates[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("threads", 2), ("steps", 5), ("dim", 512), ("layers", 2), ("batch", 32), ("seq-len", 1024)):
        parser.add_argument(f"--{name}", type=int, default=default, help="default %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine.keep_memory()
    for relu, what in (([False, True, True, False], "PRiSM's sample level"), ([True, True, False], "ours")):
        config = Config(dim=args.dim, num_rnn_layers=args.layers, seq_len=args.seq_len, sample_relu=relu)
        for precision in (torch.float32, torch.bfloat16):
            rates = samples_per_second(config, precision, args.batch, args.steps)
            flops = 6 * machine.arithmetic(config) * rates[len(rates) // 2] / 1e9
            print(
                f"{what}, {str(precision).removeprefix('torch.')}: median {rates[len(rates) // 2]:,.0f} samples/s "
                f"(slowest {rates[0]:,.0f}, fastest {rates[-1]:,.0f}); {flops:.0f} GFLOP/s"
            )


if __name__ == "__main__":
    main()
