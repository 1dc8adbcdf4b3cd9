/* SPDX-License-Identifier: MIT */
/* result.h -- how a call of libc is answered in the tables of os.h and code_os.h. */
#ifndef PH_OS_RESULT_H
#define PH_OS_RESULT_H

#include <errno.h>

/* Return from the calling function: 0 if the condition holds, which tells that a libc call has succeeded;
 * else the negative errno of that call.  The caller's errno is as it was. */
#define PH_RETURN_RESULT(condition)                                                                          \
    do {                                                                                                     \
        int saved_ = errno;                                                                                  \
        int result_ = (condition) ? 0 : -errno;                                                              \
        errno = saved_;                                                                                      \
        return result_;                                                                                      \
    } while (0)

#endif
