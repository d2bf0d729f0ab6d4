/* For the suites of the file readers: a directory of a test's own, the file it is about, and what
 * opening it gives. */
#ifndef XATTN_TESTS_SUPPORT_OPEN_H
#define XATTN_TESTS_SUPPORT_OPEN_H

#include <xattn.h>

extern char directory[200];
extern char path[300]; /* of the file a test is about */

/* Make and remove the directory: a checked fixture. */
void set_up(void);
void tear_down(void);

/* The call failed with this status, and the thread's message holds the text. */
void assert_error(xattn_status got, xattn_status status, const char *text);

/* The file at `path` is refused; the message names it and holds the text. */
void assert_refused(xattn_status status, const char *text);

/* The file at `path`, which is good. */
xattn_file *open_file(void);

#endif
