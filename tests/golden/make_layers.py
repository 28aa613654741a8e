#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the golden fixtures of layers of images; see make_fixtures.py, whose files these join.

Images are 9 high and 7 wide. Initial weights are PyTorch's (rng = torch), so cases but one need no
file of weights; the reference then trains in double. A convolution in front makes the gradient with
respect to the layer's input show in its weights' gradient. Needs torch and safetensors:
    python3 tests/golden/make_layers.py
"""
import os
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, HEIGHT, WIDTH = 40, 9, 7
torch.set_num_threads(1)


def write_data():
    gen = torch.Generator().manual_seed(5)
    number = torch.randint(0, 3, (ROWS,), generator=gen)
    image = torch.randint(0, 256, (ROWS, HEIGHT, WIDTH), generator=gen)
    with open(f"{HERE}/data/planes.idx", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, ROWS, HEIGHT, WIDTH) + bytes(image.flatten().tolist()))
    with open(f"{HERE}/data/planes-labels.idx", "wb") as f:
        f.write(struct.pack(">II", 0x801, ROWS) + bytes(number.tolist()))
    return image.unsqueeze(1).double() / 255, number


class Same(nn.Conv2d):
    def __init__(self, i, o, k, **kw):
        super().__init__(i, o, k, padding="same", **kw)


class Net(nn.Module):
    """Layers by name, in order; a layer with inputs takes those, else the one above."""

    def __init__(self, layers):
        super().__init__()
        self.order = []
        for name, layer, *inputs in layers:
            if isinstance(layer, nn.Module):
                self.add_module(name, layer)
            self.order.append((name, layer, inputs))

    def forward(self, x):
        out = {"input": x}
        for name, layer, inputs in self.order:
            x = layer(*[out[i] for i in inputs]) if inputs else layer(x)
            out[name] = x
        return x


FLAT = ("flat", lambda x: x.flatten(1))
RELU = ("act", torch.relu)


def conv(o=4, i=1, k=3, **kw):
    return nn.Conv2d(i, o, k, **kw)


def fc(i):
    return ("out", nn.Linear(i, 3))


def started(by, *args, **kw):
    """A convolution whose weight is drawn by `by` instead of PyTorch's default, its bias zero."""
    before = torch.get_rng_state()
    layer = conv(*args, **kw)
    torch.set_rng_state(before)
    by(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


FRONT = "front = conv2d filters=4 kernel=3\n"  # (4,7,5)
BACK = "\nflat = flatten\nout = linear units=3"


# name: (lines of [network] before flatten, the same in PyTorch, keys of a case)
def cases():
    front = lambda: ("front", conv())
    tail = lambda n: [FLAT, fc(n)]
    one = lambda line, layer, n: (FRONT + "it = " + line, lambda: [front(), ("it", layer()), *tail(n)], {})
    return {
        "conv2d": ("it = conv2d filters=3 kernel=3,2 padding=1,0", lambda: [("it", conv(3, 1, (3, 2), padding=(1, 0))), *tail(3 * 9 * 6)], {}),
        "conv2d_stride": one("conv2d filters=5 kernel=3 stride=2,1 padding=1", lambda: conv(5, 4, 3, stride=(2, 1), padding=1), 5 * 4 * 5),
        "conv2d_stride_rest": one("conv2d filters=5 kernel=2,3 stride=3,2", lambda: conv(5, 4, (2, 3), stride=(3, 2)), 5 * 2 * 2),
        "conv2d_dilation": one("conv2d filters=5 kernel=3,2 dilation=2,3", lambda: conv(5, 4, (3, 2), dilation=(2, 3)), 5 * 3 * 2),
        "conv2d_groups": one("conv2d filters=6 kernel=3,1 groups=2 bias=no", lambda: conv(6, 4, (3, 1), groups=2, bias=False), 6 * 5 * 5),
        "conv2d_depthwise": one("conv2d filters=8 kernel=3 groups=4 stride=2", lambda: conv(8, 4, 3, groups=4, stride=2), 8 * 3 * 2),
        "conv2d_same": one("conv2d filters=3 kernel=4,3 same=yes", lambda: Same(4, 3, (4, 3)), 3 * 7 * 5),
        "conv2d_same_dilated": one("conv2d filters=3 kernel=2 same=yes dilation=3,1", lambda: Same(4, 3, 2, dilation=(3, 1)), 3 * 7 * 5),
        "conv2d_all": one("conv2d filters=6 kernel=2,3 stride=2,1 padding=2,1 dilation=3,2 groups=2",
                          lambda: conv(6, 4, (2, 3), stride=(2, 1), padding=(2, 1), dilation=(3, 2), groups=2), 6 * 4 * 3),
        "conv2d_one": one("conv2d filters=5 kernel=1", lambda: conv(5, 4, 1), 5 * 7 * 5),
        "conv2d_xavier": one("conv2d filters=6 kernel=3 groups=2 init=xavier_uniform",
                             lambda: started(nn.init.xavier_uniform_, 6, 4, 3, groups=2), 6 * 5 * 3),
        "conv2d_kaiming": one("conv2d filters=6 kernel=3,2 groups=2 init=kaiming_normal",
                              lambda: started(nn.init.kaiming_normal_, 6, 4, (3, 2), groups=2), 6 * 5 * 4),
        "maxpool": one("maxpool size=2", lambda: nn.MaxPool2d(2), 4 * 3 * 2),
        "maxpool_over": one("maxpool size=3,2 stride=2,1 padding=1", lambda: nn.MaxPool2d((3, 2), (2, 1), 1), 4 * 4 * 6),
        "maxpool_dilation": one("maxpool size=2,3 stride=1 padding=0,1 dilation=3,2",
                                lambda: nn.MaxPool2d((2, 3), 1, (0, 1), (3, 2)), 4 * 4 * 3),
        "avgpool": one("avgpool size=2,3", lambda: nn.AvgPool2d((2, 3)), 4 * 3),
        "avgpool_pad": one("avgpool size=3 stride=2 padding=1", lambda: nn.AvgPool2d(3, 2, 1), 4 * 4 * 3),
        "avgpool_inside": one("avgpool size=3 stride=2 padding=1 count_include_pad=no",
                              lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), 4 * 4 * 3),
        "adaptive_avgpool": one("adaptive_avgpool size=1,5", lambda: nn.AdaptiveAvgPool2d((1, 5)), 4 * 5),
        "adaptive_avgpool_uneven": one("adaptive_avgpool size=3,2", lambda: nn.AdaptiveAvgPool2d((3, 2)), 4 * 6),
        "adaptive_avgpool_more": one("adaptive_avgpool size=9,2", lambda: nn.AdaptiveAvgPool2d((9, 2)), 4 * 18),
        "batchnorm": (FRONT + "bn = batchnorm\nact = relu\npool = maxpool size=2",
                      lambda: [front(), ("bn", nn.BatchNorm2d(4)), RELU, ("pool", nn.MaxPool2d(2)), *tail(4 * 3 * 2)], {}),
        "batchnorm_options": (FRONT + "bn = batchnorm momentum=0.3 eps=1e-2\nact = sigmoid",
                              lambda: [front(), ("bn", nn.BatchNorm2d(4, 1e-2, 0.3)), ("act", torch.sigmoid), *tail(4 * 35)], {}),
        "batchnorm_plain": (FRONT + "bn = batchnorm affine=no", lambda: [front(), ("bn", nn.BatchNorm2d(4, affine=False)), *tail(4 * 35)], {}),
        "batchnorm_rows": ("rows = flatten\nfc1 = linear units=6\nbn = batchnorm\nact = tanh",
                           lambda: [("rows", lambda x: x.flatten(1)), ("fc1", nn.Linear(63, 6)), ("bn", nn.BatchNorm1d(6)),
                                    ("act", torch.tanh), *tail(6)], {}),
        "batchnorm_weights": (FRONT + "bn = batchnorm\nact = relu", lambda: [front(), ("bn", nn.BatchNorm2d(4)), RELU, *tail(4 * 35)],
                              {"weights": "planes_bn"}),
        "batchnorm_remainder": (FRONT + "bn = batchnorm\nact = relu", lambda: [front(), ("bn", nn.BatchNorm2d(4)), RELU, *tail(4 * 35)],
                                {"batch": 11}),
        "add": (FRONT + "b1 = conv2d filters=4 kernel=3 padding=1\nb2 = conv2d filters=4 kernel=1 input=front\nit = add input=b1,front,b2\nact = relu",
                lambda: [front(), ("b1", conv(4, 4, 3, padding=1)), ("b2", conv(4, 4, 1), "front"),
                         ("it", lambda a, b, c: a + b + c, "b1", "front", "b2"), RELU, *tail(4 * 35)], {}),
        "concat": (FRONT + "b1 = conv2d filters=2 kernel=3 padding=1\nit = concat input=b1,front\nact = relu",
                   lambda: [front(), ("b1", conv(2, 4, 3, padding=1)), ("it", lambda a, b: torch.cat((a, b), 1), "b1", "front"), RELU, *tail(6 * 35)], {}),
        "concat_rows": (FRONT + "b1 = conv2d filters=4 kernel=2,1\nit = concat axis=2 input=front,b1",
                        lambda: [front(), ("b1", conv(4, 4, (2, 1))), ("it", lambda a, b: torch.cat((a, b), 2), "front", "b1"), *tail(4 * 13 * 5)], {}),
        "lenet_small": ("c1 = conv2d filters=3 kernel=3 padding=1\na1 = sigmoid\np1 = avgpool size=2\nc2 = conv2d filters=4 kernel=2\na2 = sigmoid",
                        lambda: [("c1", conv(3, 1, 3, padding=1)), ("a1", torch.sigmoid), ("p1", nn.AvgPool2d(2)), ("c2", conv(4, 3, 2)),
                                 ("a2", torch.sigmoid), *tail(4 * 3 * 2)], {"lr": 1.0}),
        "cnn_small": ("c1 = conv2d filters=4 kernel=5 padding=2\nb1 = batchnorm\na1 = relu\np1 = maxpool size=2\nc2 = conv2d filters=6 kernel=3 padding=1\n"
                      "b2 = batchnorm\na2 = relu\np2 = maxpool size=2",
                      lambda: [("c1", conv(4, 1, 5, padding=2)), ("b1", nn.BatchNorm2d(4)), ("a1", torch.relu), ("p1", nn.MaxPool2d(2)),
                               ("c2", conv(6, 4, 3, padding=1)), ("b2", nn.BatchNorm2d(6)), ("a2", torch.relu), ("p2", nn.MaxPool2d(2)), *tail(6 * 2)], {}),
    }


def write_ini(name, lines, options):
    start = f"weights = ../data/{options['weights']}.safetensors" if "weights" in options else "rng = torch\nseed = 1"
    with open(f"{HERE}/cases/image_{name}.ini", "w") as f:
        f.write("; made by make_layers.py\n[run]\nconfig = 1\nepochs = 2\n"
                f"batch = {options.get('batch', 8)}\nshuffle = no\n{start}\n\n"
                "[data]\ntrain = idx images=../data/planes.idx labels=../data/planes-labels.idx\n\n"
                f"[network]\n{lines}{BACK}\n\n[loss]\nce = cross_entropy\n\n[optimizer]\n"
                f"opt = sgd lr={options.get('lr', 0.1)}\n\n[regularizers]\nprobe = probe\n")


def run(make, options, x, y):
    torch.manual_seed(1)
    net = Net(make())
    if "weights" in options:  # a whole state_dict, running statistics and the count of batches included
        net(x.float())
        save_file(net.state_dict(), f"{HERE}/data/{options['weights']}.safetensors")
    net = net.double()
    # not Adam: it makes whole steps of the rounding in gradients that are 0, as of biases before batchnorm
    opt = torch.optim.SGD(net.parameters(), lr=options.get("lr", 0.1))
    batch, loss_list, out = options.get("batch", 8), [], {}
    for _ in range(2):
        for i in range(0, ROWS, batch):
            loss = F.cross_entropy(net(x[i:i + batch]), y[i:i + batch])
            opt.zero_grad()
            loss.backward()
            if not loss_list:
                out.update({"grad." + k: p.grad.clone() for k, p in net.named_parameters()})
            loss_list.append(loss.detach())
            opt.step()
    out["loss"] = torch.stack(loss_list)[:10]
    out.update({"final." + k: p.detach() for k, p in net.named_parameters()})
    out.update({"state." + k: b for k, b in net.named_buffers() if b.dim()})
    return {k: v.float().contiguous() for k, v in out.items()}


def main():
    x, y = write_data()
    table = cases()
    for name, (lines, make, options) in table.items():
        write_ini(name, lines, options)
        save_file(run(make, options, x, y), f"{HERE}/cases/image_{name}.safetensors")
    print(len(table), "cases")


if __name__ == "__main__":
    main()
