/* Reading UTF-8 that may not be any. */
#ifndef XATTN_APPS_UTF8_H
#define XATTN_APPS_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at `text` (not at its end) and its code point; 0 if it is not UTF-8
 * (stray or missing bytes, overlong forms, surrogates, beyond U+10FFFF). */
size_t utf8_decode(const char *text, uint32_t *code);

#endif
