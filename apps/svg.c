#include "svg.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"
#include "utf8.h"

bool svg_open(svg *picture, const char *path) {
  struct stat about;
  *picture = (svg){.path = path};
  /* rename would put the file in the place of a device. */
  if (!stat(path, &about) && !S_ISREG(about.st_mode)) {
    complain(path, "is there and is not a regular file");
    return false;
  }
  size_t room = strlen(path) + 32;
  picture->temporary = malloc(room);
  if (!picture->temporary) {
    complain(path, "no memory for a name of %zu bytes", room);
    return false;
  }
  (void)snprintf(picture->temporary, room, "%s.%ld.tmp", path, (long)getpid());
  picture->file = fopen(picture->temporary, "wx");
  if (picture->file) return true;
  complain(path, "cannot create a file beside it: %s", strerror(errno));
  free(picture->temporary);
  return false;
}

bool svg_close(svg *picture, bool keep) {
  errno = EIO; /* a write that failed may have left none */
  bool good = !ferror(picture->file);
  if (fclose(picture->file)) good = false;
  if (good && keep) good = rename(picture->temporary, picture->path) == 0;
  int why = errno;
  if (!good || !keep) (void)unlink(picture->temporary);
  if (!good) complain(picture->path, "cannot write it: %s", strerror(why));
  free(picture->temporary);
  return good;
}

static bool allowed(uint32_t code) {
  return code >= 0x20 && code != 0xfffe && code != 0xffff;
}

void print_xml(FILE *to, const char *text) {
  while (*text) {
    uint32_t code;
    size_t bytes = utf8_decode(text, &code);
    if (bytes == 0 || !allowed(code))
      (void)fputs("&#xfffd;", to);
    else if (strchr("<>&\"'", (int)code) && code < 0x80)
      (void)fprintf(to, "&#%d;", (int)code);
    else
      (void)fwrite(text, 1, bytes, to);
    text += bytes ? bytes : 1;
  }
}
