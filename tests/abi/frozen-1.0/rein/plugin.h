/* SPDX-License-Identifier: MIT
 *
 * plugin.h: what a plugin is. A plugin is one .so that exports one function,
 * rein_plugin_entry(), and holds one or more components. Opening it runs
 * nothing; it links to nothing of rein's; everything it may call arrives as
 * tables. The shortest way in is docs/writing-a-plugin.md.
 *
 * Thread tags, used on every slot of every table in this folder:
 *   [control]  one thread, never while a step runs
 *   [compute]  one thread at a time per instance
 *   [worker]   many threads at once, with `self` const
 *   [any]      any of these
 */
#ifndef REIN_PLUGIN_H
#define REIN_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#include "key.h"

#define REIN_ABI_MAGIC 0x4E494552u /* the bytes "REIN", little-endian */
#define REIN_ABI_MAJOR 1u
#define REIN_ABI_MINOR 0u

/* 0 good, > 0 good but special (each slot says what), < 0 error. A slot that
 * returns an error has called rein_fail() with one sentence on its own cause. */
typedef int32_t rein_status;
#define REIN_OK          0
#define REIN_ERROR       (-1) /* anything else below zero means the same */
#define REIN_UNSUPPORTED (-2) /* backends: this op or device is not available */
#define REIN_SKIP        1    /* datasets: leave this sample out, it was counted */

/* Kinds: what a component is asked for. New kinds are appended. */
#define REIN_BACKEND      1u
#define REIN_DATASET      2u
#define REIN_LAYER        3u
#define REIN_LOSS         4u
#define REIN_OPTIMIZER    5u
#define REIN_SCHEDULE     6u
#define REIN_REGULARIZER  7u
#define REIN_AUGMENTATION 8u /* also used by [transforms] */
#define REIN_ATTACK       9u
#define REIN_PRUNER       10u
#define REIN_SEARCH       11u
#define REIN_LOGGER       12u
#define REIN_REPORT       13u
#define REIN_DETECTOR     14u

/* Backends a component can run on. Recorded maths runs on all of them. */
#define REIN_ON_CPU  1u
#define REIN_ON_CUDA 2u
#define REIN_ON_ALL  0xFFFFFFFFu

struct rein_host;

/* One component. `self`, first argument of every slot, is a block of `cfg_size`
 * bytes that the core allocates, zero-fills and fills from `keys`; fields that
 * no key names belong to the component (open files, tables). The core owns and
 * frees the block itself. */
struct rein_component {
	uint32_t struct_size, kind;
	uint32_t backends;           /* REIN_ON_* */
	uint32_t cfg_size, key_size; /* sizeof the cfg struct; sizeof(struct rein_key) */
	uint32_t mem_size;           /* bytes of the stored block, 0 for none */
	const char *name;            /* as written in the INI file: lower case, digits, '_' */
	const char *summary;         /* one line */
	const char *reference;       /* paper or library the maths comes from */
	const struct rein_key *keys; /* ends with REIN_KEYS_END; NULL: no keys */
	const struct rein_key *mem;  /* fields of the stored block (INT and REAL rows), or NULL:
	                               * zero-filled at the start of training, kept in checkpoints */
	const void *vt;              /* struct rein_<kind>_vt of `kind` */
	/* [control] Optional. create: after the keys are filled; opens files, checks what
	 * ranges cannot. After an error destroy is still called. destroy: frees what create
	 * made; must accept a block on which create was never called. */
	rein_status (*create)(void *self, const struct rein_host *host);
	void (*destroy)(void *self, const struct rein_host *host);
};

/* The plugin. The first four words never change, in any major version. */
struct rein_plugin {
	uint32_t magic, abi_major, abi_minor, struct_size;
	const char *name, *version, *license;           /* license: an SPDX expression */
	const struct rein_component *const *components; /* NULL-terminated */
};

#if defined(__GNUC__)
#define REIN_EXPORT __attribute__((visibility("default")))
#else
#define REIN_EXPORT
#endif

/* The one exported symbol. [control] Returns a constant; called once. */
REIN_EXPORT const struct rein_plugin *rein_plugin_entry(void);

/* Fills the words that must not be filled by hand. Use:
 *   REIN_COMPONENT(l1, REIN_REGULARIZER, struct l1, l1_keys, &l1_vt,
 *                  .summary = "...", .reference = "...")
 *   REIN_PLUGIN("l1", "1.0.0", "MIT", &l1)                                   */
#define REIN_COMPONENT(ident, kind_, cfg_type, keys_, vt_, ...)                                            \
	static const struct rein_component ident##_component = { .struct_size = sizeof(struct rein_component), \
		                                                     .kind = kind_,                                \
		                                                     .backends = REIN_ON_ALL,                      \
		                                                     .cfg_size = sizeof(cfg_type),                 \
		                                                     .key_size = sizeof(struct rein_key),          \
		                                                     .name = #ident,                               \
		                                                     .keys = keys_,                                \
		                                                     .vt = vt_,                                    \
		                                                     __VA_ARGS__ }

#define REIN_PLUGIN(name_, version_, license_, ...)                                          \
	REIN_EXPORT const struct rein_plugin *rein_plugin_entry(void)                            \
	{                                                                                        \
		static const struct rein_component *const list[] = { __VA_ARGS__, NULL };            \
		static const struct rein_plugin self = { REIN_ABI_MAGIC, REIN_ABI_MAJOR,             \
			                                     REIN_ABI_MINOR, sizeof(struct rein_plugin), \
			                                     name_,          version_,                   \
			                                     license_,       list };                     \
		return &self;                                                                        \
	}

#endif
