#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

static const char *current_command;

void report_begin(const char *command) {
  current_command = command;
}

static void print_complaint(const char *subject, const char *message) {
  /* What is already on stdout comes first where both go to one terminal. */
  (void)fflush(stdout);
  (void)fprintf(stderr, "xattn%s%s: ", current_command ? " " : "",
                current_command ? current_command : "");
  if (subject) {
    print_safe(stderr, subject);
    (void)fputs(": ", stderr);
  }
  print_safe(stderr, message);
  (void)fputc('\n', stderr);
}

void complain(const char *subject, const char *format, ...) {
  char message[2048];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  print_complaint(subject, message);
}

void complain_status(const char *subject, const xattn_handle *handle, xattn_status status) {
  const char *text = xattn_last_error(handle);
  if (!*text) text = xattn_status_message(status);
  /* The library may have named the file already. */
  size_t length = subject ? strlen(subject) : 0;
  if (length && strncmp(text, subject, length) == 0 && text[length] == ':') subject = NULL;
  print_complaint(subject, text);
}

/* Controls (C0, DEL, C1), line and paragraph separators, and what reorders text on screen. */
static bool steers_terminal(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

int print_safe(FILE *to, const char *text) {
  int columns = 0;
  while (*text) {
    uint32_t code;
    size_t bytes = utf8_decode(text, &code);
    char escape[16];
    if (bytes == 0) {
      columns += snprintf(escape, sizeof escape, "\\x%02x", (unsigned)(unsigned char)*text);
      bytes = 1;
    } else if (steers_terminal(code)) {
      columns += snprintf(escape, sizeof escape, "\\u{%" PRIx32 "}", code);
    } else {
      (void)snprintf(escape, sizeof escape, "%.*s", (int)bytes, text);
      columns++;
    }
    if (to) (void)fputs(escape, to);
    text += bytes;
  }
  return columns;
}

void print_json_string(FILE *to, const char *text) {
  (void)fputc('"', to);
  while (*text) {
    uint32_t code;
    size_t bytes = utf8_decode(text, &code);
    if (bytes == 0) {
      (void)fputs("\\ufffd", to);
      bytes = 1;
    } else if (code == '"' || code == '\\') {
      (void)fprintf(to, "\\%c", (int)code);
    } else if (code < 0x10000 && steers_terminal(code)) {
      (void)fprintf(to, "\\u%04" PRIx32, code);
    } else {
      (void)fwrite(text, 1, bytes, to);
    }
    text += bytes;
  }
  (void)fputc('"', to);
}

short_text shape_text(const xattn_tensor *tensor) {
  short_text shape;
  size_t used = (size_t)snprintf(shape.text, sizeof shape.text, "[");
  for (int32_t i = 0; i < tensor->rank; i++)
    used += (size_t)snprintf(shape.text + used, sizeof shape.text - used, "%s%" PRId64,
                             i ? ", " : "", tensor->shape[i]);
  (void)snprintf(shape.text + used, sizeof shape.text - used, "]");
  return shape;
}

void print_shape(FILE *to, const xattn_tensor *tensor) {
  (void)fputs(shape_text(tensor).text, to);
}

short_text count_text(int64_t number) {
  char digits[32];
  int length = snprintf(digits, sizeof digits, "%" PRId64, number);
  short_text grouped = {""};
  char *end = grouped.text;
  for (int i = 0; i < length; i++) {
    *end++ = digits[i];
    int left = length - 1 - i;
    if (left > 0 && left % 3 == 0 && digits[i] != '-') *end++ = ',';
  }
  *end = '\0';
  return grouped;
}

void print_layer(const xattn_layer_info *dims) {
  printf("layer    query %" PRId64 ", context %" PRId64 ", out %" PRId64 "; heads %" PRId64
         " of %" PRId64 ", key/value heads %" PRId64 " of %" PRId64 "; %s parameters\n",
         dims->query_dim, dims->context_dim, dims->out_dim, dims->heads, dims->head_dim,
         dims->kv_heads, dims->value_dim, count_text(dims->parameters).text);
}

int64_t tensor_elements(const xattn_tensor *tensor) {
  int64_t elements = 1;
  for (int32_t i = 0; i < tensor->rank; i++) elements *= tensor->shape[i];
  return elements;
}
