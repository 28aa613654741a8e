#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the numbers in tests/unit/test_rng.c: bits of PyTorch's CPU stream."""
import torch


def bits(name, t):
    words = t.detach().reshape(-1).view(torch.int32).tolist()
    print(name, ", ".join(f"0x{w & 0xFFFFFFFF:08x}" for w in words))


torch.manual_seed(2021)
bits("linear", torch.nn.Linear(20, 20).weight.reshape(-1)[:8])
torch.manual_seed(7)
bits("normal, 5", torch.randn(5))
bits("then 6 of mean 1, std 2", torch.empty(6).normal_(1, 2))
torch.manual_seed(7)
bits("normal, 37", torch.randn(37))
torch.manual_seed(7)
print("randperm", ", ".join(map(str, torch.randperm(20).tolist())))
