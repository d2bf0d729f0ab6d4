#include "io/text.h"

#include <stdbool.h>
#include <string.h>

static bool continues_character(char c) {
  return ((unsigned char)c & 0xc0) == 0x80;
}

static char printable(char c) {
  return (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
}

const char *xattn_show_bytes(xattn_shown *buffer, const char *text, size_t length) {
  const size_t room = sizeof buffer->text - 1;
  const size_t part = (room - 3) / 2;
  size_t head = length, tail = length; /* text[head..tail) is left out */
  if (length > room) {
    head = part;
    tail = length - part;
    /* Neither end of the cut may split a UTF-8 character (at most three more bytes). */
    for (int i = 0; i < 3 && continues_character(text[head]); i++) head--;
    for (int i = 0; i < 3 && continues_character(text[tail]); i++) tail++;
  }
  char *out = buffer->text;
  for (size_t i = 0; i < head; i++) *out++ = printable(text[i]);
  if (head < tail) {
    memcpy(out, "...", 3);
    out += 3;
  }
  for (size_t i = tail; i < length; i++) *out++ = printable(text[i]);
  *out = '\0';
  return buffer->text;
}

const char *xattn_show(xattn_shown *buffer, const char *text) {
  return xattn_show_bytes(buffer, text, strlen(text));
}

const char *xattn_show_errno(xattn_shown *buffer, int number) {
  char own[64];
  return xattn_show(buffer, strerror_r(number, own, sizeof own));
}
