/* SPDX-License-Identifier: MIT
 *
 * files.c: whole files, replaced atomically: a reader sees the old file or the new one,
 * never half of it, whenever the process is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"
#include "files.h"

static bool complain(char *why, size_t size, const char *doing, const char *path)
{
	snprintf(why, size, "cannot %s '%s': %s", doing, path, strerror(errno));
	return false;
}

/* Devices and pipes have no old content to protect, and must not be replaced by a file. */
static bool is_special(const char *path)
{
	struct stat s;
	return !stat(path, &s) && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode);
}

bool file_begin(struct file_writer *w, const char *path, char *why, size_t size)
{
	memset(w, 0, sizeof *w);
	w->path = path;
	w->fd = -1;
	if (is_special(path)) {
		w->fd = open(path, O_WRONLY | O_CLOEXEC);
		return w->fd >= 0 || complain(why, size, "write", path);
	}
	if (asprintf(&w->temporary, "%s.tmp-%ld", path, (long)getpid()) < 0) {
		w->temporary = NULL;
		return complain(why, size, "write", path);
	}
	unlink(w->temporary); /* left by a killed process of the same number */
	w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (w->fd >= 0)
		return true;
	complain(why, size, "write", path);
	free(w->temporary);
	w->temporary = NULL;
	return false;
}

bool file_add(struct file_writer *w, const void *data, size_t bytes)
{
	const char *from = data;
	while (bytes && !w->error) {
		ssize_t k = write(w->fd, from, bytes < (1u << 30) ? bytes : 1u << 30);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			w->error = errno;
			break;
		}
		from += k;
		bytes -= (size_t)k;
	}
	return !w->error;
}

/* The new name is on disk only once its folder is. */
static void sync_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 1;
	int fd;
	if (n >= sizeof folder)
		return;
	memcpy(folder, slash ? path : ".", n);
	folder[n] = 0;
	fd = open(n ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

bool file_end(struct file_writer *w, char *why, size_t size)
{
	if (w->fd < 0)
		return false;
	if (!w->error && w->temporary && fsync(w->fd))
		w->error = errno;
	if (close(w->fd) && !w->error)
		w->error = errno;
	if (!w->error && w->temporary && rename(w->temporary, w->path))
		w->error = errno;
	if (w->error && w->temporary)
		unlink(w->temporary);
	else if (w->temporary)
		sync_folder(w->path);
	free(w->temporary);
	w->temporary = NULL;
	w->fd = -1;
	errno = w->error;
	return !w->error || complain(why, size, "write", w->path);
}

bool file_replace(const char *path, const void *data, size_t bytes, char *why, size_t size)
{
	struct file_writer w;
	if (!file_begin(&w, path, why, size))
		return false;
	file_add(&w, data, bytes);
	return file_end(&w, why, size);
}

bool folder_make(const char *path, char *why, size_t size)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	struct stat s;
	if (!n || n >= sizeof part) {
		errno = n ? ENAMETOOLONG : ENOENT;
		return complain(why, size, "make folder", path);
	}
	memcpy(part, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i])
			continue;
		part[i] = 0;
		if (mkdir(part, 0777) && errno != EEXIST && !(errno == EROFS && !access(part, F_OK)))
			return complain(why, size, "make folder", part);
		part[i] = i < n ? '/' : 0;
	}
	if (stat(path, &s))
		return complain(why, size, "make folder", path);
	errno = ENOTDIR;
	return S_ISDIR(s.st_mode) || complain(why, size, "make folder", path);
}
