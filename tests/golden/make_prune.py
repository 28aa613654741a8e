#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the golden fixtures of the pruners: the masks that torch.nn.utils.prune computes.

Each row of CASES becomes cases/prune_<name>.ini and cases/prune_<name>.safetensors with
    mask.<param>    1 where the weight stays, compared bit for bit
    count.<param>   how many stay, where the draw itself is another
    final.<param>   the parameters at the end
data/prune.safetensors, data/prune_image.safetensors and data/prune_norm.safetensors are the initial
weights. Some of them lie exactly on the thresholds. The 2:4 pattern is held to torch.ao.pruning's
sparsifier. Scores with gradients reach torch as importance_scores. Network slimming is as in the
paper's code and Torch-Pruning's BNScalePruner: reg sign(gamma) added to the gradients of the scales,
scales ranked over all layers by |gamma|, the shift of a channel going with its scale.
Run again after changing a case (needs torch and safetensors; after make_fixtures.py):
    python3 tests/golden/make_prune.py
"""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.ao.pruning import WeightNormSparsifier
from torch.nn.utils import prune

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)
BATCH = 8


class Dense(nn.Module):
    lines = ["fc1 = linear units=16", "act1 = relu", "fc2 = linear units=12", "act2 = tanh", "fc3 = linear units=3"]
    files = "csv file=../data/class.csv header=no target=class"
    weights = "prune"

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 16), nn.Linear(16, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.fc3(torch.tanh(self.fc2(F.relu(self.fc1(x)))))


class Image(nn.Module):
    lines = ["conv1 = conv2d filters=8 kernel=1,2 bias=no", "bn = batchnorm", "act = relu",
             "conv2 = conv2d filters=6 kernel=2", "flat = flatten", "fc = linear units=3"]
    files = "idx images=../data/images.idx labels=../data/labels.idx"
    weights = "prune_image"

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, (1, 2), bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 6, (2, 2))
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.conv2(F.relu(self.bn(self.conv1(x.reshape(-1, 1, 2, 3))))).flatten(1))


class Norm(nn.Module):
    lines = ["fc1 = linear units=16", "bn1 = batchnorm", "act1 = relu", "fc2 = linear units=12", "bn2 = batchnorm",
             "act2 = relu", "fc3 = linear units=3"]
    files = "csv file=../data/class.csv header=no target=class"
    weights = "prune_norm"
    pull = 0.01

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 16), nn.Linear(16, 12), nn.Linear(12, 3)
        self.bn1, self.bn2 = nn.BatchNorm1d(16), nn.BatchNorm1d(12)

    def forward(self, x):
        return self.fc3(F.relu(self.bn2(self.fc2(F.relu(self.bn1(self.fc1(x)))))))


def read(path):
    return open(f"{HERE}/data/{path}", "rb").read()


def rows(kind):
    if kind is Image:
        x = torch.tensor(list(read("images.idx")[16:])).reshape(-1, 6).float() / 255
        return x, torch.tensor(list(read("labels.idx")[8:]))
    table = [[float(v) for v in line.split(",")] for line in read("class.csv").decode().splitlines()]
    return torch.tensor([t[:-1] for t in table]), torch.tensor([int(t[-1]) for t in table])


def make(kind):
    net, gen = kind(), torch.Generator().manual_seed(23)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=gen) * 0.4)
            flat = p.view(-1)
            flat[0], flat[-1] = 0.25, -0.25  # on the threshold: they stay
    return net


def chosen(net, names):
    return [(net.get_submodule(n.rpartition(".")[0]), n.rpartition(".")[2]) for n in names]


def local(method, **kw):
    return lambda net, names: [method(m, n, **kw) for m, n in chosen(net, names)]


def together(method, **kw):
    return lambda net, names: prune.global_unstructured(chosen(net, names), method, **kw)


def threshold(value):
    def cut(net, names):
        for m, n in chosen(net, names):
            w = getattr(m, n)
            prune.custom_from_mask(m, n, ~((w < value) & (w > -value)))
    return cut


def groups_of(m, zeros):
    """torch's semi-structured sparsifier; a convolution's groups lie along its channels."""
    def cut(net, names):
        for module, n in chosen(net, names):
            w = getattr(module, n).detach()
            flat = w.permute(0, 2, 3, 1) if w.dim() == 4 else w
            shape = flat.shape
            holder = nn.Sequential(nn.Linear(shape[-1], flat.numel() // shape[-1], bias=False))
            holder[0].weight = nn.Parameter(flat.reshape(-1, shape[-1]).clone())
            s = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, m), zeros_per_block=zeros)
            s.prepare(holder, [{"tensor_fqn": "0.weight"}])
            s.step()
            mask = holder[0].parametrizations["weight"][0].mask.reshape(shape)
            prune.custom_from_mask(module, n, mask.permute(0, 3, 1, 2) if w.dim() == 4 else mask)
    return cut


def slopes(net, names):
    """|w dL/dw| with the loss over all rows."""
    x, y = rows(type(net))
    net.zero_grad()
    F.cross_entropy(net(x), y).backward()
    scores = []
    for m, n in chosen(net, names):
        w = dict(m.named_parameters()).get(n + "_orig", dict(m.named_parameters()).get(n))
        scores.append((getattr(m, n) * w.grad).abs().detach())
    net.zero_grad()
    return scores


def taylor(amount, together=False, dim=None):
    def cut(net, names):
        scores, what = slopes(net, names), chosen(net, names)
        if together:
            prune.global_unstructured(what, L1, importance_scores=dict(zip(what, scores)), amount=amount)
            return
        for (m, n), s in zip(what, scores):
            if dim is None:
                prune.l1_unstructured(m, n, amount=amount, importance_scores=s)
            else:
                prune.ln_structured(m, n, amount=amount, n=1, dim=dim, importance_scores=s)
    return cut


def slim(amount):
    def cut(net, names):
        layers = [net.bn1, net.bn2]
        prune.global_unstructured([(m, "weight") for m in layers], L1, amount=amount)
        for m in layers:
            prune.custom_from_mask(m, "bias", m.weight_mask)
    return cut


D1, D2, D3 = "fc1.weight", "fc2.weight", "fc3.weight"
DENSE, CONV = [D1, D2, D3], ["conv1.weight", "conv2.weight"]
IMAGE = ["conv1.weight"] + [f"{l}.{k}" for l in ("bn", "conv2", "fc") for k in ("weight", "bias")]
ALL = [f"fc{i}.{k}" for i in (1, 2, 3) for k in ("weight", "bias")]
SCALES = ["bn1.weight", "bn1.bias", "bn2.weight", "bn2.bias"]
ONCE, TWICE = ["cut"], ["cut", "train", "cut"]
L1 = prune.L1Unstructured
# name, network, spec, on=, parameters, what torch does, stages
CASES = [
    ("threshold", Dense, "threshold value=0.25", "*", ALL, threshold(0.25), ONCE),
    ("threshold_twice", Dense, "threshold value=0.25", "*", ALL, threshold(0.25), TWICE),
    ("threshold_image", Image, "threshold value=0.25", "*", IMAGE, threshold(0.25), TWICE),
    ("magnitude", Dense, "magnitude amount=0.3", "*.weight", DENSE, local(prune.l1_unstructured, amount=0.3), TWICE),
    ("magnitude_rounding", Dense, "magnitude amount=0.125", "*", ALL, local(prune.l1_unstructured, amount=0.125), TWICE),
    ("magnitude_count", Dense, "magnitude amount=7", "*.weight", DENSE, local(prune.l1_unstructured, amount=7), TWICE),
    ("magnitude_together", Dense, "magnitude amount=0.4 global=yes", "*.weight", DENSE, together(L1, amount=0.4), TWICE),
    ("magnitude_together_count", Dense, "magnitude amount=101 global=yes", "*", ALL, together(L1, amount=101), TWICE),
    ("magnitude_image", Image, "magnitude amount=0.5", "conv*.weight", CONV, local(prune.l1_unstructured, amount=0.5), TWICE),
    ("random", Dense, "random amount=0.3", "*.weight", DENSE, local(prune.random_unstructured, amount=0.3), TWICE),
    ("rows", Dense, "ln_structured amount=0.3", "fc1.weight,fc2.weight", [D1, D2],
     local(prune.ln_structured, amount=0.3, n=2, dim=0), TWICE),
    ("columns_l1", Dense, "ln_structured amount=2 n=1 dim=-1", "*.weight", DENSE,
     local(prune.ln_structured, amount=2, n=1, dim=-1), TWICE),
    ("rows_l3", Dense, "ln_structured amount=0.5 n=3", "fc2.weight", [D2],
     local(prune.ln_structured, amount=0.5, n=3, dim=0), ONCE),
    ("filters", Image, "ln_structured amount=0.25", "conv*.weight", CONV,
     local(prune.ln_structured, amount=0.25, n=2, dim=0), TWICE),
    ("channels", Image, "ln_structured amount=3 dim=1", "conv2.weight", CONV[1:],
     local(prune.ln_structured, amount=3, n=2, dim=1), ONCE),
    ("two_four", Dense, "two_four", "fc2.weight,fc3.weight", [D2, D3], groups_of(4, 2), TWICE),
    ("one_three", Dense, "two_four n=1 m=3", "fc1.weight,fc3.weight", [D1, D3], groups_of(3, 2), ONCE),
    ("taylor", Dense, "taylor amount=0.3", "*.weight", DENSE, taylor(0.3), TWICE),
    ("taylor_count", Dense, "taylor amount=2", "*", ALL, taylor(2), ONCE),
    ("taylor_together", Dense, "taylor amount=0.4 global=yes", "*.weight", DENSE, taylor(0.4, together=True), TWICE),
    ("taylor_rows", Dense, "taylor amount=0.25 structured=yes", "fc1.weight,fc2.weight", [D1, D2], taylor(0.25, dim=0), TWICE),
    ("taylor_columns", Dense, "taylor amount=3 structured=yes dim=-1", "fc2.weight", [D2], taylor(3, dim=1), TWICE),
    ("slimming", Norm, "slimming amount=0.3", "*", SCALES, slim(0.3), ["train", "cut", "train", "cut"]),
    ("two_four_image", Image, "two_four", "conv2.weight", CONV[1:], groups_of(4, 2), TWICE),
]


def train(net, x, y):
    net.train()
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for i in range(0, len(x), BATCH):
        opt.zero_grad()
        F.cross_entropy(net(x[i:i + BATCH]), y[i:i + BATCH]).backward()
        for m in net.modules():
            if isinstance(m, nn.BatchNorm1d):
                w = m.weight_orig if hasattr(m, "weight_orig") else m.weight
                w.grad.add_(net.pull * torch.sign(m.weight.detach()))
        opt.step()
    net.eval()
    net(x[:1])  # torch makes masked weights in the forward pass: without one the next cut sees those of before the step


def run(kind, names, cut, stages, drawn):
    net, (x, y), out = make(kind), rows(kind), {}
    for s in stages:
        if s == "cut":
            cut(net, names)
        elif not drawn:
            train(net, x, y)
    for (m, n), name in zip(chosen(net, names), names):
        mask = getattr(m, n + "_mask")
        out["count." + name if drawn else "mask." + name] = mask.sum().reshape(1) if drawn else mask
    if drawn:
        return out
    for m, n in chosen(net, names):
        prune.remove(m, n)
    out.update({"final." + k: v.detach() for k, v in net.named_parameters()})
    return {k: v.float().contiguous() for k, v in out.items()}


def write_ini(name, kind, spec, on, stages):
    what = {"cut": "prune with=small", "train": "train epochs=1"}
    lines = ["; made by make_prune.py", "[run]", "config = 1", f"batch = {BATCH}", "shuffle = no",
             f"weights = ../data/{kind.weights}.safetensors", "", "[data]", "train = " + kind.files, "", "[network]"]
    lines += kind.lines + ["", "[loss]", "loss = cross_entropy", "", "[optimizer]", "opt = sgd lr=0.1", ""]
    if hasattr(kind, "pull"):
        lines += ["[regularizers]", f"pull = slimming lambda={kind.pull}", ""]
    lines += ["[pruners]", f"small = {spec} on={on}", "", "[stages]"]
    lines += [f"s{i} = {what[s]}" for i, s in enumerate(stages)]
    with open(f"{HERE}/cases/prune_{name}.ini", "w") as f:
        f.write("\n".join(lines) + "\n")


def main():
    for kind in (Dense, Image, Norm):
        save_file(make(kind).state_dict(), f"{HERE}/data/{kind.weights}.safetensors")
    for name, kind, spec, on, names, cut, stages in CASES:
        torch.manual_seed(5)
        write_ini(name, kind, spec, on, stages)
        save_file({k: v.float() for k, v in run(kind, names, cut, stages, spec.startswith("random")).items()},
                  f"{HERE}/cases/prune_{name}.safetensors")


if __name__ == "__main__":
    main()
