#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the golden fixtures of the attacks, with foolbox and torchattacks (which carries
AutoAttack's APGD and Square) on two small networks trained here on scikit-learn's digits.

Exact: EXACT becomes cases/attack_<name>.ini and .safetensors with what the attack makes of the
first batch, held to 1e-5 by test_golden. Random starts and the windows of Square are rein's own,
computed here by the same Philox stream and fed to the library.
Measured: FIGURES becomes attacks/<name>.ini and .txt: lines `metric value tolerance` over 200
images (100 for Square), held by test_attacks: success, mean norm and robust accuracy, this within one
image in a hundred. Only APGD draws by itself, so that means over seeds are compared. DEFENCES becomes
cases/defence_<name>: losses of the first steps and the weights after them.
data/digits-*.idx are the images, data/attack_mlp.safetensors and data/attack_conv.safetensors
the weights. Run again after changing a case (needs torch, foolbox, torchattacks, scikit-learn,
safetensors): python3 tests/golden/make_attacks.py [NAME..]; all of it takes three minutes.
"""
import math
import os
import struct
import sys

import eagerpy as ep
import foolbox as fb
import numpy as np
import torch
import torch.nn.functional as F
import torchattacks
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)
BATCH, N, SEEDS = 40, 200, 4
LINES = {"mlp": ["flat = flatten", "fc1 = linear units=32", "act = relu", "fc2 = linear units=10"],
         "conv": ["conv1 = conv2d filters=8 kernel=3 padding=1", "bn1 = batchnorm", "act1 = relu",
                  "pool1 = maxpool size=2", "flat = flatten", "out = linear units=10"]}


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.out = nn.Linear(128, 10)

    def forward(self, x):
        return self.out(F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2).flatten(1))


def digits():
    d = load_digits()
    return torch.tensor(d.images * 15.9375).to(torch.uint8), torch.tensor(d.target)


def write_idx(path, a):
    a = np.ascontiguousarray(a, dtype=np.uint8)
    with open(path, "wb") as f:
        f.write(bytes([0, 0, 8, a.ndim]) + b"".join(struct.pack(">I", n) for n in a.shape) + a.tobytes())


def trained(kind, x, y):
    torch.manual_seed(5)
    net = kind()
    opt = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(20):  # not further: float32 loses the gradient of a confident network
        opt.zero_grad()
        F.cross_entropy(net(x), y).backward()
        opt.step()
    return net.eval()


def data_and_nets():
    raw, y = digits()
    x = raw[:, None].float() / 255
    nets = {"mlp": trained(Mlp, x[N:1400], y[N:1400]), "conv": trained(Conv, x[N:1400], y[N:1400])}
    write_idx(f"{HERE}/data/digits-images.idx", raw[:N].numpy())
    write_idx(f"{HERE}/data/digits-labels.idx", y[:N].numpy())
    for name, net in nets.items():
        save_file({k: v.clone() for k, v in net.state_dict().items()}, f"{HERE}/data/attack_{name}.safetensors")
    return x[:N], y[:N], nets


# --- rein's draws ------------------------------------------------------------------------
M64 = (1 << 64) - 1


def stream_key(name, seed=1):
    """core/rng.c: FNV-1a of the name, mixed with the seed."""
    def mix(v):
        v = ((v ^ (v >> 30)) * 0xBF58476D1CE4E5B9) & M64
        v = ((v ^ (v >> 27)) * 0x94D049BB133111EB) & M64
        return v ^ (v >> 31)
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = ((h ^ c) * 0x100000001B3) & M64
    return mix(h ^ mix((seed + 0x9E3779B97F4A7C15) & M64))


def philox(counter, key):
    c, k = list(counter), [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def draws(name, shape, normal=False, loop=0, epoch=0, first=0):
    """Per sample, from number `first` on; its number in the second word, epoch and loop round in
    the third and fourth."""
    key, n = stream_key(name), int(np.prod(shape[1:]))
    out = np.zeros((shape[0], (n + 3) // 4 * 4))
    for s in range(shape[0]):
        for e in range(0, n, 4):
            w = [v >> 8 for v in philox((e // 4, first + s, epoch, loop), key)]
            if normal:
                for j in (0, 2):
                    r, a = math.sqrt(-2 * math.log((w[j] + 1) * 2**-24)), 6.283185307179586477 * (w[j + 1] * 2**-24)
                    out[s, e + j], out[s, e + j + 1] = r * math.cos(a), r * math.sin(a)
            else:
                out[s, e:e + 4] = [v * 2**-24 for v in w]
    return torch.tensor(out[:, :n].reshape(shape), dtype=torch.float32)


class Fed:
    """torch's uniform_ and normal draws of the wanted shape become these."""

    def __init__(self, uniform=None, normal=None, radius=None):
        self.u, self.n, self.radius = uniform, normal, radius

    def __enter__(self):
        self.kept = torch.Tensor.uniform_, torch.Tensor.normal_, torch.randn_like

        def uniform(t, a=0.0, b=1.0):
            u = self.radius.reshape(t.shape) if self.radius is not None and t.numel() == len(self.radius) else self.u
            return t.copy_(a + (b - a) * u)

        torch.Tensor.uniform_ = uniform
        torch.Tensor.normal_ = lambda t: t.copy_(self.n)
        torch.randn_like = lambda t: torch.zeros_like(t) if self.n is None else self.n.clone()

    def __exit__(self, *a):
        torch.Tensor.uniform_, torch.Tensor.normal_, torch.randn_like = self.kept


# --- exact cases ---------------------------------------------------------------------------
def foolbox(attack, epsilon, target=None):
    def run(net, x, y):
        crit = fb.criteria.TargetedMisclassification(target(net, x, y)) if target else fb.criteria.Misclassification(y)
        model = fb.PyTorchModel(net, bounds=(0, 1))
        return attack(model, x, crit, epsilons=epsilon)[0]
    return run


def ta(attack, **kw):
    return lambda net, x, y: attack(net, **kw)(x, y)


def ta_towards(attack, target, **kw):
    def run(net, x, y):
        a = attack(net, **kw)
        a.set_mode_targeted_by_label(quiet=True)
        return a(x, target(net, x, y))
    return run


def fed(how, **streams):
    def run(net, x, y):
        shape = tuple(x.shape)
        f = Fed(uniform=draws("a.start.0", shape) if "uniform" in streams else None,
                normal=streams["normal"] * draws("a.start.0", shape, normal=True) if "normal" in streams else None)
        with f:
            return how(net, x, y)
    return run


def both(*ways):
    """Several libraries, which must agree."""
    def run(net, x, y):
        first, *others = [w(net, x, y) for w in ways]
        for o in others:
            assert (first - o).abs().max() < 1e-5, (first - o).abs().max()
        return first
    return run


def next_class(net, x, y):
    return (y + 1) % 10


def least_likely(net, x, y):
    return net(x).argmin(1)


def ball_start(net, x, y):
    """PGD in l2 from a random point: torchattacks draws the radius evenly; rein the point."""
    d = draws("a.start.0", tuple(x.shape), normal=True)
    radius = draws("a.radius.0", (len(x), 1))[:, 0] ** (1 / 64)
    at = (x + 0.5 * (d / d.flatten(1).norm(dim=1).view(-1, 1, 1, 1) * radius.view(-1, 1, 1, 1))).clamp(0, 1)
    for _ in range(5):
        at = at.detach().requires_grad_()
        g, = torch.autograd.grad(F.cross_entropy(net(at), y, reduction="sum"), at)
        at = at.detach() + 0.1 * g / g.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
        d = at - x
        at = (x + d * (0.5 / d.flatten(1).norm(dim=1)).clamp(max=1).view(-1, 1, 1, 1)).clamp(0, 1)
    return at.detach()


class Draws:
    """torch.rand gives these arrays, one after another, each of the shape that is asked for."""

    def __init__(self, arrays):
        self.arrays = arrays

    def rand(self, *shape):
        u = next(self.arrays).reshape(-1)
        shape = list(shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)
        assert u.numel() == math.prod(shape), (u.shape, shape)
        return u.reshape(shape)

    def __enter__(self):
        self.kept, torch.rand = torch.rand, self.rand

    def __exit__(self, *a):
        torch.rand = self.kept


def square_draws(norm, number, shape, queries):
    """What the search draws for one sample, in the library's order, by rein's streams."""
    c, h, w = shape

    def one(name, *shape, loop=0):
        return draws(f"a.{name}.0", (1, *shape), loop=loop, first=number)
    if norm == "Linf":
        yield one("stripes", c, 1, w)
    else:
        tiles = (h // (h // 5)) * (w // (h // 5))
        signs, turns = one("signs", c, tiles), one("turns", tiles)
        for k in range(tiles):
            yield turns[:, k]
            yield signs[:, :, k]
    for i in range(queries):
        place = one("place", 2, loop=i)
        yield place[:, :1]
        yield place[:, 1:]
        if norm == "L2":
            second = one("from", 2, loop=i)
            yield second[:, :1]
            yield second[:, 1:]
            yield 1 - one("turn", 1, loop=i)  # the library turns where this is above 1/2, rein where it is below
        yield one("sign", c, loop=i)


def square(norm, eps, queries, **kw):
    """The library's search on each sample by itself, as rein searches: in a batch it gives all the
    same windows."""
    def run(net, x, y):
        a = torchattacks.Square(net, norm=norm, eps=eps, n_queries=queries, **kw)
        a.init_hyperparam(x)
        bad = x.clone()
        for k in range(len(x)):
            with Draws(square_draws(norm, k, x.shape[1:], queries)):
                bad[k] = a.attack_single_run(x[k:k + 1], y[k:k + 1])[1][0]
        return bad
    return run


A = fb.attacks
EXACT = {
    "fgsm": ("fgsm epsilon=0.1", both(foolbox(A.LinfFastGradientAttack(), 0.1), ta(torchattacks.FGSM, eps=0.1))),
    "fgsm_l2": ("fgsm epsilon=0.5 norm=l2", foolbox(A.L2FastGradientAttack(), 0.5)),
    "fgsm_l1": ("fgsm epsilon=3 norm=l1", foolbox(A.L1FastGradientAttack(), 3.0)),
    "fgsm_next": ("fgsm epsilon=0.1 target=next", ta_towards(torchattacks.FGSM, lambda net, x, y: (y + 1) % 10, eps=0.1)),
    "bim": ("pgd epsilon=0.1 alpha=0.02 steps=10 random_start=no",
            both(foolbox(A.LinfPGD(abs_stepsize=0.02, steps=10, random_start=False), 0.1),
                 ta(torchattacks.PGD, eps=0.1, alpha=0.02, steps=10, random_start=False))),
    "pgd": ("pgd epsilon=0.1 alpha=0.02 steps=10",
            fed(ta(torchattacks.PGD, eps=0.1, alpha=0.02, steps=10), uniform=True)),
    "pgd_least": ("pgd epsilon=0.1 alpha=0.02 steps=10 random_start=no target=least",
                  foolbox(A.LinfPGD(abs_stepsize=0.02, steps=10, random_start=False), 0.1, least_likely)),
    "pgd_l2": ("pgd norm=l2 epsilon=0.5 alpha=0.1 steps=10 random_start=no",
               both(foolbox(A.L2PGD(abs_stepsize=0.1, steps=10, random_start=False), 0.5),
                    ta(torchattacks.PGDL2, eps=0.5, alpha=0.1, steps=10, random_start=False))),
    "pgd_l2_start": ("pgd norm=l2 epsilon=0.5 alpha=0.1 steps=5", ball_start),
    "ffgsm": ("ffgsm epsilon=0.1 alpha=0.12", fed(ta(torchattacks.FFGSM, eps=0.1, alpha=0.12), uniform=True)),
    "rfgsm": ("ffgsm epsilon=0.1 alpha=0.05 start=sign",
              fed(ta(torchattacks.RFGSM, eps=0.1, alpha=0.05, steps=1), normal=1)),
    "mifgsm": ("mifgsm epsilon=0.1 alpha=0.02 steps=10", ta(torchattacks.MIFGSM, eps=0.1, alpha=0.02, steps=10)),
    "square": ("square epsilon=0.1 queries=60", square("Linf", 0.1, 60, resc_schedule=False)),
    "square_l2": ("square epsilon=0.8 norm=l2 queries=60", square("L2", 0.8, 60, resc_schedule=False)),
    # From where the library starts, 0.001 N, the divergence's gradient is a difference of almost equal
    # numbers, whose signs float32 does not settle: further away, step by step; from there, by figures.
    "tpgd": ("tpgd epsilon=0.1 alpha=0.02 steps=5 sigma=0.02",
             fed(ta(torchattacks.TPGD, eps=0.1, alpha=0.02, steps=5), normal=20)),
    "mifgsm_half": ("mifgsm epsilon=0.1 alpha=0.02 steps=5 momentum=0.5",
                    ta(torchattacks.MIFGSM, eps=0.1, alpha=0.02, steps=5, decay=0.5)),
}


def config(path, kind, attack, more, batch):
    lines = ["; made by make_attacks.py", "[run]", "config = 1", "epochs = 1", f"batch = {batch}", "shuffle = no",
             f"weights = ../data/attack_{kind}.safetensors", "", "[data]",
             "train = idx images=../data/digits-images.idx labels=../data/digits-labels.idx", "", "[network]"]
    lines += LINES[kind] + ["", "[loss]", "ce = cross_entropy", "", "[optimizer]", "sgd = sgd lr=0.1", "", "[attacks]",
                            "a = " + attack, ""] + more + [""]
    with open(path, "w") as f:
        f.write("\n".join(lines))


def exact(x, y, nets, only):
    for name, (line, how) in EXACT.items():
        for kind, net in nets.items():
            if only and name not in only:
                continue
            bad = how(net, x[:BATCH].clone(), y[:BATCH].clone()).detach()
            assert (bad - x[:BATCH]).abs().max() > 1e-3
            config(f"{HERE}/cases/attack_{name}_{kind}.ini", kind, line,
                   ["[regularizers]", "see = attack_probe attack=a"], BATCH)
            save_file({"state.see.x": bad.contiguous()}, f"{HERE}/cases/attack_{name}_{kind}.safetensors")
            print("exact", name, kind)


# --- measured cases ------------------------------------------------------------------------
def right(net, x, y):
    return net(x).argmax(1) == y


def smallest(attack, tolerance):
    """Success and mean norm over the initially correct; tolerance: relative, of the norm."""
    def run(net, x, y):
        ok = right(net, x, y)
        model = fb.PyTorchModel(net, bounds=(0, 1))
        bad = attack(model, x[ok], fb.criteria.Misclassification(y[ok]), epsilons=None)[0]
        won = ~right(net, bad, y[ok])
        norms = (bad - x[ok]).flatten(1).norm(dim=1)[won]
        return {"success": (won.float().mean().item(), 0.01), "mean_l2": (norms.mean().item(), tolerance * norms.mean().item())}
    return run


def robust(how, limit=N):
    def run(net, x, y):
        x, y = x[:limit], y[:limit]
        ok = right(net, x, y)
        still = right(net, how(net, x, y), y) & ok
        return {"robust_accuracy": (still.float().mean().item(), 0.01)}
    return run


def robust_mean(attack, **kw):
    """The mean over seeds: one try of a random attack is worth a sample or two in a hundred."""
    def run(net, x, y):
        ok, found = right(net, x, y), []
        for seed in range(8):
            found.append((right(net, attack(net, seed=seed, **kw)(x, y), y) & ok).float().mean().item())
        print([round(f, 3) for f in found])
        return {"robust_accuracy": (sum(found) / len(found), 0.01)}
    return run


def shifted(net, x, y):
    """Rotations and translations of whole pixels of the grid by torch's sampler; the worst for
    each: any that errs."""
    n = x.shape[-1]
    ok = torch.ones(len(x), dtype=torch.bool)
    v, u = torch.meshgrid(torch.arange(n) - (n - 1) / 2, torch.arange(n) - (n - 1) / 2, indexing="ij")
    for a in torch.linspace(-10, 10, 5).double() * math.pi / 180:
        for dx in torch.linspace(-0.5, 0.5, 5):
            for dy in torch.linspace(-0.5, 0.5, 5):
                c, s = float(torch.cos(a)), float(torch.sin(a))
                at = torch.stack([u * c - v * s + dx, u * s + v * c + dy], -1) / ((n - 1) / 2)
                moved = F.grid_sample(x, at.expand(len(x), n, n, 2).float(), align_corners=True)
                ok &= right(net, moved, y)
    return {"robust_accuracy": ((ok & right(net, x, y)).float().mean().item(), 0.01)}


def smallest_targeted(attack, tolerance):
    def run(net, x, y):
        model = fb.PyTorchModel(net, bounds=(0, 1))
        ok = right(net, x, y)
        t = next_class(net, x, y)
        bad = attack(model, x[ok], fb.criteria.TargetedMisclassification(t[ok]), epsilons=None)[0]
        won = net(bad).argmax(1) == t[ok]
        norms = (bad - x[ok]).flatten(1).norm(dim=1)[won]
        return {"success": (won.float().mean().item(), 0.01), "mean_l2": (norms.mean().item(), tolerance * norms.mean().item())}
    return run


FIGURES = {
    "tpgd": ("tpgd epsilon=0.1 alpha=0.02 steps=5",
             robust(fed(ta(torchattacks.TPGD, eps=0.1, alpha=0.02, steps=5), normal=1))),
    "deepfool": ("deepfool", smallest(A.L2DeepFoolAttack(loss="logits"), 1e-3)),
    "carlini_wagner": ("carlini_wagner steps=200 searches=6 initial=0.1 stepsize=0.05 abort_early=no",
                       smallest(A.L2CarliniWagnerAttack(binary_search_steps=6, steps=200, initial_const=0.1, stepsize=0.05,
                                                          abort_early=False), 0.005)),
    "carlini_wagner_next": ("carlini_wagner steps=200 searches=6 initial=0.1 stepsize=0.05 abort_early=no target=next",
                            smallest_targeted(A.L2CarliniWagnerAttack(binary_search_steps=6, steps=200, initial_const=0.1, stepsize=0.05,
                                                          abort_early=False), 0.005)),
    "apgd": ("apgd epsilon=0.08 steps=50", robust_mean(torchattacks.APGD, eps=0.08, steps=50)),
    "apgd_dlr": ("apgd epsilon=0.08 steps=50 loss=dlr", robust_mean(torchattacks.APGD, eps=0.08, steps=50, loss="dlr")),
    "apgd_l2": ("apgd epsilon=0.5 norm=l2 steps=50", robust_mean(torchattacks.APGD, norm="L2", eps=0.5, steps=50)),
    "apgd_targets": ("apgd epsilon=0.08 steps=20 loss=dlr targets=9",
                     robust_mean(torchattacks.APGDT, eps=0.08, steps=20, n_restarts=1, n_classes=10)),
    "square": ("square epsilon=0.1 queries=500", robust(square("Linf", 0.1, 500, resc_schedule=False), 100)),
    "square_rescaled": ("square epsilon=0.1 queries=300 rescale=yes", robust(square("Linf", 0.1, 300), 100)),
    "square_l2": ("square epsilon=0.8 norm=l2 queries=300", robust(square("L2", 0.8, 300, resc_schedule=False), 100)),
    "spatial": ("spatial rotation=10 translation=0.5", shifted),
}


def figures(x, y, nets, only):
    for name, (line, how) in FIGURES.items():
        for kind, net in nets.items():
            if only and name not in only:
                continue
            found = how(net, x.clone(), y.clone())
            limit = 100 if line.startswith("square") else N
            found["clean_accuracy"] = (right(net, x[:limit], y[:limit]).float().mean().item(), 1e-6)
            seeds = SEEDS if line.startswith("apgd") else 1
            config(f"{HERE}/attacks/{name}_{kind}.ini", kind, line, ["[stages]", f"robust = attack with=a split=train limit={limit}"] +
                   [f"\n[variant seed{k}]\nrun.seed = {k}" for k in range(1, seeds + 1) if seeds > 1], N)
            with open(f"{HERE}/attacks/{name}_{kind}.txt", "w") as f:
                f.write(f"seeds {seeds} 0\n")
                for k, (v, tol) in found.items():
                    f.write(f"a.{k} {v:.6f} {tol:.6f}\n")
            print("figures", name, kind, found)


# --- defences ------------------------------------------------------------------------------
def steps_of_pgd(net, x, y, epsilon=0.1, alpha=0.04, steps=4):
    return A.LinfPGD(abs_stepsize=alpha, steps=steps, random_start=False)(
        fb.PyTorchModel(net, bounds=(0, 1)), x, fb.criteria.Misclassification(y), epsilons=epsilon)[0].detach()


def adversarial(ratio):
    def objective(net, x, y, epoch, first, teacher):
        m = math.ceil(ratio * len(x))
        x = torch.cat([steps_of_pgd(net, x, y)[:m], x[m:]])
        loss = F.cross_entropy(net(x), y)
        return loss, loss
    return objective


def fast(net, x, y, epoch, first, teacher):
    """locuslab/fast_adversarial, train_fgsm: alpha 1.25 epsilon."""
    start = draws("fast.start.0", tuple(x.shape), epoch=epoch, first=first)
    delta = ((x + 0.1 * (2 * start - 1)).clamp(0, 1) - x).requires_grad_()
    g, = torch.autograd.grad(F.cross_entropy(net(x + delta), y, reduction="sum"), delta)
    delta = (delta.detach() + 0.125 * g.sign()).clamp(-0.1, 0.1)
    loss = F.cross_entropy(net((x + delta).clamp(0, 1)), y)
    return loss, loss


def distilled(alpha, hard, t):
    def objective(net, x, y, epoch, first, teacher):
        z = net(x)
        loss = F.cross_entropy(z, y)
        kl = F.kl_div(F.log_softmax(z / t, 1), F.softmax(teacher(x).detach() / t, 1), reduction="batchmean")
        return loss, alpha * t * t * kl + hard * loss
    return objective


def defensive(t):
    def objective(net, x, y, epoch, first, teacher):
        loss = F.cross_entropy(net(x) / t, F.softmax(teacher(x).detach() / t, 1))
        return loss, loss
    return objective


def squeezed(bits):
    def objective(net, x, y, epoch, first, teacher):
        levels = 2 ** bits - 1
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        x = padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(4).values
        loss = F.cross_entropy(net(torch.round(x * levels) / levels), y)
        return loss, loss
    return objective


PGD_LINE = "[attacks]\na = pgd epsilon=0.1 alpha=0.04 steps=4 random_start=no\n"
TEACHER = "\n".join(["[network old]"] + LINES["mlp"])
# name: lines of [regularizers], other sections, lines in front of and behind the network, objective
DEFENCES = {
    "adversarial_training": ("d = adversarial_training attack=a", PGD_LINE, [], [], adversarial(1)),
    "adversarial_half": ("d = adversarial_training attack=a ratio=0.53", PGD_LINE, [], [], adversarial(0.53)),
    "fbf": ("fast = fbf epsilon=0.1", "", [], [], fast),
    "distill": ("d = distill teacher=old alpha=0.7 temperature=3", TEACHER, [], [], distilled(0.7, 1, 3)),
    "distill_hard": ("d = distill teacher=old alpha=0.7 hard=0.3 temperature=4", TEACHER, [], [], distilled(0.7, 0.3, 4)),
    "defensive": ("d = defensive_distillation teacher=old temperature=5 after=0", TEACHER + "\nsoft = temperature t=5",
                  [], ["soft = temperature t=5"], defensive(5)),
    "squeeze": ("", "", ["sq = squeeze bits=3 median=yes"], [], squeezed(3)),
}


def defences(x, y, nets, only):
    for name, (line, sections, front, back, objective) in DEFENCES.items():
        if only and name not in only:
            continue
        net, teacher, out, losses = Mlp().eval(), trained(Mlp, x, y), {}, []
        net.load_state_dict(nets["mlp"].state_dict())
        for k, v in teacher.state_dict().items():
            if "network old" in sections:
                out["set.old." + k] = v.clone()
        opt = torch.optim.SGD(net.parameters(), 0.1)
        for epoch in range(2):
            for i in range(0, 80, BATCH):
                opt.zero_grad()
                loss, total = objective(net, x[i:i + BATCH], y[i:i + BATCH], epoch, i, teacher)
                opt.zero_grad()
                total.backward()
                losses.append(loss.detach())
                opt.step()
        out["loss"] = torch.stack(losses)
        out.update({"final." + k: v.detach().clone() for k, v in net.named_parameters()})
        lines = ["; made by make_attacks.py", "[run]", "config = 1", "epochs = 2", f"batch = {BATCH}", "shuffle = no",
                 "weights = ../data/attack_mlp.safetensors", "", "[data]",
                 "train = idx images=../data/digits-images.idx labels=../data/digits-labels.idx take=80", "", "[network]"]
        lines += front + LINES["mlp"] + back + ["", "[loss]", "ce = cross_entropy", "", "[optimizer]", "sgd = sgd lr=0.1", ""]
        lines += [sections, ""] + ["[regularizers]"] + ([line] if line else []) + ["probe = probe", ""]
        with open(f"{HERE}/cases/defence_{name}.ini", "w") as f:
            f.write("\n".join(lines))
        save_file({k: v.contiguous() for k, v in out.items()}, f"{HERE}/cases/defence_{name}.safetensors")
        print("defence", name, [round(v.item(), 4) for v in losses])


def detector(x, y, net, median):
    """Threshold, false positives and what it finds, computed with torch."""
    def score(x):
        p = F.softmax(net(x), 1)
        squeezers = [torch.round(x * 3) / 3, torch.round(x * 7) / 7]
        if median == "yes":
            padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
            squeezers.append(padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(4).values)
        return torch.stack([(p - F.softmax(net(s), 1)).abs().sum(1) for s in squeezers]).amax(0)
    clean = score(x)
    ok = right(net, x, y)
    at = clean[::2].sort().values[len(clean[::2]) - 1 - int(0.05 * len(clean[::2]))].item()
    bad = steps_of_pgd(net, x, y)
    won = ok & ~right(net, bad, y)
    found = {"r.sq.threshold": (at, 1e-4), "r.sq.false_positives": ((clean[1::2] > at).float().mean().item(), 0.011),
             "a.sq": ((score(bad)[won] > at).float().mean().item(), 0.011)}
    config(f"{HERE}/attacks/detector_{median}.ini", "mlp", "pgd epsilon=0.1 alpha=0.04 steps=4 random_start=no",
           ["[detectors]", "sq = squeeze bits=2,3 median=" + median, "", "[stages]", "r = attack with=a split=train detect=sq"], N)
    with open(f"{HERE}/attacks/detector_{median}.txt", "w") as f:
        f.write("seeds 1 0\n")
        for k, (v, tol) in found.items():
            f.write(f"{k} {v:.6f} {tol:.6f}\n")
    print("detector", found)


if __name__ == "__main__":
    data = data_and_nets()
    exact(*data, sys.argv[1:])
    figures(*data, sys.argv[1:])
    defences(*data, sys.argv[1:])
    if len(sys.argv) < 2 or "detector" in sys.argv:
        detector(data[0], data[1], data[2]["mlp"], "no")
        detector(data[0], data[1], data[2]["mlp"], "yes")
