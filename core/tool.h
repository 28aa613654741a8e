/* SPDX-License-Identifier: MIT
 *
 * tool.h: what the commands of `rein` share: options with help and suggestions, and the
 * session (plugins, messages, one config file with overrides). A new command is a function
 * int cmd_<name>(int argc, char **argv) here and a row in main.c.
 */
#ifndef CORE_TOOL_H
#define CORE_TOOL_H

#include "component.h"
#include "config.h"

#define EXIT_DONE   0
#define EXIT_FAILED 1 /* a run failed */
#define EXIT_USAGE  2 /* command line or config */
#define EXIT_PLUGIN 3 /* a plugin that is needed was refused */

/* argv[0] is the command's own name. All give an exit code. */
int cmd_run(int argc, char **argv);
int cmd_validate(int argc, char **argv);
int cmd_summary(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_evaluate(int argc, char **argv);
int cmd_attack(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_prune(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* One option. Tables end with name NULL. Every command also has --help and --plugin-dir. */
struct cli_option {
	char letter;        /* short form, or 0 */
	const char *name;   /* "variant" */
	const char *arg;    /* "NAME"; NULL: a switch */
	const char *help;   /* one line */
	const char **value; /* where a value goes; the last one given counts */
	bool *flag;         /* where a switch goes */
};
struct cli {
	const char *command;  /* "run" */
	const char *operands; /* "FILE [path=value ...]" */
	const char *about;    /* one paragraph */
	const char *examples; /* lines, each ending in \n */
	const struct cli_option *option;
	int n_plugin_dir; /* filled by cli_parse */
	const char **plugin_dir;
	int n_operand;
	char **operand;
};
/* Parses; -1 to go on, else the exit code to leave with (help was printed, or an error). */
int cli_parse(struct cli *, int argc, char **argv);
void cli_finish(struct cli *);
/* "rein run: <message>" and where help is, on stderr; gives EXIT_USAGE. */
int cli_usage(const struct cli *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Is the text given as --OPTION, if any, a whole number of at least `min`? -1, or EXIT_USAGE after a message. */
int cli_whole(const struct cli *, const char *option, const char *text, int64_t min);

/* Plugins, messages and one config file. */
struct session {
	struct registry *registry;
	struct diag *diag;
	struct config_file *file;
	const char *path;
	int n_variant;
	const char *const *variant;
	int n_override;
	const char **override;
	bool timed;   /* backends take the time of every kernel */
	bool to_load; /* the command says which weights: [run] weights, which a model may come from, stay unopened */
};
/* Opens plugins and reads operand 0; the other operands are overrides. -1, or an exit code
 * after messages. session_close may always be called. */
int session_open(struct session *, const struct cli *);
void session_override(struct session *, const char *path, const char *value);
/* The config's stages are taken away, for others to be put in their place by overrides. */
void session_no_stages(struct session *, const char *variant);
void session_close(struct session *);
/* Is `name` a variant of the file? Else an error with a suggestion. */
bool session_variant(struct session *, const char *name);
/* Is what is given as --OPTION, a name or (many) several with commas between them, each there once,
 * in the section? -1, or EXIT_USAGE after a message. */
int session_names(struct session *, const struct cli *, const char *variant, const char *option, const char *list,
                  const char *section, bool many);
/* Prints what was collected; EXIT_PLUGIN if a refused plugin explains errors of this config
 * (which may be NULL), EXIT_USAGE for other errors, -1 if there were none. */
int session_errors(struct session *, const struct config *);

bool path_is_folder(const char *);
/* The first operand is a run folder: its config (allocated) takes the operand's place, and, unless
 * weights are given, its own are meant (allocated). -1, or an exit code after a message. */
int run_operand(struct cli *, char **file, char **weights);
/* Weights in the folder that rein run leaves for a config. The same. */
int run_of_config(const struct session *, const char *variant, char **weights);

/* settings_read, but with the default in place of what is wrong, so that more can be checked. */
struct settings;
struct settings *settings_read_all(const struct config *, struct diag *);

/* A folder's file name, allocated: a/b. */
char *path_join(const char *folder, const char *name);
/* As keys of type PATH are read: absolute as it is, else under REIN_DATA if it is there, else
 * beside the config. */
char *path_of_config(const char *config_path, const char *path);
/* malloc and friends that end the process with a message: the tool has nothing better to do. */
void *tool_alloc(size_t bytes);
char *tool_strdup(const char *);
char *tool_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
