/* SPDX-License-Identifier: MIT
 *
 * check.h: rein check. A backend is held to the reference kernels of the cpu backend over cases:
 * rows of a table (check_cases.c), some of them recorded by hand (check_hand.c), and programs
 * made by chance (check_program.c). check_run.c runs one case in every way and judges it by the
 * table of check_bounds.c; check_child.c does so in a process of its own, which may crash.
 *
 * A new op needs rows in check_cases.c and, if it rounds, one in check_bounds.c.
 */
#ifndef CORE_CHECK_H
#define CORE_CHECK_H

#include "program.h"
#include "rein/rein.h"

#define CHECK_REFERENCE "cpu" /* the backend whose naive kernels are the reference */
#define CHECK_MAX_IN    8
#define CHECK_MAX_OUT   8

/* --- the command line ---------------------------------------------------------------------- */
struct check_options {
	const char *seed, *level, *only, *number, *seconds;
	bool json;
	int64_t seed_n, level_n, number_n, seconds_n;
	bool some[REIN_OP_COUNT]; /* of only */
};

/* --- operands ------------------------------------------------------------------------------- */
struct check_operand {
	uint32_t dtype, rank;
	int64_t dim[REIN_MAX_RANK], count;
	double *v; /* exact in float */
};
/* From "r7x5:e i3": a letter for the dtype (r real, w wide, i i32, u u8, b bool), sizes, and how it
 * is filled; check_data.c has the words. Capital letters are sizes by chance. Gives how many. */
int check_operands(const char *text, uint64_t seed, struct check_operand *in);
void check_operands_free(struct check_operand *in, int n);
/* Operands of the derivatives of windows are made from those of the op itself: "x w" becomes
 * "g w", "x g", "g index"; attributes get the shape that is asked for. */
int check_adapt(uint32_t op, struct rein_attr *, uint64_t seed, struct check_operand *in, int n);
/* How many terms an element of the op's result adds up at most. */
double check_terms(uint32_t op, const struct rein_attr *, int n, const struct check_operand *in, int64_t n_out);

/* --- recording ------------------------------------------------------------------------------- */
/* What a case records with. */
struct check_call {
	struct recorder *rec;
	struct rein_rec *r;
	struct store *store;
	int64_t pad;    /* bytes around each state's memory; 0: none */
	bool magnitude; /* absolute values of all operands: what errors of sums are measured by */
	uint32_t op;
	struct rein_attr attr;
	uint64_t seed;
	int n_in, n_out;
	rein_val in[CHECK_MAX_IN], out[CHECK_MAX_OUT];
	struct state *state[CHECK_MAX_IN]; /* that in[] was read from */
	char why[512];                     /* not "": it could not be done */
};
/* A state with these values, allocated and filled. */
struct state *check_state(struct check_call *, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
                          const double *v);
/* A program of about `ops` ops by chance; the same seed, the same program. Every loose end is an
 * output; its states are named "<seed>.*". */
void check_program(struct check_call *, uint64_t seed, int ops);
/* Number i of memory of a dtype, as double. */
double check_number(uint32_t dtype, uint32_t real_size, const void *mem, int64_t i);

/* What the diag holds, as text without the last line's end; forgotten there. */
void check_messages(struct diag *, char *out, size_t size);
/* The bytes of every state, so that a second run can begin as the first did; all are allocated. */
void **check_keep(struct store *);

/* --- cases ------------------------------------------------------------------------------------- */
struct check_row {
	uint32_t op, last; /* last: the row is for each op up to this one; 0: for op alone */
	int level;         /* from which on it is run */
	const char *in;
	struct rein_attr a;
	void (*record)(struct check_call *); /* NULL: the op on its operands */
};
extern const struct check_row check_rows[];
extern const int check_n_rows;
void check_record(const struct check_row *, struct check_call *); /* operands are read already */
/* Those recorded by hand. */
void check_hand_const(struct check_call *);
void check_hand_read(struct check_call *);
void check_hand_update(struct check_call *);
void check_hand_swap(struct check_call *);
void check_hand_transposed(struct check_call *);
void check_hand_random(struct check_call *);
void check_hand_map(struct check_call *);
void check_hand_div(struct check_call *);
void check_hand_loop(struct check_call *);
void check_hand_active(struct check_call *);
void check_hand_freeze(struct check_call *);
void check_hand_nested(struct check_call *);
void check_hand_busy(struct check_call *);
void check_hand_custom(struct check_call *);

#define CHECK_PROGRAMS 0u /* in place of an op's number */
struct check_case {
	uint32_t op; /* or CHECK_PROGRAMS */
	int number;  /* among the op's; the same at every level */
	const struct check_row *row;
	uint64_t seed; /* of its numbers */
	int ops;       /* programs: about how many */
};
/* The cases of a level: those of one op only (-1: all), the one of that number only (-1: all).
 * Allocated; gives how many. */
int check_cases(uint64_t seed, int level, const bool only[REIN_OP_COUNT], int number, struct check_case **out);
const char *check_op_name(uint32_t op);

/* --- bounds: what docs/numerics.md says ----------------------------------------------------- */
/* How operands of products may be rounded. */
enum { CHECK_FP32, CHECK_TF32, CHECK_BF16, CHECK_N_MATH };
enum check_rule {
	CHECK_SAME,  /* the reference's number in float, the sign of zero included */
	CHECK_ULP,   /* units in the last place of the exact result */
	CHECK_TERMS, /* times (1 + sqrt k) sum |terms|; with tf32 and bf16 a share of sum |terms| */
	CHECK_NEAR,  /* times 1 + |exact result| */
	CHECK_WHOLE, /* of a program: CHECK_OF_REF times the reference's error in float, and a share of
	              * the tensor's largest number (at least 1) */
};
#define CHECK_OF_REF 16
struct check_bound {
	enum check_rule rule;
	double by;        /* ulps, or a factor */
	bool product;     /* rounds as `math` says */
	const char *text; /* for the table: "2 ulp" */
};
struct check_bound check_bound(uint32_t op, const struct rein_attr *, int math);
/* An op's result against exact (the reference in double) and ref (in float). */
struct check_judged {
	double worst;   /* largest error as a share of what is allowed; more than 1 is wrong */
	int64_t at;     /* where */
	double allowed; /* there; 0: none */
};
struct check_judged check_judge(const struct check_bound *, uint32_t dtype, double terms, int64_t n, const double *got,
                                const double *exact, const double *ref, const double *magnitude);

/* --- running ------------------------------------------------------------------------------------- */
enum check_status {
	CHECK_PASSED,
	CHECK_FAILED,
	CHECK_UNSUPPORTED,
	CHECK_CRASHED, /* or took too long */
	CHECK_BEGIN,   /* of a report: the case is begun */
	CHECK_READY,   /* of a report: the backend is open; text: the device */
	CHECK_NO_SPEC, /* it cannot be made: its keys */
	CHECK_NO_DEVICE,
};
struct check_report {
	int32_t number; /* into the list of cases */
	int32_t status;
	double worst;
	uint32_t unsupported; /* which op */
	bool present;         /* the op is in the program that was compiled: identities are dropped before */
	bool decomposed;      /* coarse, and made of others by the core */
	char text[2048];
};

/* A backend under test, opened twice, and the reference in double and in float. */
struct check_bench;
struct check_target {
	struct registry *registry;
	const struct spec *spec;
	const char *text; /* "cuda math=tf32" */
	int math;
};
/* NULL with the status and reason in the report. */
struct check_bench *check_open(const struct check_target *, struct check_report *);
void check_close(struct check_bench *); /* accepts NULL */
void check_run(struct check_bench *, const struct check_case *, struct check_report *);

/* --- children -------------------------------------------------------------------------------- */
/* What is done in child processes, one case after another. */
struct check_jobs {
	int n;
	int seconds;                                     /* that one case may take */
	int n_group;                                     /* cases belong to groups 0..n_group-1 ... */
	int (*group)(void *ctx, int k);                  /* and a group that crashes again and again is left */
	void *(*open)(void *ctx, struct check_report *); /* in each child; NULL with the reason in the report */
	void (*run)(void *opened, void *ctx, int k, struct check_report *);
	void (*close)(void *opened);
	void (*on)(void *ctx, int k, const struct check_report *); /* in the parent, for each case that is over */
	void *ctx;
};
/* False, with the status and reason in *first, if nothing could be opened. */
bool check_children(const struct check_jobs *, struct check_report *first);

/* --- commands: give an exit code ---------------------------------------------------------------- */
int check_backend(const struct check_options *, const struct check_target *);
/* One component with these keys, or, where c is NULL, all of a file. */
int check_parts(const struct check_options *, struct registry *, const struct component *c, const struct spec *,
                const char *file);

#endif
