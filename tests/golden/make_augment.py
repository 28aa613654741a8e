#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes augment.ini and augment.safetensors: augmentations with their draws fixed, against torchvision.

A case is a line of [augmentations]. Draws are uniform numbers in [0,1) that the test feeds to the
streams of the recording, "feed.<case>.<stream>.0", with .1, .2 behind a stream drawn from again; the
parameters that come of them are computed here once more and given to torchvision.transforms.functional.
Images are bytes / 255, as rein sees stored bytes. "<case>.y" is the result, "<case>.tolerance" the largest
difference allowed: 1e-6 (rounding of bytes / 255) where pixels only move or are counted as bytes, 2e-5
where numbers are computed. Needs torch, torchvision, scipy and safetensors:
    python3 tests/golden/make_augment.py
"""
import math
import os

import torch
import torchvision.transforms.functional as F
from safetensors.torch import save_file
from scipy.stats import beta
from torchvision.transforms import InterpolationMode as I
from torchvision.transforms.autoaugment import _apply_op

HERE = os.path.dirname(os.path.abspath(__file__))
N, H, W = 6, 9, 12
EXACT, CLOSE = 1e-6, 2e-5
gen = torch.Generator().manual_seed(11)
lines, out = [], {}


def smooth_bytes(channels):
    """Random images whose neighbours resemble each other, and one flat channel."""
    x = torch.randint(0, 256, (N, channels, H, W), generator=gen).float()
    x = (x + x.roll(1, -1) + x.roll(1, -2)) / 3
    x[1, 0] = 77
    return x.round() / 255


rgb, grey = smooth_bytes(3), smooth_bytes(1)
out["rgb"], out["grey"] = rgb, grey
label = torch.tensor([0, 2, 1, 1, 0, 2], dtype=torch.float)
out["label"] = label


def u(*shape):
    return torch.randint(0, 1 << 24, shape or (N,), generator=gen).double() / (1 << 24)


def case(name, spec, y, tolerance, feeds, x="rgb", target=None):
    lines.append(f"{name} = {spec}")
    out[name + ".y"] = y.float().contiguous()
    out[name + ".tolerance"] = torch.tensor([tolerance])
    out[name + ".x"] = torch.tensor([0.0 if x == "rgb" else 1.0])
    if target is not None:
        out[name + ".target"] = target.float().contiguous()
    for stream, v in feeds.items():
        out[f"feed.{name}.{stream}"] = v.float().contiguous()


def each(f, x=rgb):
    return torch.stack([f(x[i], i) for i in range(N)])


def within(v, lo, hi):
    return lo + v * (hi - lo)


def below(v, n):
    return int(math.floor(float(v) * n))


def far_from_ties(angles, **k):
    """Nearest pixels are decided by less than rounding where coordinates are near a half."""
    for a in angles:
        t = math.radians(a)
        for y in range(H):
            for x in range(W):
                c, r = x - (W - 1) / 2, y - (H - 1) / 2
                for v in (math.cos(t) * c - math.sin(t) * r + (W - 1) / 2, math.sin(t) * c + math.cos(t) * r + (H - 1) / 2):
                    assert abs(v - math.floor(v) - 0.5) > 1e-4, "another seed, please"


def flips():
    p = u()
    case("hflip", "hflip", each(lambda x, i: F.hflip(x) if p[i] < 0.5 else x), EXACT, {"p.0": p})
    p = u()
    case("vflip", "vflip p=0.3", each(lambda x, i: F.vflip(x) if p[i] < 0.3 else x, grey), EXACT, {"p.0": p}, "grey")
    case("hflip_all", "hflip p=1", F.hflip(rgb), EXACT, {})


def crops():
    for mode in ("constant", "edge", "reflect"):
        top, left, fill = u(), u(), 0.25 if mode == "constant" else 0
        key = "fill=0.25" if mode == "constant" else ""

        def crop(x, i):
            padded = F.pad(x, [3, 2], fill, mode)
            return F.crop(padded, below(top[i], H + 4 - 7 + 1), below(left[i], W + 6 - 8 + 1), 7, 8)

        case("crop_" + mode, f"random_crop size=7,8 padding=3,2 mode={mode} {key}", each(crop), EXACT,
             {"top.0": top, "left.0": left})
    for name, antialias, scale in (("zoom", True, "0.3,0.9"), ("zoom_plain", False, "0.3,0.9"), ("zoom_small", True, "1,1")):
        size = (4, 5) if name == "zoom_small" else (H, W)
        a, s, top, left = u(N, 10), u(N, 10), u(), u()
        lo, hi = (float(v) for v in scale.split(","))

        def crop(x, i):
            for k in range(10):
                area, ratio = within(a[i, k], lo, hi) * H * W, math.exp(within(s[i, k], math.log(3 / 4), math.log(4 / 3)))
                w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
                if 0 < w <= W and 0 < h <= H:
                    break
            else:  # wider than 4/3
                return F.resized_crop(x, 0, (W - round(H * 4 / 3)) // 2, H, round(H * 4 / 3), size, I.BILINEAR, antialias=antialias)
            return F.resized_crop(x, below(top[i], H - h + 1), below(left[i], W - w + 1), h, w, size, I.BILINEAR, antialias=antialias)

        case(name, f"resized_crop scale={scale} antialias={'yes' if antialias else 'no'} size={size[0]},{size[1]}", each(crop), CLOSE,
             {"area.0": a, "shape.0": s, "top.0": top, "left.0": left})


def geometry():
    a = u()
    far_from_ties(within(a, -40, 40))
    case("rotate", "rotate degrees=40", each(lambda x, i: F.rotate(x, float(within(a[i], -40, 40)))), EXACT, {"angle.0": a})
    case("rotate_fill", "rotate degrees=-40,40 fill=0.5", each(lambda x, i: F.rotate(x, float(within(a[i], -40, 40)), fill=0.5), grey),
         EXACT, {"angle.0": a}, "grey")
    case("rotate_bilinear", "rotate degrees=40 interpolation=bilinear",
         each(lambda x, i: F.rotate(x, float(within(a[i], -40, 40)), I.BILINEAR)), CLOSE, {"angle.0": a})
    a, sx, sy, hx, hy, z = u(), u(), u(), u(), u(), u()

    def move(mode):
        return lambda x, i: F.affine(
            x, float(within(a[i], -20, 20)),
            [round(float(within(sx[i], -0.2 * W, 0.2 * W))), round(float(within(sy[i], -0.3 * H, 0.3 * H)))],
            float(within(z[i], 0.8, 1.3)), [float(within(hx[i], -10, 15)), float(within(hy[i], -5, 5))], mode)

    feeds = {"angle.0": a, "shift_x.0": sx, "shift_y.0": sy, "shear_x.0": hx, "shear_y.0": hy, "scale.0": z}
    keys = "degrees=20 translate=0.2,0.3 scale=0.8,1.3 shear=-10,15,-5,5"
    case("affine", f"affine {keys}", each(move(I.NEAREST)), EXACT, feeds)
    case("affine_bilinear", f"affine {keys} interpolation=bilinear", each(move(I.BILINEAR)), CLOSE, feeds)


def colours():
    b, c, s, h, order = u(), u(), u(), u(), u(N, 4)

    def jitter(x, i):
        for k in order[i].argsort().tolist():
            if k == 0:
                x = F.adjust_brightness(x, float(within(b[i], 0.5, 1.5)))
            elif k == 1:
                x = F.adjust_contrast(x, float(within(c[i], 0.2, 0.6)))
            elif k == 2:
                x = F.adjust_saturation(x, float(within(s[i], 0, 3)))
            else:
                x = F.adjust_hue(x, float(within(h[i], -0.4, 0.4)))
        return x

    feeds = {"brightness.0": b, "contrast.0": c, "saturation.0": s, "hue.0": h, "order.0": order}
    case("color_jitter", "color_jitter brightness=0.5 contrast=0.2,0.6 saturation=2 hue=0.4", each(jitter), CLOSE, feeds)
    case("hue", "color_jitter hue=0.4", each(lambda x, i: F.adjust_hue(x, float(within(h[i], -0.4, 0.4)))), CLOSE, feeds)
    case("jitter_grey", "color_jitter brightness=0.5", each(lambda x, i: F.adjust_brightness(x, float(within(b[i], 0.5, 1.5))), grey),
         CLOSE, feeds, "grey")
    f = u()
    case("sharpness", "sharpness factor=0,3 p=1", each(lambda x, i: F.adjust_sharpness(x, float(within(f[i], 0, 3)))), CLOSE, {"factor.0": f})
    byte = lambda x: (x * 255).round().to(torch.uint8)
    v = u()
    case("posterize", "posterize bits=2,6 p=1", each(lambda x, i: F.posterize(byte(x), 2 + below(v[i], 5)).float() / 255), EXACT, {"bits.0": v})
    t = u()
    case("solarize", "solarize threshold=0.2,0.8 p=1", each(lambda x, i: F.solarize(x, float(within(t[i], 0.2, 0.8)))), EXACT, {"threshold.0": t})
    case("solarize_byte", "solarize p=1", F.solarize(byte(rgb), 128).float() / 255, EXACT, {"threshold.0": u()})
    case("invert", "invert p=1", F.invert(rgb), EXACT, {})
    case("autocontrast", "autocontrast p=1", F.autocontrast(rgb), EXACT, {})
    case("equalize", "equalize p=1", each(lambda x, i: F.equalize(byte(x)).float() / 255), EXACT, {})
    case("equalize_grey", "equalize p=1", each(lambda x, i: F.equalize(byte(x)).float() / 255, grey), EXACT, {}, "grey")
    s = u()
    case("blur", "blur kernel=3,5 sigma=0.3,2", each(lambda x, i: F.gaussian_blur(x, [5, 3], [float(within(s[i], 0.3, 2))] * 2)), CLOSE, {"sigma.0": s})


def noise():
    e, s = torch.randn(N, 3, H, W, generator=gen), u()
    case("gaussian_noise", "gaussian_noise sigma=0.1,0.4",
         each(lambda x, i: (x + within(s[i], 0.1, 0.4) * e[i]).clamp(0, 1)), CLOSE, {"noise.0": e, "sigma.0": s})
    v, a = u(N, 1, H, W), u()

    def salt(x, i):
        half = within(a[i], 0.1, 0.5) / 2
        return torch.where(v[i] < half, torch.zeros(()), torch.where(v[i] >= 1 - half, torch.ones(()), x))

    case("salt_pepper", "salt_pepper amount=0.1,0.5", each(salt), EXACT, {"pixel.0": v, "amount.0": a})


def holes():
    a, s, top, left, p = u(N, 10), u(N, 10), u(), u(), u()
    a[3] = 0.999  # no try fits: a flat box of most of the image is wider than it
    s[3] = 0.0

    def erase(scale):
        def f(x, i):
            for k in range(10):
                area, ratio = within(a[i, k], *scale) * H * W, math.exp(within(s[i, k], math.log(0.3), math.log(3.3)))
                h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
                if h < H and w < W:
                    return F.erase(x, below(top[i], H - h + 1), below(left[i], W - w + 1), h, w, torch.tensor(0.5))
            return x
        return f

    feeds = {"area.0": a, "shape.0": s, "top.0": top, "left.0": left}
    case("random_erasing", "random_erasing value=0.5", each(lambda x, i: erase((0.02, 0.33))(x, i) if p[i] < 0.5 else x), EXACT,
         {**feeds, "p.0": p})
    case("erasing_large", "random_erasing value=0.5 scale=0.5,0.9 p=1", each(erase((0.5, 0.9))), EXACT, feeds)
    row, column, side = [u(), u()], [u(), u()], [u(), u(), u(), u()]
    count = u()

    def cut(x, i):
        x = x.clone()
        for k in range(2):
            if k > below(count[i], 2):
                continue
            h, w = (max(1, round(float(within(v[i], 2, 6)))) for v in (side[2 * k], side[2 * k + 1]))
            y0, x0 = below(row[k][i], H) - h // 2, below(column[k][i], W) - w // 2
            x[:, max(y0, 0):max(y0 + h, 0), max(x0, 0):max(x0 + w, 0)] = 0.25
        return x

    case("cutout", "cutout size=2,6 holes=1,2 value=0.25", each(cut), EXACT,
         {"holes.0": count, "row.0": row[0], "row.0.1": row[1], "column.0": column[0], "column.0.1": column[1],
          "height.0": side[0], "width.0": side[1], "height.0.1": side[2], "width.0.1": side[3]})


def mixing():
    hot = torch.nn.functional.one_hot(label.long(), 3).double()

    def mixed(lam, j):
        lam = lam.double()
        return lam[:, None] * hot + (1 - lam[:, None]) * hot[j]

    roll, back = torch.arange(N).roll(1), torch.arange(N).flip(0)
    for name, alpha, pair, j, per in (("mixup", 0.4, "roll", roll, "batch"), ("mixup_sample", 2.5, "reverse", back, "sample")):
        share = u(1) if per == "batch" else u()
        lam = torch.tensor(beta.ppf(share.numpy(), alpha, alpha)).expand(N).float()
        y = lam[:, None, None, None] * rgb + (1 - lam[:, None, None, None]) * rgb[j]
        case(name, f"mixup alpha={alpha} pair={pair} per={per}", y, 1e-4, {"share.0": share}, target=mixed(lam, j))
    order, share = u(N), u(1)
    case("mixup_shuffle", "mixup pair=shuffle", share * rgb + (1 - share) * rgb[order.argsort()], 1e-4,
         {"share.0": share, "pair.0": order}, target=mixed(share.expand(N), order.argsort()))
    for name, per in (("cutmix", "batch"), ("cutmix_sample", "sample")):
        n = 1 if per == "batch" else N
        share, row, column = u(n), u(n), u(n)
        y, kept = rgb.clone(), torch.zeros(N)
        for i in range(N):
            k = 0 if per == "batch" else i
            r = 0.5 * math.sqrt(1 - float(share[k]))  # Beta(1,1) is uniform
            h, w, cy, cx = int(r * H), int(r * W), below(row[k], H), below(column[k], W)
            y0, y1, x0, x1 = max(cy - h, 0), min(cy + h, H), max(cx - w, 0), min(cx + w, W)
            y[i, :, y0:y1, x0:x1] = rgb[roll[i], :, y0:y1, x0:x1]
            kept[i] = 1 - (y1 - y0) * (x1 - x0) / (H * W)
        case(name, f"cutmix per={per}", y, EXACT, {"share.0": share, "row.0": row, "column.0": column}, target=mixed(kept, roll))


NAMES = {"identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX", "translate_y": "TranslateY",
         "rotate": "Rotate", "brightness": "Brightness", "color": "Color", "contrast": "Contrast", "sharpness": "Sharpness",
         "posterize": "Posterize", "solarize": "Solarize", "autocontrast": "AutoContrast", "equalize": "Equalize"}


def apply(x, name, magnitude, mode=I.NEAREST):
    """One change on floats; those that count bytes get bytes."""
    if name in ("Posterize", "Equalize"):
        return _apply_op((x * 255).round().to(torch.uint8), name, magnitude, mode, None).float() / 255
    return _apply_op(x, name, magnitude / 255 if name == "Solarize" else magnitude, mode, None)


def policies():
    from torchvision.transforms import AugMix, RandAugment, TrivialAugmentWide

    def picked(space, op, sign, bin_):
        name = list(space)[below(op, len(space))]
        m, signed = space[name]
        m = float(m[bin_]) if m.ndim else 0.0
        return name, -m if signed and sign < 0.5 else m

    space = RandAugment()._augmentation_space(31, (H, W))
    ops = [u(), u()]
    signs = [u(), u()]

    def rand(x, i):
        for k in range(2):
            x = apply(x, *picked(space, ops[k][i], signs[k][i], 9))
        return x

    case("randaugment", "randaugment", each(rand), CLOSE, {"op.0": ops[0], "op.0.1": ops[1], "sign.0": signs[0], "sign.0.1": signs[1]})
    for own, name in NAMES.items():  # each of the fourteen alone
        sign, m = u(), space[name]
        bits = float(m[0][19]) if m[0].ndim else 0.0
        y = each(lambda x, i: apply(x, name, -bits if m[1] and sign[i] < 0.5 else bits))
        # bin 20 of shear would be .2, whose ties decide pixels; the middle of contrast and the sums of blur are rounded otherwise, the others only move or count
        case("rand_" + own, f"randaugment num_ops=1 magnitude=19 ops={own}", y, CLOSE, {"op.0": u(), "sign.0": sign})
    space = TrivialAugmentWide()._augmentation_space(31)
    op, sign, bin_ = u(), u(), u()
    case("trivialaugment", "trivialaugment", each(lambda x, i: apply(x, *picked(space, op[i], sign[i], below(bin_[i], 31)))), CLOSE,
         {"op.0": op, "sign.0": sign, "bin.0": bin_})
    space = AugMix()._augmentation_space(10, (H, W))
    mix, weight = u(), u(N, 2)
    ops, signs, bins, depths = ([u() for _ in range(6)] for _ in range(4))
    depths = depths[:2]

    def chains(x, i):
        e = -torch.log(1 - weight[i]) + 1e-12
        total = 0
        for c in range(2):
            y = x
            for k in range(3):
                if k <= below(depths[c][i], 3):
                    y = apply(y, *picked(space, ops[3 * c + k][i], signs[3 * c + k][i], below(bins[3 * c + k][i], 3)), I.BILINEAR)
            total = total + float(e[c] / e.sum()) * y
        return (1 - float(mix[i])) * x + float(mix[i]) * total

    feeds = {"mix.0": mix, "weight.0": weight}
    for stream, list_ in (("op", ops), ("sign", signs), ("bin", bins), ("depth", depths)):
        feeds.update({f"{stream}.0" + (f".{k}" if k else ""): v for k, v in enumerate(list_)})
    case("augmix", "augmix width=2", each(chains), CLOSE, feeds)


def main():
    for part in (flips, crops, geometry, colours, noise, holes, mixing, policies):
        part()
    with open(f"{HERE}/augment.ini", "w") as f:
        f.write("; made by make_augment.py\n[augmentations]\n" + "\n".join(s.rstrip() for s in lines) + "\n")
    save_file(out, f"{HERE}/augment.safetensors")
    print(len(lines), "cases")


if __name__ == "__main__":
    main()
