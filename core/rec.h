/* SPDX-License-Identifier: MIT
 *
 * rec.h: inside of the recorder, shared by record*.c, ops*.c, grad*.c, expand.c and
 * clean.c. A recording is a growing list of instructions over values (SSA): a value is
 * made once, by one instruction, in one body (the program itself is body 0, each loop
 * has its own). Indices, not pointers, since the arrays move as they grow.
 *
 * A new op: its row and shape rule in ops.c, its derivative in grad_rules.c, its
 * decomposition in expand.c if it is coarse, its row in docs/ops.md.
 */
#ifndef CORE_REC_H
#define CORE_REC_H

#include "recorder.h"

/* What an op with an error gives: the error is known already, so users of it keep quiet. */
#define REC_POISON       ((rein_val){ -2 })
#define REC_IS_POISON(v) ((v).id < -1)
#define REC_MAX_OUT      8
#define REC_MAX_CONST    (16u << 20) /* bytes of one constant */
#define REC_MAX_INSTR    (1 << 20)   /* ops of one program */

struct rec_value {
	uint32_t dtype, rank;
	int64_t dim[REIN_MAX_RANK];
	int64_t count;
	int32_t instr; /* that makes it */
	uint32_t result;
	int32_t state; /* state it was read from, or -1 */
	int32_t body;
};

struct rec_instr {
	uint32_t op, n_in, n_out, origin;
	int32_t in;    /* place of its first operand in recorder.operand */
	int32_t out;   /* its first result; the others follow */
	int32_t body;  /* where it is recorded */
	int32_t state; /* READ: state number, else -1 */
	int32_t loop;  /* REPEAT: number of its body, else -1 */
	int32_t extra; /* STOP with a rule: operands behind the first */
	const void *ext;
	rein_vjp *rule; /* STOP: the derivative of rein_override */
	const void *rule_ctx;
	uint64_t data_bytes; /* of attr.data; 0 for maps */
	struct rein_attr attr;
};

/* A growing list of numbers. */
struct ints {
	int32_t *at;
	int n, cap;
};

struct rec_body {
	int parent; /* -1: the program itself */
	struct ints instr;
	struct ints captured; /* values of the parent's body used inside */
	struct ints input;    /* round, carried, captured: values of this body */
	struct ints output;   /* new carried values */
	struct rein_loop loop;
};

/* Open-addressing map from a pair of numbers to a number. */
struct pairs {
	struct pair {
		int32_t a, b, to;
	} * at;
	int n, cap;
};

struct rec_scope {
	const struct instance *who;
	const char *tensor; /* in the recorder's memory, or NULL */
	uint32_t origin;
	int n_draw; /* streams drawn from since entering ... */
	struct rec_draw {
		uint64_t key;
		uint32_t times;
	} * draw;
	int cap_draw;
};

struct rec_with {
	uint32_t n;
	int32_t *state;
	rein_val *as;
};

struct rec_error {
	const struct instance *who;
	const char *text;
};

struct rec_init { /* a state whose first value is recorded */
	int32_t state, value;
};

struct chunk;
struct cleaner;

struct recorder {
	struct rein_rec rec; /* must be first */
	struct store *store;
	struct recorder_env env;
	struct recorder_options options;
	const char *name;

	struct rec_value *value;
	int n_value, cap_value;
	struct rec_instr *instr;
	int n_instr, cap_instr;
	struct ints operand;
	struct rec_body **body;
	int n_body, cap_body, current; /* current: the body being recorded */
	struct pairs captures;         /* (body, outer value) -> inner value */

	struct rec_scope *scope;
	int n_scope, cap_scope;
	const char **origin;
	struct place *origin_at;                   /* of each: where its spec stands; file NULL: nowhere */
	int n_origin, cap_origin, origin_override; /* override: -1 or what ops are said to come from */

	struct ints read, version; /* per state: value of its READ, latest version; -1: none */
	struct rec_with *with;
	int n_with, cap_with;
	struct rec_init *init;
	int n_init, cap_init;
	struct ints output;

	rein_val id, step, epoch, round; /* keys of draws; round: loop index, all loops in one number */
	rein_val id_views;               /* id for several views, made from id on first need */
	int64_t views;
	uint32_t call;
	bool unrolling, keeps; /* keeps: asked for by recorder_keeps */

	struct rec_error *error;
	int n_error, cap_error;
	bool failed;
	struct cleaner *cleaner; /* set while clean.c re-records */
	struct program *maker;   /* of what is kept per sample, until it is asked for */
	struct chunk *chunks;
};

/* --- record.c ------------------------------------------------------------------------ */
void *rec_alloc(struct recorder *, uint64_t bytes); /* zeroed; freed with the recording */
const char *rec_text(struct recorder *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ints_push(struct ints *, int32_t);
void *grow(void *at, int n, int *cap, size_t size);            /* room for one more than n */
int32_t pairs_get(const struct pairs *, int32_t a, int32_t b); /* -1: none */
void pairs_put(struct pairs *, int32_t a, int32_t b, int32_t to);

/* Remembers what is wrong, once per instance. */
void rec_refuse(struct recorder *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The value as the current body sees it (captured if it is from outside); POISON after errors. */
rein_val rec_use(struct recorder *, rein_val, const char *what);
/* Appends an instruction whose results are out[0..n_out-1]; operands are of the current body.
 * Gives its number, or -1 when the program has too many ops. */
int rec_append(struct recorder *, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *,
               uint32_t n_out, const struct rec_value *out);
/* The table's op(): checks, infers, appends. */
void rec_op(struct rein_rec *, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *, uint32_t n_out,
            rein_val *out);
int rec_body_create(struct recorder *, int parent);
static inline struct rec_value *rec_value(struct recorder *r, rein_val v) { return &r->value[v.id]; }
static inline rein_val rec_in(const struct recorder *r, const struct rec_instr *i, uint32_t k)
{
	return (rein_val){ r->operand.at[i->in + (int32_t)k] };
}

/* --- record_state.c: parameters, states, substitution, draws ----------------------------- */
rein_val rec_param(struct rein_rec *, const char *, uint32_t rank, const int64_t *dim, const struct rein_init *);
rein_var rec_state(struct rein_rec *, const char *, uint32_t dtype, uint32_t rank, const int64_t *dim,
                   const struct rein_init *);
rein_val rec_read(struct rein_rec *, rein_var);
void rec_assign(struct rein_rec *, rein_var, rein_val, rein_val when);
void rec_with(struct rein_rec *, uint32_t n, const rein_val *param, const rein_val *as);
void rec_without(struct rein_rec *);
void rec_set_param(struct rein_rec *, const struct rein_tensor *, rein_val);
rein_val rec_random(struct rein_rec *, const char *, uint32_t dist, uint32_t key, uint32_t rank, const int64_t *dim);

/* --- record_loop.c: loops, overridden derivatives, custom ops ------------------------------ */
void rec_repeat(struct rein_rec *, const struct rein_loop *, rein_val *carry, rein_body *, void *ctx);
rein_val rec_override(struct rein_rec *, rein_val y, uint32_t n, const rein_val *in, rein_vjp *, const void *ctx);
void rec_custom(struct rein_rec *, const struct rein_custom *, uint32_t n_in, const rein_val *in, uint32_t n_out,
                rein_val *out);

/* --- ops.c, ops_shape.c ------------------------------------------------------------------- */
/* What a shape rule sees: operands, attributes (which it completes), results to fill. */
struct infer {
	uint32_t op, n_in, n_out;
	const struct rec_value *const *in;
	struct rein_attr *attr;
	struct rec_value *out;
	char why[400];
};
bool op_infer(struct infer *); /* false: why says what is wrong */
bool infer_bad(struct infer *, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool infer_shape(struct infer *, uint32_t result, uint32_t dtype, uint32_t rank, const int64_t *dim);
bool infer_join(struct infer *, const struct rec_value *a, const struct rec_value *b, uint32_t *rank, int64_t *dim);
int infer_axis(const struct infer *); /* the one axis of attr.axes, -1: not exactly one */
struct shape_text {
	char s[96];
};
struct shape_text shape_text(uint32_t rank, const int64_t *dim); /* "(100,3072)" */
#define SHAPE(v) shape_text((v)->rank, (v)->dim).s
/* Rules of ops_shape.c. */
bool infer_matmul(struct infer *);
bool infer_conv(struct infer *);
bool infer_conv_dx(struct infer *);
bool infer_conv_dw(struct infer *);
bool infer_pool(struct infer *);
bool infer_pool_dx(struct infer *);
bool infer_reshape(struct infer *);
bool infer_permute(struct infer *);
bool infer_expand(struct infer *);
bool infer_slice(struct infer *);
bool infer_unslice(struct infer *);
bool infer_concat(struct infer *);
bool infer_take(struct infer *);
bool infer_put(struct infer *);
bool infer_sort(struct infer *);
bool infer_smallest(struct infer *);
bool infer_warp(struct infer *);
bool infer_cross_entropy(struct infer *);
bool infer_batch_norm(struct infer *);
bool infer_batch_norm_dx(struct infer *);

/* --- grad.c, grad_rules.c ------------------------------------------------------------------- */
void rec_grads(struct rein_rec *, rein_val y, rein_val seed, uint32_t n, const rein_val *wrt, rein_val *out);
/* Several y with their seeds (NONE: none); not reached gives NONE. `what` for messages. */
void grads_core(struct recorder *, uint32_t n_y, const rein_val *y, const rein_val *seed, uint32_t n,
                const rein_val *wrt, rein_val *out);
/* One instruction's derivative: g per result (NONE: zero) -> gin per operand, where need[k]. */
struct grad {
	struct recorder *r;
	struct rein_rec *rec;
	const struct rec_instr *i; /* a copy */
	const rein_val *in, *out, *g;
	const bool *need;
	rein_val *gin;
};
/* How an op stands to gradients. */
#define GRAD_ZERO   0u
#define GRAD_RULE   1u
#define GRAD_REFUSE 2u
uint32_t grad_kind(const struct recorder *, const struct rec_instr *);
bool grad_reaches(const struct rec_instr *, uint32_t operand); /* can operand k have a gradient? */
void grad_rule(struct grad *);
rein_val grad_to(struct recorder *, rein_val g, rein_val like); /* sum over broadcast axes */
/* Rules of grad_shape.c. */
void grad_matmul(struct grad *);
void grad_conv(struct grad *);
void grad_conv_dx(struct grad *);
void grad_conv_dw(struct grad *);
void grad_max_pool(struct grad *);
void grad_max_pool_dx(struct grad *);
void grad_avg_pool(struct grad *);
void grad_reshape(struct grad *);
void grad_permute(struct grad *);
void grad_expand(struct grad *);
void grad_slice(struct grad *);
void grad_unslice(struct grad *);
void grad_concat(struct grad *);
void grad_take(struct grad *);
void grad_put(struct grad *);
void grad_sort(struct grad *);
void grad_log_softmax(struct grad *);
void grad_cross_entropy(struct grad *);
void grad_batch_norm(struct grad *);
void grad_by_expansion(struct grad *);

/* --- expand.c --------------------------------------------------------------------------------- */
/* Records the decomposition of a coarse op on `in`; fills out[0..n_out-1]. */
void rec_expand(struct recorder *, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *,
                uint32_t n_out, rein_val *out);

/* --- hoist.c, clean.c, fold.c, pack.c -------------------------------------------------------------------- */
/* While cleaning: the value an op comes to by folding or an exact identity, or NONE. May
 * rewrite operands and attributes into a simpler form of the same op. */
rein_val fold(struct recorder *, uint32_t op, uint32_t n_in, rein_val *in, struct rein_attr *,
              const struct rec_value *out);
/* Fill value of a constant made of one number; false if it is none. */
bool fold_uniform(const struct recorder *, rein_val, double *value);
/* While cleaning: an op whose shapes are known, in its simplest form: a coarse one that the
 * backend lacks expanded, else folded, else the equal instruction already there, else appended. */
void clean_op(struct recorder *, uint32_t op, uint32_t n_in, rein_val *in, struct rein_attr *, uint32_t n_out,
              const struct rec_value *like, rein_val *out);
/* Marks what body `b` needs for its outputs and, in body 0, `root`; live is per instruction. */
void clean_live(struct recorder *, int b, const struct ints *root, uint8_t *live);
struct commit_list {
	int n;
	struct rein_prog_commit *at;
};
/* Values worth keeping per sample, in a cleaned body whose sample numbers are the value `id`. Lists
 * are in the recorder's memory. */
struct hoisted {
	int n;
	int32_t *value;
	uint8_t *made; /* per instruction: makes them */
	void *key;     /* of what is computed */
	uint64_t key_size;
	int64_t macs; /* of a sample */
};
bool hoist_find(struct recorder *, int body, const uint8_t *live, const struct ints *root, const struct commit_list *,
                int32_t id, struct hoisted *);
struct program *pack(struct recorder *, int body, const struct commit_list *, const struct ints *output,
                     const uint8_t *live);

#endif
