/* SPDX-License-Identifier: MIT
 *
 * blame.h: which plugin's code a thread is in, so that a crash names it. A program
 * cannot go on after one, but its user learns whose bug it is and which line of the
 * config leads to it.
 */
#ifndef CORE_BLAME_H
#define CORE_BLAME_H

#include "component.h"

/* From now until blame_back() this thread is in code of `who` (NULL: in rein's own). Gives
 * who it was before, for blame_back(). Any thread; costs two stores. */
const struct instance *blame(const struct instance *who);
void blame_back(const struct instance *before);
/* The same while a plugin file is opened and has no instance yet; NULL when that is over. */
void blame_file(const char *path);

/* Installs the handlers: a crash inside a plugin prints its name, the place of its spec and
 * its file, then goes the way it would have gone. [control] once, from main(). */
void blame_catch(void);

#endif
