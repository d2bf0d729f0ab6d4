#include "support_open.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "support_files.h"

char directory[200];
char path[300]; /* of the file a test is about */

void set_up(void) {
  ck_assert_int_eq(make_directory(directory, sizeof directory), 0);
  (void)snprintf(path, sizeof path, "%s/file", directory);
}

void tear_down(void) {
  ck_assert_int_eq(remove_directory(directory), 0);
}

void assert_error(xattn_status got, xattn_status status, const char *text) {
  ck_assert_msg(got == status, "%s instead of %s: %s", xattn_status_name(got),
                xattn_status_name(status), xattn_last_error(NULL));
  ck_assert_msg(strstr(xattn_last_error(NULL), text), "\"%s\" in \"%s\"", text,
                xattn_last_error(NULL));
}

/* The file at `path` is refused; the message names it and holds the text. */
void assert_refused(xattn_status status, const char *text) {
  xattn_file *file = NULL;
  assert_error(xattn_file_open(path, &file), status, text);
  ck_assert_ptr_null(file);
  ck_assert_msg(strstr(xattn_last_error(NULL), path), "%s in %s", path, xattn_last_error(NULL));
}

xattn_file *open_file(void) {
  xattn_file *file = NULL;
  xattn_status status = xattn_file_open(path, &file);
  ck_assert_msg(status == XATTN_OK, "%s", xattn_last_error(NULL));
  return file;
}
