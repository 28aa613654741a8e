/* SPDX-License-Identifier: MIT
 *
 * schema.h: between loader.c, schema.c, keys.c and host.c. Kinds are a table here: what a
 * kind is called, where its specs stand, how its vt looked in 1.0, what it cannot be without.
 */
#ifndef CORE_SCHEMA_H
#define CORE_SCHEMA_H

#include "component.h"
#include "inifile.h"

/* Why a table was refused. */
struct why {
	char text[512];
};
bool refuse(struct why *, const char *format, ...) __attribute__((format(printf, 2, 3))); /* gives false */

/* Copies a plugin's component into the newest structs; NULL, with the reason, if its tables
 * cannot be right. Memory comes from the pool. */
struct component *schema_component(struct pool *, const struct rein_component *, struct why *);
/* "l1", for messages on a component that may have no name. */
const char *schema_name(const struct rein_component *);

/* The kind a name stands for ("attack", "network"), 0: none. */
uint32_t kind_by_name(const char *name);

/* Bytes and alignment of the field of a key's type; 0: unknown type. */
size_t key_size(uint32_t type);
size_t key_align(uint32_t type);

/* How a text failed to become a value. */
#define KEY_GOOD  0
#define KEY_RANGE 1 /* why: "is outside 0..1" */
#define KEY_FORM  2 /* why: "'x' is not a number" */

/* Converts text as the row says and stores it at `field`; lists come from the pool, strings
 * are pointed at. PATH is stored as given; REF is left alone. */
int key_convert(const struct rein_key *row, const char *text, void *field, struct pool *, struct why *);
/* True if an empty value is allowed. */
bool key_may_be_empty(const struct rein_key *row);
/* "0..1", "0..1 (without 0)" ... */
const char *key_range(const struct rein_key *row, char *buf, size_t size);
const char *key_type_name(const struct rein_key *row);

#endif
