#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes fixtures.h: results of PyTorch in double for ops whose loops are worth a second
opinion. Inputs are multiples of 1/32, so that float and double runs start from the same.
Usage: make_fixtures.py > fixtures.h"""
import torch
import torch.nn.functional as F

torch.manual_seed(5)
torch.set_default_dtype(torch.float64)


def draw(*shape):
    return torch.randint(-96, 97, shape).double() / 32


def array(name, t):
    v = t.detach().reshape(-1).tolist()
    print(f"static const double {name}[] = {{ {', '.join('NAN' if x != x else repr(x) for x in v)} }};")


def case(name, **tensors):
    for key, t in tensors.items():
        array(f"{name}_{key}", t)


print("/* SPDX-License-Identifier: MIT")
print(" *")
print(" * Made by make_fixtures.py with PyTorch; not to be edited. */")
print("/* clang-format off */")
print("#include <math.h>")

# conv2d: name, N, C, H, W, O, kh, kw, stride, pad, dilation, groups
convs = [
    ("plain", 2, 3, 6, 5, 4, 3, 2, (1, 1), (0, 0), (1, 1), 1),
    ("strided", 2, 2, 7, 8, 3, 3, 3, (2, 3), (1, 2), (1, 1), 1),
    ("dilated", 1, 4, 9, 7, 6, 3, 2, (1, 2), (2, 1), (2, 3), 2),
    ("depthwise", 2, 3, 5, 5, 6, 2, 2, (2, 1), (1, 0), (1, 1), 3),
]
for name, n, c, h, w, o, kh, kw, s, p, d, g in convs:
    x, wt = draw(n, c, h, w).requires_grad_(), draw(o, c // g, kh, kw).requires_grad_()
    y = F.conv2d(x, wt, None, s, p, d, g)
    gy = draw(*y.shape)
    gx, gw = torch.autograd.grad(y, (x, wt), gy)
    case("conv_" + name, x=x, w=wt, y=y, g=gy, dx=gx, dw=gw)
    print(f"static const int64_t conv_{name}_shape[] = {{ {n}, {c}, {h}, {w}, {o}, {kh}, {kw}, {s[0]}, {s[1]}, {p[0]}, "
          f"{p[1]}, {d[0]}, {d[1]}, {g}, {y.shape[2]}, {y.shape[3]} }};")

# pooling: name, N, C, H, W, kh, kw, stride, pad, dilation
pools = [
    ("plain", 2, 3, 6, 4, 2, 2, (2, 2), (0, 0), (1, 1)),
    ("overlap", 1, 2, 7, 7, 3, 3, (2, 2), (1, 1), (1, 1)),
    ("uneven", 2, 2, 8, 9, 3, 2, (1, 3), (1, 1), (2, 1)),
]
for name, n, c, h, w, kh, kw, s, p, d in pools:
    # few distinct numbers: many ties
    x = (torch.randint(-3, 4, (n, c, h, w)).double() / 2).requires_grad_()
    y, i = F.max_pool2d(x, (kh, kw), s, p, d, return_indices=True)
    gy = draw(*y.shape)
    (gx,) = torch.autograd.grad(y, x, gy)
    case("max_" + name, x=x, y=y, i=i, g=gy, dx=gx)
    print(f"static const int64_t max_{name}_shape[] = {{ {n}, {c}, {h}, {w}, {kh}, {kw}, {s[0]}, {s[1]}, {p[0]}, {p[1]}, "
          f"{d[0]}, {d[1]}, {y.shape[2]}, {y.shape[3]} }};")
    if d != (1, 1):
        continue
    for count_pad in (0, 1):
        y = F.avg_pool2d(x, (kh, kw), s, p, count_include_pad=bool(count_pad))
        gy = draw(*y.shape)
        (gx,) = torch.autograd.grad(y, x, gy)
        case(f"avg_{name}{count_pad}", y=y, g=gy, dx=gx)

# batch norm over (N,H,W)
x, gamma, beta = (draw(3, 4, 2, 5).requires_grad_(), draw(4).requires_grad_(), draw(4).requires_grad_())
y = F.batch_norm(x, None, None, gamma, beta, True, 0.1, 1e-5)
gy = draw(*y.shape)
gx, gg, gb = torch.autograd.grad(y, (x, gamma, beta), gy)
mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
case("bn", x=x, gamma=gamma, beta=beta, y=y, mean=mean, var=var, inv=1 / torch.sqrt(var + 1e-5), g=gy, dx=gx,
     dgamma=gg, dbeta=gb)

# sort with ties, signed zeros and infinities; NaN ranks above +inf
x = torch.tensor([[3.0, -0.0, 0.0, 3.0, -1.0, float("inf"), 2.0, -float("inf"), 3.0],
                  [1.0, float("nan"), 5.0, 1.0, float("nan"), -2.0, 5.0, float("inf"), 0.0]])
for name, descending in (("up", False), ("down", True)):
    v, i = torch.sort(x, stable=True, dim=-1, descending=descending)
    case("sort_" + name, v=v.nan_to_num(nan=99.0, posinf=77.0, neginf=-77.0), i=i)

# bilinear sampling at pixel coordinates, taps outside count as 0
x = draw(2, 2, 4, 5)
xy = torch.rand(2, 3, 6, 2) * torch.tensor([7.0, 6.0]) - 1.5
xy = (xy * 32).round() / 32
grid = 2 * xy / torch.tensor([4.0, 3.0]) - 1
case("warp", x=x, xy=xy, bilinear=F.grid_sample(x, grid, "bilinear", "zeros", align_corners=True))

# log softmax and cross-entropy
z, p = draw(4, 5) * 4, draw(4, 5).abs()
case("ce", z=z, p=p, ls=F.log_softmax(z, 1), ls0=F.log_softmax(z, 0), hard=F.cross_entropy(z, torch.tensor([4, 0, 2, 2]), reduction="none"),
     soft=-(p * F.log_softmax(z, 1)).sum(1))
