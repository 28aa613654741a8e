/* SPDX-License-Identifier: MIT
 *
 * schema.c: checks the tables of a component and copies them into the newest, zero-filled
 * structs. A table that cannot be right (a field outside of the struct, a default outside
 * of its range, a missing slot) is refused with the reason here, so that nothing later has
 * to distrust it. A new kind is a row in `kinds`; a member appended to a vt in a later
 * minor version leaves its `v1_0` as it is.
 */
#include "schema.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX       256         /* rows of a table: more means that its end is missing */
#define BLOCK_MAX      (64u << 20) /* bytes of a component's struct */
#define KEY_V1_0       72u         /* sizeof(struct rein_key) in 1.0 */
#define COMPONENT_V1_0 88u         /* sizeof(struct rein_component) in 1.0 */
#define KEY_FLAGS      (REIN_KEY_KNOB | REIN_KEY_OVER_MIN | REIN_KEY_UNDER_MAX | REIN_KEY_MAY_BE_EMPTY | REIN_KEY_METRIC)

_Static_assert(sizeof(struct rein_key) >= KEY_V1_0, "members are only appended");
_Static_assert(sizeof(struct rein_component) >= COMPONENT_V1_0, "members are only appended");

/* clang-format off */
struct slot {
	const char *name;
	size_t offset;
};
#define SLOT(kind, name) { #name, offsetof(struct rein_##kind##_vt, name) }
#define VT(kind)         sizeof(struct rein_##kind##_vt)

static const struct kind {
	const char *name, *section;
	size_t size;          /* of the vt now */
	uint32_t v1_0;        /* of the vt in 1.0: shorter ones are refused */
	uint32_t any_from;    /* not 0: one slot from this offset on must be there */
	bool any_of;          /* of `need` one is enough */
	struct slot need[12]; /* slots that must be there; ends with name NULL */
} kinds[] = {
	[REIN_BACKEND] = { "backend", "run", VT(backend), 112, 0, false,
		{ SLOT(backend, probe), SLOT(backend, open), SLOT(backend, alloc), SLOT(backend, free), SLOT(backend, upload),
		  SLOT(backend, download), SLOT(backend, supports), SLOT(backend, compile), SLOT(backend, destroy_exec),
		  SLOT(backend, run), SLOT(backend, output) } },
	[REIN_DATASET] = { "dataset", "data", VT(dataset), 40, 0, false, { SLOT(dataset, info), SLOT(dataset, read) } },
	[REIN_LAYER] = { "layer", "network", VT(layer), 24, 0, false, { SLOT(layer, record) } },
	[REIN_LOSS] = { "loss", "loss", VT(loss), 16, 0, false, { SLOT(loss, record) } },
	[REIN_OPTIMIZER] = { "optimizer", "optimizer", VT(optimizer), 24, 0, false,
		{ SLOT(optimizer, update), SLOT(optimizer, lr) } },
	[REIN_SCHEDULE] = { "schedule", "schedules", VT(schedule), 16, 0, false, { SLOT(schedule, value) } },
	[REIN_REGULARIZER] = { "regularizer", "regularizers", VT(regularizer), 120,
		offsetof(struct rein_regularizer_vt, param), false, { { NULL, 0 } } },
	[REIN_AUGMENTATION] = { "augmentation", "augmentations", VT(augmentation), 48, 0, true,
		{ SLOT(augmentation, record), SLOT(augmentation, sample) } },
	[REIN_ATTACK] = { "attack", "attacks", VT(attack), 24, 0, false, { SLOT(attack, perturb) } },
	[REIN_PRUNER] = { "pruner", "pruners", VT(pruner), 40, 0, true, { SLOT(pruner, score), SLOT(pruner, keep) } },
	[REIN_SEARCH] = { "search", "search", VT(search), 24, 0, false, { SLOT(search, propose), SLOT(search, observe) } },
	[REIN_LOGGER] = { "logger", "loggers", VT(logger), 48, offsetof(struct rein_logger_vt, run_begin), false,
		{ { NULL, 0 } } },
	[REIN_REPORT] = { "report", "reports", VT(report), 16, 0, false, { SLOT(report, record) } },
	[REIN_DETECTOR] = { "detector", "detectors", VT(detector), 16, 0, false, { SLOT(detector, score) } },
};
/* clang-format on */
#define N_KIND ((uint32_t)(sizeof kinds / sizeof *kinds))

const char *kind_name(uint32_t kind)
{
	if (kind == KIND_NETWORK)
		return "network";
	return kind < N_KIND && kinds[kind].name ? kinds[kind].name : "?";
}

const char *kind_section(uint32_t kind)
{
	if (kind == KIND_NETWORK)
		return "network";
	return kind < N_KIND && kinds[kind].section ? kinds[kind].section : "?";
}

uint32_t kind_by_name(const char *name)
{
	if (!strcmp(name, "network"))
		return KIND_NETWORK;
	for (uint32_t k = 1; k < N_KIND; k++)
		if (!strcmp(kinds[k].name, name))
			return k;
	return 0;
}

uint32_t kind_of_section(const char *section)
{
	if (!strcmp(section, "transforms"))
		return REIN_AUGMENTATION;
	if (!strncmp(section, "network ", 8))
		return REIN_LAYER;
	for (uint32_t k = 1; k < N_KIND; k++)
		if (!strcmp(kinds[k].section, section) && k != REIN_BACKEND && k != REIN_SEARCH)
			return k;
	return 0;
}

bool refuse(struct why *why, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(why->text, sizeof why->text, format, ap);
	va_end(ap);
	return false;
}

/* Names as they stand in INI files: lower case, digits, '_'. */
static bool word_ok(const char *name)
{
	size_t n = 0;
	for (; name[n]; n++)
		if (n > 40 || (!islower((unsigned char)name[n]) && !isdigit((unsigned char)name[n]) && name[n] != '_'))
			return false;
	return n > 0;
}

const char *schema_name(const struct rein_component *c) { return c && c->name && word_ok(c->name) ? c->name : "?"; }

static bool numeric(uint32_t type)
{
	return type == REIN_KEY_INT || type == REIN_KEY_REAL || type == REIN_KEY_INTS || type == REIN_KEY_REALS;
}

static bool check_choices(const struct rein_key *k, struct why *why)
{
	if (k->type == REIN_KEY_ENUM && (!k->choices || !k->choices[0]))
		return refuse(why, "key '%s': a choice without choices", k->key);
	if ((k->type == REIN_KEY_REF || k->type == REIN_KEY_REFS) &&
	    (!k->choices || !k->choices[0] || !kind_by_name(k->choices[0])))
		return refuse(why, "key '%s': choices[0] must name the kind that it refers to", k->key);
	return true;
}

/* The default must be a value that the key itself would take. */
static bool check_default(struct pool *pool, const struct rein_key *k, struct why *why)
{
	union {
		double alignment;
		char bytes[sizeof(struct rein_reals)];
	} field;
	struct why own;
	if (k->def && key_convert(k, k->def, &field, pool, &own) != KEY_GOOD)
		return refuse(why, "key '%s': default '%s': %s", k->key, k->def, own.text);
	return true;
}

static bool check_key(struct pool *pool, const struct rein_key *k, uint32_t block, struct why *why)
{
	size_t size = key_size(k->type);
	if (!word_ok(k->key))
		return refuse(why, "key names have lower case letters, digits and '_'");
	if (!size)
		return refuse(why, "key '%s': type %u is not known", k->key, k->type);
	if (k->flags & ~KEY_FLAGS)
		return refuse(why, "key '%s': flags 0x%x are not known", k->key, k->flags & ~KEY_FLAGS);
	if (k->reserved)
		return refuse(why, "key '%s': reserved is %u, not 0", k->key, k->reserved);
	if (!k->help)
		return refuse(why, "key '%s' has no help", k->key);
	if (k->offset > block || size > block - k->offset)
		return refuse(why, "key '%s': bytes %u..%zu lie outside of the struct of %u bytes", k->key, k->offset,
		              k->offset + size - 1, block);
	if (k->offset % key_align(k->type))
		return refuse(why, "key '%s': offset %u is not a multiple of %zu", k->key, k->offset, key_align(k->type));
	if (numeric(k->type) && !(k->min <= k->max))
		return refuse(why, "key '%s': its range is empty", k->key);
	if ((k->flags & REIN_KEY_KNOB) && k->type != REIN_KEY_REAL && k->type != REIN_KEY_REALS)
		return refuse(why, "key '%s': only a number can be a knob", k->key);
	if ((k->flags & REIN_KEY_METRIC) && k->type != REIN_KEY_STRING)
		return refuse(why, "key '%s': only a text can name a metric", k->key);
	if ((k->flags & REIN_KEY_MAY_BE_EMPTY) &&
	    (k->type == REIN_KEY_INT || k->type == REIN_KEY_REAL || k->type == REIN_KEY_BOOL || k->type == REIN_KEY_ENUM))
		return refuse(why, "key '%s': a %s cannot be empty", k->key, key_type_name(k));
	return check_choices(k, why) && check_default(pool, k, why);
}

/* Rows against each other: no name twice, no two live keys in the same bytes, `instead`
 * names a row. */
static bool check_rows(const struct rein_key *k, int n, struct why *why)
{
	for (int i = 0; i < n; i++) {
		bool found = !k[i].instead;
		for (int j = 0; j < n; j++) {
			found = found || (j != i && !k[j].instead && !strcmp(k[j].key, k[i].instead));
			if (j <= i)
				continue;
			if (!strcmp(k[i].key, k[j].key))
				return refuse(why, "key '%s' is there twice", k[i].key);
			if (!k[i].instead && !k[j].instead && k[i].offset < k[j].offset + key_size(k[j].type) &&
			    k[j].offset < k[i].offset + key_size(k[i].type))
				return refuse(why, "keys '%s' and '%s' lie in the same bytes", k[i].key, k[j].key);
		}
		if (!found)
			return refuse(why, "key '%s': instead='%s' is no other key", k[i].key, k[i].instead);
	}
	return true;
}

/* Rows of `stride` bytes up to the one without a key, as newest structs. NULL: refused. */
static const struct rein_key *copy_keys(struct pool *pool, const struct rein_key *from, uint32_t stride, uint32_t block,
                                        int *n, struct why *why)
{
	size_t size = stride < sizeof *from ? stride : sizeof *from;
	struct rein_key *to;
	int count = 0;
	while (from && count <= KEYS_MAX) {
		const char *const *key = (const char *const *)(const void *)((const char *)from + (size_t)count * stride);
		if (!*key)
			break;
		count++;
	}
	if (count > KEYS_MAX) {
		refuse(why, "more than %d keys: the end of the table is missing", KEYS_MAX);
		return NULL;
	}
	to = pool_alloc(pool, (size_t)(count + 1) * sizeof *to);
	for (int i = 0; i < count; i++) {
		memcpy(&to[i], (const char *)from + (size_t)i * stride, size);
		if (!check_key(pool, &to[i], block, why))
			return NULL;
	}
	if (!check_rows(to, count, why))
		return NULL;
	*n = count;
	return to;
}

static bool slot_there(const void *vt, size_t offset)
{
	void *p;
	memcpy(&p, (const char *)vt + offset, sizeof p);
	return p != NULL;
}

static bool check_slots(const struct kind *k, const void *vt, struct why *why)
{
	int there = 0, need = 0;
	if (k->any_from) {
		for (size_t at = k->any_from; at + sizeof(void *) <= k->size; at += sizeof(void *))
			there += slot_there(vt, at);
		return there ? true : refuse(why, "no slot of its %s table is filled", k->name);
	}
	for (; k->need[need].name; need++) {
		bool is = slot_there(vt, k->need[need].offset);
		there += is;
		if (!is && !k->any_of)
			return refuse(why, "slot '%s' of its %s table is NULL", k->need[need].name, k->name);
	}
	if (k->any_of && !there)
		return refuse(why, "one of the slots '%s' and '%s' must be there", k->need[0].name, k->need[1].name);
	return true;
}

/* What one kind asks beyond its slots. */
static bool check_kind(const struct component *c, struct why *why)
{
	if (c->c.kind == REIN_AUGMENTATION && c->vt.augmentation.sample && !c->vt.augmentation.shape)
		return refuse(why, "slot 'sample' needs slot 'shape'");
	if (c->c.kind == REIN_PRUNER && c->vt.pruner.score && !c->vt.pruner.amount)
		return refuse(why, "slot 'score' needs slot 'amount'");
	if (c->c.kind == REIN_LOSS && !c->vt.loss.accept)
		return refuse(why, "accept is 0: it accepts no targets");
	return true;
}

static bool check_head(const struct rein_component *c, struct why *why)
{
	if (!c->name || !word_ok(c->name))
		return refuse(why, "its name must have lower case letters, digits and '_'");
	if (!c->kind || c->kind >= N_KIND)
		return refuse(why, "kind %u is not known to this rein", c->kind);
	if (!c->summary || !*c->summary)
		return refuse(why, "it has no summary");
	if (!c->backends)
		return refuse(why, "backends is 0: it could run nowhere");
	if (c->cfg_size > BLOCK_MAX || c->mem_size > BLOCK_MAX)
		return refuse(why, "its struct of %u bytes is too large", c->cfg_size > BLOCK_MAX ? c->cfg_size : c->mem_size);
	if ((c->keys || c->mem) && c->key_size < KEY_V1_0)
		return refuse(why, "key_size is %u, at least %u is expected", c->key_size, KEY_V1_0);
	if (c->mem && !c->mem_size)
		return refuse(why, "it describes a stored block of 0 bytes");
	if (!c->vt)
		return refuse(why, "its vt is NULL");
	return true;
}

/* What the core reads for every component of a kind cannot mean something else in one. */
static bool check_common(const struct component *c, struct why *why)
{
	for (const struct rein_key *k = common_keys(c->c.kind); k->key; k++)
		for (int i = 0; i < c->n_key; i++)
			if (!strcmp(c->key[i].key, k->key))
				return refuse(why, "key '%s': every %s has one of that name", k->key, kind_name(c->c.kind));
	return true;
}

static bool check_mem(const struct component *c, struct why *why)
{
	for (int i = 0; i < c->n_mem; i++)
		if (c->mem[i].type != REIN_KEY_INT && c->mem[i].type != REIN_KEY_REAL)
			return refuse(why, "stored field '%s' is neither integer nor number", c->mem[i].key);
	return true;
}

static bool fill(struct pool *pool, struct component *c, const struct rein_component *from, struct why *why)
{
	const struct kind *k;
	uint32_t size;
	memcpy(&c->c, from, from->struct_size < sizeof c->c ? from->struct_size : sizeof c->c);
	c->c.struct_size = sizeof c->c;
	if (!check_head(&c->c, why))
		return false;
	k = &kinds[c->c.kind];
	memcpy(&size, c->c.vt, sizeof size);
	if (size < k->v1_0)
		return refuse(why, "its %s table has %u bytes, at least %u are expected", k->name, size, k->v1_0);
	memcpy(&c->vt, c->c.vt, size < k->size ? size : k->size);
	size = (uint32_t)k->size;
	memcpy(&c->vt, &size, sizeof size);
	c->c.vt = &c->vt;
	c->key = copy_keys(pool, c->c.keys, c->c.key_size, c->c.cfg_size, &c->n_key, why);
	c->mem = c->key ? copy_keys(pool, c->c.mem, c->c.key_size, c->c.mem_size, &c->n_mem, why) : NULL;
	if (!c->mem)
		return false;
	c->c.keys = c->key;
	c->c.key_size = sizeof *c->key;
	return check_mem(c, why) && check_common(c, why) && check_slots(k, &c->vt, why) && check_kind(c, why);
}

struct component *schema_component(struct pool *pool, const struct rein_component *from, struct why *why)
{
	struct component *c = pool_alloc(pool, sizeof *c);
	if (from->struct_size < COMPONENT_V1_0) {
		refuse(why, "its component table has %u bytes, at least %u are expected", from->struct_size, COMPONENT_V1_0);
		return NULL;
	}
	return fill(pool, c, from, why) ? c : NULL;
}
