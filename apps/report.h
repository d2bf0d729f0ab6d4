/* What the program prints: complaints on stderr, untrusted names, JSON strings, numbers. */
#ifndef XATTN_APPS_REPORT_H
#define XATTN_APPS_REPORT_H

#include <stdbool.h>
#include <stdio.h>
#include <xattn.h>

/* Names the subcommand that later complaints start with. */
void report_begin(const char *command);

/* "xattn run: SUBJECT: MESSAGE" on stderr. The subject is the file or option at fault, or NULL.
 * Control characters of either are escaped: they may come out of a file. */
void complain(const char *subject, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with what the library had to say about `status` (handle NULL: a call without one). */
void complain_status(const char *subject, const xattn_handle *handle, xattn_status status);

/* Prints text so that nothing in it can steer a terminal: control and bidirectional-override
 * characters become \u{..}, bytes that are not UTF-8 become \xNN. Returns the columns taken; with
 * `to` NULL it only counts. */
int print_safe(FILE *to, const char *text);

/* Prints text as a JSON string, quotes included; bytes that are not UTF-8 become U+FFFD. */
void print_json_string(FILE *to, const char *text);

/* Prints "[1, 1024, 512]", which is JSON as well. */
void print_shape(FILE *to, const xattn_tensor *tensor);

/* "[1, 1024, 512]" and "1,048,576", in a buffer inside the value, for use within one expression:
 * printf("%s", count_text(n).text). */
typedef struct short_text {
  char text[192];
} short_text;
short_text shape_text(const xattn_tensor *tensor);
short_text count_text(int64_t number);

/* Prints widths, heads and parameters of a layer, a line for people. */
void print_layer(const xattn_layer_info *dims);

/* Product of the shape. Tensors out of checked files only: it does not look for overflow. */
int64_t tensor_elements(const xattn_tensor *tensor);

#endif
