#!/usr/bin/env python3
"""Training speed of PyTorch on the networks of the *.ini files beside this script.

    torch_bench.py NET --threads 2 --seconds 3 [--channels-last] [--device cuda] [--fp32] [--compile]

One JSON line: samples per second of whole training steps (shuffled batch gathered from
tensors in memory, forward, loss, backward, optimizer) and the process's peak memory. The
data are float tensors ready to use, so nothing is decoded or copied from the host: what
PyTorch does best. Networks, batch sizes and optimizers are those of the .ini files.

On a GPU PyTorch convolves in TF32 unless it is told otherwise: --fp32 tells it. --compile is
torch.compile with mode="max-autotune", which on a GPU makes CUDA graphs.
"""
import argparse
import json
import resource
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Mlp(nn.Module):
    def __init__(self, sizes, activation):
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(i, o) for i, o in zip(sizes[:-1], sizes[1:]))
        self.activation = activation

    def forward(self, x):
        x = torch.flatten(x, 1)
        for layer in self.fc[:-1]:
            x = self.activation(layer(x))
        return self.fc[-1](x)


def animal_mlp():
    net = Mlp([3072, 128, 32, 3], F.relu)
    return net, torch.optim.SGD(net.parameters(), lr=0.005, momentum=0.99), (3, 32, 32), 3, 100, 2000


def toy_regression():
    net = Mlp([1, 300, 500, 1], F.leaky_relu)
    return net, torch.optim.Adam(net.parameters(), lr=1e-4), (1,), 0, 10, 10


def fashion_mlp():
    net = Mlp([784, 120, 84, 10], torch.sigmoid)
    return net, torch.optim.SGD(net.parameters(), lr=1.0), (1, 28, 28), 10, 512, 6144


def conv_block(channels, filters, kernel):
    return [nn.Conv2d(channels, filters, kernel, padding=kernel // 2), nn.BatchNorm2d(filters), nn.ReLU()]


def mnist_cnn():
    net = nn.Sequential(*conv_block(1, 16, 5), *conv_block(16, 16, 3), nn.MaxPool2d(2), *conv_block(16, 32, 3),
                        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(7 * 7 * 32, 300), nn.Linear(300, 10))
    return net, torch.optim.Adam(net.parameters(), lr=1e-3), (1, 28, 28), 10, 100, 6000


def lenet():
    net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5),
                        nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(),
                        nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10))
    return net, torch.optim.SGD(net.parameters(), lr=1.0), (1, 28, 28), 10, 512, 6144


def alexnet_head():
    """The layers of torchvision's alexnet; all but a new last one are frozen."""
    net = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(True), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(True),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(True),
        nn.Linear(4096, 81))
    net[:-1].requires_grad_(False)
    return net, torch.optim.Adam(net[-1].parameters(), lr=3e-3), (3, 224, 224), 81, 64, 128


def mnist_pgd(threads, seconds):
    """foolbox's PGD of 20 steps on mnist_cnn in evaluation mode, batches of 100."""
    import foolbox
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    net, x, y = mnist_cnn()[0].eval(), torch.rand(100, 1, 28, 28), torch.randint(10, (100,))
    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(steps=20, abs_stepsize=0.0125, random_start=False)
    attack(model, x, y, epsilons=0.1)
    start, batches = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        attack(model, x, y, epsilons=0.1)
        batches += 1
    took = time.perf_counter() - start
    return {"net": "mnist_pgd", "version": torch.__version__ + " with foolbox " + foolbox.__version__,
            "threads": threads, "channels_last": False, "samples_per_s": 100 * batches / took,
            "step_us": 1e6 * took / batches, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


NETS = {f.__name__: f for f in (toy_regression, animal_mlp, fashion_mlp, lenet, mnist_cnn, alexnet_head)}


def epoch(net, opt, x, y, batch, loss):
    """One pass in a new order; the sum of the losses stays on the device until the end."""
    order, total = torch.randperm(len(x), device=x.device), torch.zeros((), device=x.device)
    for part in order[: len(x) // batch * batch].split(batch):
        value = loss(net(x[part]), y[part])
        opt.zero_grad(set_to_none=True)
        value.backward()
        opt.step()
        total += value.detach()
    return float(total)


def measure(name, threads, seconds, channels_last, device="cpu", fp32=False, compiled=False):
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    if fp32:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    net, opt, shape, classes, batch, samples = NETS[name]()
    net.to(device)  # in place: the optimizer's parameters are these
    x = torch.randn(samples, *shape, device=device)
    y = torch.randint(classes, (samples,), device=device) if classes else torch.randn(samples, 1, device=device)
    loss = F.cross_entropy if classes else F.mse_loss
    if channels_last:
        x, net = x.to(memory_format=torch.channels_last), net.to(memory_format=torch.channels_last)
    if compiled:
        net = torch.compile(net, mode="max-autotune")
    for _ in range(3 if samples > batch else 100):
        epoch(net, opt, x, y, batch, loss)
    start, epochs = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        epoch(net, opt, x, y, batch, loss)
        epochs += 1
    took = time.perf_counter() - start
    steps = epochs * (samples // batch)
    return {"net": name, "version": torch.__version__, "threads": threads, "channels_last": channels_last,
            "device": torch.cuda.get_device_name() if device == "cuda" else device, "fp32": fp32, "compile": compiled,
            "samples_per_s": steps * batch / took, "step_us": 1e6 * took / steps,
            "device_mib": torch.cuda.max_memory_reserved() / (1 << 20) if device == "cuda" else 0,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("net", choices=[*NETS, "mnist_pgd"])
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--seconds", type=float, default=3)
    ap.add_argument("--channels-last", action="store_true", help="images as (N,H,W,C) in memory")
    ap.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    ap.add_argument("--fp32", action="store_true", help="no TF32 anywhere")
    ap.add_argument("--compile", action="store_true", help="torch.compile, mode max-autotune")
    a = ap.parse_args()
    if a.net == "mnist_pgd":
        print(json.dumps(mnist_pgd(a.threads, a.seconds)))
    else:
        print(json.dumps(measure(a.net, a.threads, a.seconds, a.channels_last, a.device, a.fp32, a.compile)))
