/* SPDX-License-Identifier: MIT
 *
 * synthetic.c: the keys and components of the made-up data sets.
 */
#include "synthetic.h"

static const char *const rng_choices[] = { "rein", "torch", NULL };
static const char *const x_choices[] = { "random", "grid", NULL };
static const char *const target_choices[] = { "class", "real", NULL };

#define ROWS(S, def) REIN_INT(S, samples, def, 1, INT64_C(1) << 40, "number of samples")
#define SEED(S)      REIN_INT(S, seed, "1", 0, INT64_C(1) << 52, "which data of this kind; the run's seed has no part in it")

static const struct rein_key linear_system_keys[] = {
	REIN_INT(struct linear_system, samples, "10", 1, 100000000, "number of samples"),
	REIN_INT(struct linear_system, features, "3", 1, 100000, "numbers per sample, uniform in 0..1"),
	REIN_REAL(struct linear_system, noise, "0", 0, 1e6, 0, "standard deviation of Gaussian noise on b"),
	REIN_ENUM(struct linear_system, rng, "rein", rng_choices, "torch: manual_seed(seed), rand(A), rand(solution)"),
	SEED(struct linear_system),
	REIN_KEYS_END
};
REIN_COMPONENT(linear_system, REIN_DATASET, struct linear_system, linear_system_keys, &linear_system_vt,
               .create = linear_system_create, .destroy = linear_system_destroy,
               .summary = "b = [A 1] solution + noise, A and solution uniform in 0..1; the solution is the truth");

static const struct rein_key noisy_line_keys[] = {
	ROWS(struct noisy_line, "10"),
	REIN_REAL(struct noisy_line, slope, "2", -1e6, 1e6, 0, "slope of the line"),
	REIN_REAL(struct noisy_line, intercept, "0", -1e6, 1e6, 0, "the line at x = 0"),
	REIN_REAL(struct noisy_line, noise, "2", 0, 1e6, 0,
	          "standard deviation of Gaussian noise on y; 0 for a clean test"),
	REIN_ENUM(struct noisy_line, x, "random", x_choices,
	          "random: uniform in 0..1; grid: samples equal steps from 0 to 1"),
	SEED(struct noisy_line),
	REIN_KEYS_END
};
REIN_COMPONENT(noisy_line, REIN_DATASET, struct noisy_line, noisy_line_keys, &noisy_line_vt,
               .summary = "y = slope x + intercept + noise N(0,1)");

static const struct rein_key blobs_keys[] = { ROWS(struct clouds, "300"),
	                                          REIN_INT(struct clouds, classes, "3", 2, 1000000, "number of blobs"),
	                                          REIN_INT(struct clouds, features, "2", 1, 100000, "dimensions"),
	                                          REIN_REAL(struct clouds, spread, "0.2", 0, 1e6, 0,
	                                                    "standard deviation of a blob; centres are uniform in -1..1"),
	                                          SEED(struct clouds),
	                                          REIN_KEYS_END };
REIN_COMPONENT(blobs, REIN_DATASET, struct clouds, blobs_keys, &blobs_vt,
               .summary = "one round Gaussian cloud for each class");

static const struct rein_key moons_keys[] = { ROWS(struct clouds, "200"),
	                                          REIN_REAL(struct clouds, spread, "0.1", 0, 1e6, 0,
	                                                    "standard deviation of Gaussian noise on both coordinates"),
	                                          SEED(struct clouds), REIN_KEYS_END };
REIN_COMPONENT(moons, REIN_DATASET, struct clouds, moons_keys, &moons_vt,
               .summary = "two half circles that reach into each other",
               .reference = "sklearn.datasets.make_moons, with random angles");

static const struct rein_key points_keys[] = { ROWS(struct clouds, "100"), SEED(struct clouds), REIN_KEYS_END };
REIN_COMPONENT(points, REIN_DATASET, struct clouds, points_keys, &points_vt,
               .summary = "two features, two overlapping classes: like 100 students by two grades, admitted or not",
               .reference = "class means and covariances of Udacity's gradient-descent data.csv");

static const struct rein_key shapes_keys[] = {
	ROWS(struct shapes, "1000"),
	REIN_INT(struct shapes, size, "28", 4, 4096, "height and width in pixels"),
	REIN_INT(struct shapes, channels, "1", 1, 3, "1: grey; 3: colour (2 is refused)"),
	REIN_INT(struct shapes, classes, "10", 1, 1000, "ten outlines; beyond that, outlines times colours (or stripes)"),
	REIN_REAL(struct shapes, noise, "0.1", 0, 10, 0, "standard deviation of noise on a pixel, in 0..1"),
	SEED(struct shapes),
	REIN_KEYS_END
};
REIN_COMPONENT(shapes, REIN_DATASET, struct shapes, shapes_keys, &shapes_vt, .create = shapes_create,
               .destroy = shapes_destroy, .summary = "images of simple shapes at random places, with noise");

static const struct rein_key random_set_keys[] = {
	REIN_INTS(struct random_set, shape, NULL, 1, 1 << 24, 0, "of one sample: D or C,H,W"),
	ROWS(struct random_set, "1000"),
	REIN_ENUM(struct random_set, target, "class", target_choices, "class: a random label; real: normal numbers"),
	REIN_INT(struct random_set, classes, "10", 1, 1000000, "number of classes (target=class)"),
	REIN_INT(struct random_set, targets, "1", 1, 1000000, "numbers per target (target=real)"),
	SEED(struct random_set),
	REIN_KEYS_END
};
REIN_COMPONENT(random, REIN_DATASET, struct random_set, random_set_keys, &random_set_vt, .create = random_set_create,
               .summary = "normal numbers with random targets: nothing to learn, for benchmarks and memorizing");

REIN_PLUGIN("synthetic", "1.0.0", "MIT", &linear_system_component, &noisy_line_component, &blobs_component,
            &moons_component, &points_component, &shapes_component, &random_component)
