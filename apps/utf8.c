#include "utf8.h"

size_t utf8_decode(const char *text, uint32_t *code) {
  const unsigned char *byte = (const unsigned char *)text;
  /* The smallest code point that needs so many bytes; a smaller one is an overlong form. */
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t bytes;
  if (byte[0] < 0x80) {
    *code = byte[0];
    return 1;
  }
  if ((byte[0] & 0xe0) == 0xc0) {
    bytes = 2;
  } else if ((byte[0] & 0xf0) == 0xe0) {
    bytes = 3;
  } else if ((byte[0] & 0xf8) == 0xf0) {
    bytes = 4;
  } else {
    return 0;
  }
  *code = byte[0] & (0x7fu >> bytes);
  /* The closing zero byte is no continuation byte, so this stops at the end of the text. */
  for (size_t i = 1; i < bytes; i++) {
    if ((byte[i] & 0xc0) != 0x80) return 0;
    *code = *code << 6 | (byte[i] & 0x3fu);
  }
  if (*code < smallest[bytes] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000)) return 0;
  return bytes;
}
