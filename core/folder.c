/* SPDX-License-Identifier: MIT
 *
 * folder.c: run folders on disk. Everything is a rename: RENAME_EXCHANGE where the file
 * system has it, else two renames whose middle is recognised at the next start.
 */
#include "folder.h"

#include "checkpoint.h"
#include "history.h"
#include "tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const own_files[] = { FILE_RESOLVED,   FILE_METRICS, FILE_MODEL,
	                                     FILE_CHECKPOINT, FILE_TRACK,   FILE_FINISHED };

bool file_exists(const char *folder, const char *name)
{
	char *p = path_join(folder, name);
	bool there = !access(p, F_OK);
	free(p);
	return there;
}

static bool fail(char *why, size_t size, const char *what, const char *path)
{
	snprintf(why, size, "cannot %s '%s': %s", what, path, strerror(errno));
	return false;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) { return remove(path); }

static bool remove_tree(const char *path, char *why, size_t size)
{
	if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
		return fail(why, size, "remove", path);
	return true;
}

static bool is_own(const char *name)
{
	for (size_t i = 0; i < sizeof own_files / sizeof own_files[0]; i++)
		if (!strcmp(name, own_files[i]))
			return true;
	return false;
}

/* `old` was replaced by `now`: other people's files and other runs move over, the rest goes. */
static bool clear_old(const char *old, const char *now, char *why, size_t size)
{
	DIR *dir = opendir(old);
	struct dirent *e;

	if (!dir)
		return fail(why, size, "open", old);
	while ((e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || is_own(e->d_name) || file_exists(now, e->d_name))
			continue;
		char *from = path_join(old, e->d_name), *to = path_join(now, e->d_name);
		bool moved = !rename(from, to);
		if (!moved)
			fail(why, size, "move", from);
		free(from);
		free(to);
		if (!moved) {
			closedir(dir);
			return false;
		}
	}
	closedir(dir);
	return remove_tree(old, why, size);
}

static void sync_parent(const char *path)
{
	char *parent = tool_strdup(path), *slash = strrchr(parent, '/');
	if (slash)
		*slash = 0;
	int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(parent);
}

/* The two folders change names. */
static bool exchange(const char *a, const char *b, char *why, size_t size)
{
	if (!renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE))
		return true;
	if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
		return fail(why, size, "rename", a);
	/* b is missing for a moment; run_folder_init then finds a finished a and no b */
	char *side = tool_printf("%s.old", b);
	bool good = !rename(b, side) && !rename(a, b) && !rename(side, a);
	free(side);
	return good || fail(why, size, "rename", a);
}

bool run_folder_commit(struct run_folder *f, char *why, size_t size)
{
	bool replaces = !access(f->path, F_OK);

	if (!replaces && rename(f->work, f->path))
		return fail(why, size, "rename", f->work);
	if (replaces && (!exchange(f->work, f->path, why, size) || !clear_old(f->work, f->path, why, size)))
		return false;
	sync_parent(f->path);
	f->finished = true;
	f->begun = false;
	return true;
}

static bool marked(const char *folder, double *ended)
{
	struct run_facts facts;
	char *p = path_join(folder, FILE_FINISHED);
	bool good = facts_read(&facts, p);
	free(p);
	*ended = facts.ended;
	return good;
}

bool run_folder_init(struct run_folder *f, char *path, char *why, size_t size)
{
	double there, here;
	f->path = path;
	f->work = tool_printf("%s.unfinished", path);
	f->finished = marked(f->path, &there);
	f->begun = !access(f->work, F_OK);
	/* Killed while names changed: the later of two finished runs belongs in path. */
	char *side = tool_printf("%s.old", path);
	bool good = true;
	if (access(f->path, F_OK) && !access(side, F_OK))
		good = !rename(side, f->path) || fail(why, size, "rename", side);
	else if (!access(side, F_OK))
		good = clear_old(side, f->path, why, size);
	free(side);
	f->finished = marked(f->path, &there);
	if (!good || !f->begun || !marked(f->work, &here))
		return good;
	if (!f->finished || here > there)
		return run_folder_commit(f, why, size);
	f->begun = false;
	return clear_old(f->work, f->path, why, size);
}

void run_folder_finish(struct run_folder *f)
{
	free(f->path);
	free(f->work);
	memset(f, 0, sizeof *f);
}

bool run_folder_begin(struct run_folder *f, char *why, size_t size)
{
	if (f->begun && !remove_tree(f->work, why, size))
		return false;
	f->begun = false;
	if (!folder_make(f->work, why, size))
		return false;
	f->begun = true;
	return true;
}
