/* SPDX-License-Identifier: MIT
 *
 * loader.c: finds plugins, opens them, and keeps their components. A file that is not
 * taken is remembered with the reason. Nothing is ever closed: components point into the
 * files. Folders, in order: those given, REIN_PLUGIN_PATH, then the build tree's when run
 * from one, else the installed one; never the current one.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blame.h"
#include "schema.h"

#define PLUGIN_V1_0    48u /* sizeof(struct rein_plugin) in 1.0 */
#define COMPONENTS_MAX 256

#ifndef RTLD_NODELETE
#define RTLD_NODELETE 0
#endif

struct refused {
	const char *path, *reason;
};
struct hidden {
	const struct component *component;
	const char *by;
};

struct registry {
	struct pool *pool;
	int n, n_refused, n_hidden, n_folder;
	struct component **component; /* sorted by kind, name */
	struct refused *refused;
	struct hidden *hidden;
	const char **folder;
};

/* --- one file -------------------------------------------------------------------------- */

/* True if the file holds all the bytes that its program headers promise: what lies beyond
 * the end would be a SIGBUS later, not an error of dlopen(). */
static bool elf_whole(int fd, off_t size, struct why *why)
{
	ElfW(Ehdr) head;
	ElfW(Phdr) part;
	if (pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head || memcmp(head.e_ident, ELFMAG, SELFMAG))
		return refuse(why, "it is no shared object");
	if (head.e_phentsize != sizeof part)
		return true; /* another class: dlopen says it better */
	for (int i = 0; i < head.e_phnum; i++) {
		off_t at = (off_t)head.e_phoff + (off_t)i * (off_t)sizeof part;
		if (pread(fd, &part, sizeof part, at) != (ssize_t)sizeof part)
			return refuse(why, "it is truncated: its headers end beyond byte %lld", (long long)size);
		if (part.p_type == PT_LOAD && (off_t)(part.p_offset + part.p_filesz) > size)
			return refuse(why, "it is truncated: %llu bytes are promised, %lld are there",
			              (unsigned long long)(part.p_offset + part.p_filesz), (long long)size);
	}
	return true;
}

static bool file_ok(const char *path, struct why *why)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool good;
	if (fd < 0)
		return refuse(why, "cannot open it: %s", strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		good = refuse(why, "it is not a regular file");
	else if (st.st_mode & S_IWOTH)
		good = refuse(why, "everyone may write to it (mode %04o); chmod o-w it", (unsigned)(st.st_mode & 07777));
	else
		good = elf_whole(fd, st.st_size, why);
	close(fd);
	return good;
}

/* The load rule: magic, same major, minor no newer than ours, all of the 1.0 table. */
static bool load_rule(const struct rein_plugin *p, struct why *why)
{
	if (!p)
		return refuse(why, "rein_plugin_entry() gave NULL");
	if (p->magic != REIN_ABI_MAGIC)
		return refuse(why, "magic is 0x%08x, 0x%08x is expected", p->magic, REIN_ABI_MAGIC);
	if (p->abi_major != REIN_ABI_MAJOR)
		return refuse(why, "abi_major is %u, this rein has %u", p->abi_major, REIN_ABI_MAJOR);
	if (p->abi_minor > REIN_ABI_MINOR)
		return refuse(why, "abi_minor is %u, this rein has %u.%u: it needs a newer rein", p->abi_minor, REIN_ABI_MAJOR,
		              REIN_ABI_MINOR);
	if (p->struct_size < PLUGIN_V1_0)
		return refuse(why, "struct_size of the plugin is %u, at least %u is expected", p->struct_size, PLUGIN_V1_0);
	if (!p->name || !*p->name || !p->version || !*p->version || !p->license)
		return refuse(why, "name, version or license of the plugin is missing");
	if (!p->components || !p->components[0])
		return refuse(why, "it holds no components");
	return true;
}

static const struct rein_plugin *open_plugin(const char *path, struct why *why)
{
	blame_file(path);
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	blame_file(NULL);
	const struct rein_plugin *(*entry)(void);
	void *symbol;
	const struct rein_plugin *p;
	if (!lib) {
		const char *text = dlerror();
		refuse(why, "%s", text ? text : "dlopen failed");
		return NULL;
	}
	symbol = dlsym(lib, "rein_plugin_entry");
	if (!symbol) {
		refuse(why, "not a rein plugin: it has no rein_plugin_entry");
		return NULL;
	}
	memcpy(&entry, &symbol, sizeof entry);
	blame_file(path);
	p = entry();
	blame_file(NULL);
	return load_rule(p, why) ? p : NULL;
}

static void grow(struct pool *pool, void **array, int n, size_t size)
{
	void *old = *array;
	if (n & (n - 1))
		return;
	*array = pool_alloc(pool, (size_t)(n ? 2 * n : 1) * size);
	if (old)
		memcpy(*array, old, (size_t)n * size);
}

static int compare(uint32_t kind, const char *name, const struct component *c)
{
	if (kind != c->c.kind)
		return kind < c->c.kind ? -1 : 1;
	return strcmp(name, c->c.name);
}

/* Index of the component, or ~index of where it would go. */
static int search(const struct registry *r, uint32_t kind, const char *name)
{
	int lo = 0, hi = r->n;
	while (lo < hi) {
		int mid = (lo + hi) / 2, how = compare(kind, name, r->component[mid]);
		if (!how)
			return mid;
		if (how < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return ~lo;
}

static void keep(struct registry *r, struct component *c)
{
	int at = search(r, c->c.kind, c->c.name);
	if (at >= 0) {
		grow(r->pool, (void **)&r->hidden, r->n_hidden, sizeof *r->hidden);
		r->hidden[r->n_hidden++] = (struct hidden){ c, r->component[at]->path };
		return;
	}
	at = ~at;
	grow(r->pool, (void **)&r->component, r->n, sizeof(struct component *));
	memmove(r->component + at + 1, r->component + at, (size_t)(r->n - at) * sizeof *r->component);
	r->component[at] = c;
	r->n++;
}

/* All components of the file, or none. */
static bool load(struct registry *r, const char *path, struct why *why)
{
	struct component *made[COMPONENTS_MAX];
	const struct rein_plugin *p;
	int n = 0;
	if (!file_ok(path, why) || !(p = open_plugin(path, why)))
		return false;
	for (; p->components[n]; n++) {
		struct why own = { "" };
		if (n == COMPONENTS_MAX)
			return refuse(why, "more than %d components: the end of the list is missing", COMPONENTS_MAX);
		made[n] = schema_component(r->pool, p->components[n], &own);
		if (!made[n])
			return refuse(why, "component %d '%s': %s", n + 1, schema_name(p->components[n]), own.text);
		made[n]->plugin = p->name;
		made[n]->plugin_version = p->version;
		made[n]->path = path;
		for (int i = 0; i < n; i++)
			if (!compare(made[n]->c.kind, made[n]->c.name, made[i]))
				return refuse(why, "it has two components %s '%s'", kind_name(made[n]->c.kind), made[n]->c.name);
	}
	for (int i = 0; i < n; i++)
		keep(r, made[i]);
	return true;
}

/* --- folders ----------------------------------------------------------------------------- */

static void note_refused(struct registry *r, const char *path, const char *reason)
{
	grow(r->pool, (void **)&r->refused, r->n_refused, sizeof *r->refused);
	r->refused[r->n_refused++] = (struct refused){ path, pool_copy(r->pool, reason, strlen(reason)) };
}

static int plugin_file(const struct dirent *e)
{
	size_t n = strlen(e->d_name);
	return n > 3 && !strcmp(e->d_name + n - 3, ".so") && e->d_name[0] != '.';
}

/* Reads a folder once. `asked`: the user named it, so that its absence is worth a word. */
static void folder(struct registry *r, const char *name, bool asked)
{
	struct dirent **file;
	struct stat st;
	char *path = realpath(name, NULL);
	int n;
	if (!path || stat(path, &st)) {
		if (asked)
			note_refused(r, pool_copy(r->pool, name, strlen(name)), strerror(errno));
		free(path);
		return;
	}
	name = pool_copy(r->pool, path, strlen(path));
	free(path);
	for (int i = 0; i < r->n_folder; i++)
		if (!strcmp(r->folder[i], name))
			return;
	grow(r->pool, (void **)&r->folder, r->n_folder, sizeof *r->folder);
	r->folder[r->n_folder++] = name;
	if (st.st_mode & S_IWOTH) {
		note_refused(r, name, "everyone may write to this folder; chmod o-w it");
		return;
	}
	n = scandir(name, &file, plugin_file, alphasort);
	if (n < 0) {
		note_refused(r, name, strerror(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		const char *full = pool_print(r->pool, "%s/%s", name, file[i]->d_name);
		struct why why = { "" };
		if (!load(r, full, &why))
			note_refused(r, full, why.text);
		free(file[i]);
	}
	free(file);
}

/* The folder of a build tree that the executable lies in: "plugins" beside it, or one or two
 * levels up (tests) where Meson's files tell that this is a build tree. */
static bool build_folder(char *out, size_t size)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	struct stat st;
	if (n <= 0)
		return false;
	self[n] = 0;
	for (int up = 0; up < 3; up++) {
		char *slash = strrchr(self, '/');
		if (!slash)
			return false;
		*slash = 0;
		snprintf(out, size, "%s/meson-info", self);
		if (stat(out, &st))
			continue;
		snprintf(out, size, "%s/plugins", self);
		if (!stat(out, &st) && S_ISDIR(st.st_mode))
			return true;
	}
	return false;
}

struct registry *registry_create(int n_dir, const char *const *dirs)
{
	struct registry *r = calloc(1, sizeof *r);
	const char *env = getenv("REIN_PLUGIN_PATH");
	char own[4200];
	if (!r)
		abort();
	r->pool = pool_create();
	for (int i = 0; i < n_dir; i++)
		folder(r, dirs[i], true);
	while (env && *env) {
		size_t n = strcspn(env, ":");
		/* An empty entry would be the current folder. */
		if (n)
			folder(r, pool_copy(r->pool, env, n), true);
		env += n + (env[n] == ':');
	}
	if (build_folder(own, sizeof own))
		folder(r, own, false);
	else
		folder(r, REIN_PLUGIN_DIR, false);
	return r;
}

void registry_destroy(struct registry *r)
{
	if (!r)
		return;
	pool_destroy(r->pool);
	free(r);
}

/* --- asking -------------------------------------------------------------------------------- */

const struct component *registry_find(struct registry *r, uint32_t kind, const char *name)
{
	int at = search(r, kind, name);
	return at < 0 ? NULL : r->component[at];
}

int registry_count(const struct registry *r) { return r->n; }
const struct component *registry_at(const struct registry *r, int i)
{
	return i >= 0 && i < r->n ? r->component[i] : NULL;
}

const char *registry_refused(const struct registry *r, int i, const char **reason)
{
	if (i < 0 || i >= r->n_refused)
		return NULL;
	*reason = r->refused[i].reason;
	return r->refused[i].path;
}

const struct component *registry_hidden(const struct registry *r, int i, const char **by)
{
	if (i < 0 || i >= r->n_hidden)
		return NULL;
	*by = r->hidden[i].by;
	return r->hidden[i].component;
}

const char *registry_folder(const struct registry *r, int i) { return i >= 0 && i < r->n_folder ? r->folder[i] : NULL; }

/* A refused file that by its name should have held the component: NAME.so or KIND.NAME.so. */
static const struct refused *refused_for(const struct registry *r, const char *name)
{
	size_t n = strlen(name);
	for (int i = 0; i < r->n_refused; i++) {
		const char *path = r->refused[i].path;
		size_t len = strlen(path);
		if (len > n + 3 && !memcmp(path + len - 3 - n, name, n) &&
		    (path[len - 4 - n] == '/' || path[len - 4 - n] == '.'))
			return &r->refused[i];
	}
	return NULL;
}

void registry_unknown(struct registry *r, struct diag *d, const struct place *at, const char *section, const char *spec,
                      uint32_t kind, const char *name)
{
	const char **known = calloc((size_t)r->n + 1, sizeof *known), *near;
	const struct refused *refused = refused_for(r, name);
	char all[1024], head[128] = "", did[128] = "", other[160] = "", more[1024] = "";
	int n = 0;
	if (!known)
		abort();
	for (int i = 0; i < r->n; i++) {
		const struct component *c = r->component[i];
		if (c->c.kind == kind)
			known[n++] = c->c.name;
		else if (!strcmp(c->c.name, name))
			snprintf(other, sizeof other, "; '%s' is a %s, it goes into [%s]", name, kind_name(c->c.kind),
			         kind_section(c->c.kind));
	}
	near = diag_nearest(name, known);
	diag_list(all, sizeof all, known);
	if (near && !refused)
		snprintf(did, sizeof did, "; did you mean '%s'?", near);
	/* Which components a refused file or folder holds is not known: it may be the one. */
	if (!near && r->n_refused)
		snprintf(more, sizeof more, "; refused was %s: %s%s", r->refused[0].path, r->refused[0].reason,
		         r->n_refused > 1 ? "; and more, which 'rein inspect' lists" : "");
	/* With a caret the line itself shows section and name. */
	if (section && spec && (!at || !at->text || !at->len))
		snprintf(head, sizeof head, "[%s] %s: ", section, spec);
	if (refused)
		diag_error(d, at, "%s%s '%s' was refused: %s: %s", head, kind_name(kind), name, refused->path, refused->reason);
	else if (!n)
		diag_error(d, at, "%sunknown %s '%s'%s; no plugin of that kind was found%s", head, kind_name(kind), name, other,
		           more);
	else
		diag_error(d, at, "%sunknown %s '%s'%s%s%s %s%s", head, kind_name(kind), name, other, did,
		           *did ? " known:" : "; known:", all, more);
	free(known);
}
