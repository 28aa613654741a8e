/* SPDX-License-Identifier: MIT
 *
 * rig.c: see rig.h.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "check.h"
#include "rig.h"

void rig_report(struct rig *r, const char *what)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	diag_flush(r->diag, f);
	fclose(f);
	cr_assert(0, "%s: %s", what, text);
}

struct rig *rig_create_isa(uint32_t flags, uint32_t threads, uint32_t real_size, const char *isa)
{
	/* double and instruction sets stay with the cpu */
	const char *other = real_size == 4 ? getenv("REIN_TEST_BACKEND") : NULL;
	struct rig *r = calloc(1, sizeof *r);
	struct host_env env = { .seed = 1 };
	struct rein_backend_options o = { .struct_size = sizeof o, .threads = threads, .device = -1, .flags = flags };
	char text[64];
	snprintf(text, sizeof text, "cpu%s%s", isa ? " isa=" : "", isa ? isa : "");
	r->cpu = !other;
	r->spec = backend_spec_create(other ? other : text);
	r->diag = env.diag = diag_create();
	r->flags = flags;
	r->registry = registry_create(0, NULL);
	r->backend = instance_create(r->registry, REIN_BACKEND, r->spec, &env, NULL, NULL, r->diag);
	if (!r->backend)
		rig_report(r, "the backend could not be made");
	const struct rein_backend_vt *vt = &r->backend->component->vt.backend;
	if (vt->open(r->backend->self, &r->backend->host, &o) < 0) {
		instance_error(r->backend, r->diag, "?");
		rig_report(r, "the backend could not be opened");
	}
	r->store = store_create(r->backend, 1, RNG_PHILOX);
	r->store->real_size = real_size;
	return r;
}

static bool cpu_has(const char *isa)
{
	struct arg arg = { .key = "isa", .value = (char *)isa };
	struct spec spec = { .section = "run", .name = "backend", .component = "cpu", .n_arg = 1, .arg = &arg };
	struct diag *diag = diag_create();
	struct host_env env = { .seed = 1, .diag = diag };
	struct registry *registry = registry_create(0, NULL);
	struct instance *b = instance_create(registry, REIN_BACKEND, &spec, &env, NULL, NULL, diag);
	struct rein_device device = { .struct_size = sizeof device };
	cr_assert_not_null(b);
	bool has = b->component->vt.backend.probe(b->self, &b->host, &device) >= 0;
	instance_destroy(b);
	registry_destroy(registry);
	diag_destroy(diag);
	return has;
}

const char *const *rig_isas(int *n)
{
	static const char *const all[] = { "plain", "avx2", "avx512" };
	static const char *there[3];
	static int found;

	for (int k = found ? 3 : 0; k < (getenv("REIN_TEST_BACKEND") ? 1 : 3); k++) {
		if (cpu_has(all[k]))
			there[found++] = all[k];
		else
			fprintf(stderr, "not tested: %s, which this machine does not have\n", all[k]);
	}
	*n = found;
	return there;
}

struct rig *rig_create(uint32_t flags, uint32_t threads, uint32_t real_size)
{
	return rig_create_isa(flags, threads, real_size, NULL);
}

void rig_destroy(struct rig *r)
{
	store_destroy(r->store);
	instance_destroy(r->backend);
	registry_destroy(r->registry);
	diag_destroy(r->diag);
	free(r->spec);
	free(r);
}

/* Host layout of a state's dtype from doubles. */
static void *pack(const struct store *s, const struct state *t, const double *v)
{
	uint32_t size = dtype_size(t->dtype, s->real_size);
	unsigned char *out = malloc(state_bytes(s, t));
	for (int64_t i = 0; i < t->count; i++) {
		float f = (float)v[i];
		int32_t n = size == 4 && t->dtype == REIN_I32_T ? (int32_t)v[i] : 0;
		if (size == 1)
			out[i] = (unsigned char)v[i];
		else
			memcpy(out + size * i, size == 8 ? (void *)&v[i] : t->dtype == REIN_I32_T ? (void *)&n : (void *)&f, size);
	}
	return out;
}

struct state *rig_state(struct rig *r, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
                        const double *values)
{
	const char *why = "";
	struct state *t = store_declare(r->store, name, STATE_DATA, dtype, rank, dim, NULL, &why);
	cr_assert(t != NULL, "%s", why);
	cr_assert_geq(store_allocate(r->store), 0);
	void *packed = values ? pack(r->store, t, values) : NULL;
	if (values)
		cr_assert_geq(store_set(r->store, t, packed), 0);
	free(packed);
	return t;
}

struct recorder *rig_record(struct rig *r, const char *name, bool decompose)
{
	static const struct recorder_env env;
	struct recorder_options o = { .name = name, .real_size = r->store->real_size, .decompose = decompose };
	return recorder_create(r->store, &env, &o);
}

void rig_get(struct rig *r, const struct state *t, double *out)
{
	unsigned char *raw = malloc(state_bytes(r->store, t));
	cr_assert_geq(store_get(r->store, t, raw), 0);
	for (int64_t i = 0; i < t->count; i++)
		out[i] = check_number(t->dtype, r->store->real_size, raw, i);
	free(raw);
}

struct compiled *rig_compile(struct rig *r, struct program *p)
{
	char why[256];
	if (!p)
		rig_report(r, "the program was refused");
	cr_assert(program_check(&p->p, why, sizeof why), "%s", why);
	struct compiled *c = program_compile(p, r->store, r->backend, r->flags, r->diag);
	if (!c)
		rig_report(r, "the program did not compile");
	cr_assert(plan_check(&c->program->p, c->plan, r->flags & REIN_GUARD ? 64 : 0, why, sizeof why), "%s", why);
	return c;
}

void rig_run(struct compiled *c)
{
	rein_status s = compiled_run(c, 1);
	cr_assert(s >= 0, "run failed: %s", s < 0 ? instance_failure(c->backend) : "");
}

int64_t rig_output(struct compiled *c, uint32_t i, double *out, int64_t room)
{
	const struct rein_program *p = &c->program->p;
	cr_assert_lt(i, p->n_output);
	const struct rein_prog_value *v = &p->value[p->output[i]];
	cr_assert_leq(v->count, room);
	unsigned char *raw = malloc((size_t)v->count * 8);
	cr_assert_gt(compiled_output(c, i, raw, v->count * 8), 0);
	for (int64_t k = 0; k < v->count; k++)
		out[k] = check_number(v->dtype, p->real_size, raw, k);
	free(raw);
	return v->count;
}

struct compiled *rig_random(struct rig *rig, uint64_t seed, int ops)
{
	char name[32];
	snprintf(name, sizeof name, "random %llu", (unsigned long long)seed);
	struct check_call c = { .rec = rig_record(rig, name, false), .store = rig->store };
	c.r = recorder_rec(c.rec);
	check_program(&c, seed, ops);
	cr_assert(!c.why[0], "%s", c.why);
	struct compiled *compiled = rig_compile(rig, recorder_finish(c.rec, rig->diag));
	recorder_destroy(c.rec);
	return compiled;
}
