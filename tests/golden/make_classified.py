#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the golden fixtures of the reports classification and confusion: what scikit-learn prints.

Each file data/classified/<name>.txt has a line with the digits, one with the class names (tabs
between them, or - for none), the labels, the predictions, the text of classification_report, a line
"counts", confusion_matrix, a line "shares", and the same with normalize="true", 17 digits; no numbers
where there are more than 20 classes.
Run again after changing a case (needs scikit-learn and numpy):
    python3 tests/golden/make_classified.py
"""
import os
import warnings

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "classified")
CLOTHES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
ANIMALS = ["katze (häusliche)", "hund", "wildes tier"]
gen = np.random.default_rng(4)


def drawn(classes, n, right, absent=(), never=()):
    y = gen.choice([c for c in range(classes) if c not in absent], n)
    guess = np.where(gen.random(n) < right, y, gen.choice([c for c in range(classes) if c not in never], n))
    for c in never:
        guess[guess == c] = (c + 1) % classes
    return y, guess


def balanced(classes, each, right):
    """Every class as often: means of shares then fall between two last digits now and then."""
    y = np.repeat(np.arange(classes), each)
    return y, np.where(gen.random(len(y)) < right, y, gen.integers(0, classes, len(y)))


# name: digits, class names or their number, (labels, predictions)
CASES = {
    "clothes": (2, CLOTHES, drawn(10, 1500, .75)),
    "clothes_digits": (4, CLOTHES, drawn(10, 400, .6)),
    "stuck": (2, CLOTHES, (np.repeat(np.arange(10), 20), np.full(200, 3))),
    "animals": (3, ANIMALS, drawn(3, 100, .5)),
    "two": (2, 2, drawn(2, 77, .8)),
    "perfect": (2, 3, (np.arange(30) % 3, np.arange(30) % 3)),
    "none_right": (2, 3, (np.arange(30) % 3, (np.arange(30) + 1) % 3)),
    "never_predicted": (2, 5, drawn(5, 120, .7, never=[1, 4])),
    "no_support": (2, 5, drawn(5, 120, .7, absent=[0, 3])),
    "neither": (2, 5, drawn(5, 120, .7, absent=[2], never=[2])),
    "no_digits": (0, 4, drawn(4, 60, .6)),
    "many_digits": (12, 9, drawn(9, 300, .6)),
    "many_classes": (6, 150, drawn(150, 1500, .5)),
    "three_hundred": (9, 300, drawn(300, 2500, .5)),
}
for i in range(40):
    CASES[f"balanced_{i:02d}"] = (2, int(8 + i % 5), balanced(8 + i % 5, 20, .6))


def matrix(y, guess, labels, **kw):
    return confusion_matrix(y, guess, labels=labels, **kw) if labels else []


def main():
    warnings.simplefilter("ignore")
    os.makedirs(OUT, exist_ok=True)
    for name, (digits, classes, (y, guess)) in CASES.items():
        names = [str(c) for c in range(classes)] if isinstance(classes, int) else classes
        labels = list(range(len(names)))
        lines = [str(digits), "-" if isinstance(classes, int) else "\t".join(names)]
        lines += [" ".join(map(str, y)), " ".join(map(str, guess))]
        lines += classification_report(y, guess, labels=labels, target_names=names, digits=digits).rstrip("\n").split("\n")
        if len(names) > 20:
            labels = []  # the table would be larger than everything else
        lines += ["counts"] + [" ".join(map(str, row)) for row in matrix(y, guess, labels)]
        lines += ["shares"] + [" ".join("%.17g" % v for v in row) for row in matrix(y, guess, labels, normalize="true")]
        with open(f"{OUT}/{name}.txt", "w") as f:
            f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
