/* SPDX-License-Identifier: MIT */
/* assert.h -- facts about ourselves.
 *
 * PH_ASSERT(fact)   proven by us; tested in debug builds only, so it must have no effect of its own.
 * PH_MUST(action)   an action that cannot fail unless we are wrong; done and tested in every build.
 */
#ifndef PH_BASE_ASSERT_H
#define PH_BASE_ASSERT_H

#include <stdbool.h>

/* Ends the process with one line on stderr.  Set by the os floor, which knows how; never returns. */
typedef void ph_fatal_fn(const char *what, const char *file, int line);
extern ph_fatal_fn *ph_fatal;

#define PH_MUST(action) ((action) ? (void)0 : ph_fatal(#action, __FILE__, __LINE__))

#ifdef PH_DEBUG
#define PH_ASSERT(fact) PH_MUST(fact)
#else
#define PH_ASSERT(fact) ((void)sizeof(fact))
#endif

#endif
