/* A picture that is being written, as SVG. */
#ifndef XATTN_APPS_SVG_H
#define XATTN_APPS_SVG_H

#include <stdbool.h>
#include <stdio.h>

typedef struct svg {
  FILE *file; /* of another name until svg_close */
  const char *path;
  char *temporary;
} svg;

/* A new file beside path, which stays valid until svg_close. False: it cannot be, and that has been complained
 * about. */
bool svg_open(svg *picture, const char *path);

/* Puts the file in its place, complete; or, without `keep`, away. False: as above, and nothing is left. */
bool svg_close(svg *picture, bool keep);

/* Prints text as the content of an element: markup is escaped, what XML does not allow becomes U+FFFD. */
void print_xml(FILE *to, const char *text);

#endif
