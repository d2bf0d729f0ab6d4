/* xattn info: what a .safetensors or .npy file holds, and which layers the library sees in it. */
#include <inttypes.h>
#include <stdlib.h>
#include <xattn.h>

#include "commands.h"
#include "options.h"
#include "report.h"

typedef struct info_arguments {
  const char *file;
  bool json;
} info_arguments;

typedef struct entry {
  const char *name;
  xattn_tensor tensor;
  int64_t elements, bytes;
} entry;

typedef struct contents {
  xattn_file *file;
  entry *entries;
  xattn_file_layer_info *layers;
  int64_t entry_count, layer_count;
  int64_t elements, bytes; /* of all entries */
} contents;

static void give_back(contents *all) {
  free(all->entries);
  free(all->layers);
  xattn_file_close(all->file);
}

/* ------------------------------------------------------------------ reading */

static xattn_status read_entries(contents *all) {
  for (int64_t i = 0; i < all->entry_count; i++) {
    entry *e = &all->entries[i];
    xattn_status status = xattn_file_entry(all->file, i, &e->name, &e->tensor);
    if (status) return status;
    e->elements = tensor_elements(&e->tensor);
    e->bytes = e->elements * (int64_t)xattn_dtype_size(e->tensor.dtype);
    all->elements += e->elements;
    all->bytes += e->bytes;
  }
  return XATTN_OK;
}

/* Every layer has a tensor of its own, so there are no more of them than entries. A layer that
 * does not fit is complained about, and the listing goes on. */
static int read_layers(const char *path, contents *all) {
  int code = EXIT_FINE;
  for (int64_t i = 0; i < all->entry_count; i++) {
    xattn_file_layer_info *info = &all->layers[all->layer_count];
    info->size = sizeof *info;
    xattn_status status = xattn_file_layer(all->file, i, info);
    if (status == XATTN_ERROR_NOT_FOUND) break;
    if (status) {
      complain_status(path, NULL, status);
      code = EXIT_FAILED;
    } else {
      all->layer_count++;
    }
  }
  return code;
}

static int read_contents(const char *path, contents *all) {
  xattn_status status = xattn_file_open(path, &all->file);
  if (!status) {
    all->entry_count = xattn_file_count(all->file);
    size_t room = (size_t)all->entry_count + 1; /* calloc(0) may give NULL */
    all->entries = calloc(room, sizeof *all->entries);
    all->layers = calloc(room, sizeof *all->layers);
    if (!all->entries || !all->layers) {
      complain(path, "no memory for the list of %" PRId64 " tensors", all->entry_count);
      return EXIT_FAILED;
    }
    status = read_entries(all);
  }
  if (status) complain_status(path, NULL, status);
  return status ? EXIT_FAILED : EXIT_FINE;
}

/* ------------------------------------------------------------------ as text */

/* The one array of an .npy file and the layer without prefix have empty names. */
static const char *shown(const char *name) {
  return *name ? name : "-";
}

static void print_padded(const char *text, int width) {
  int columns = print_safe(stdout, text);
  printf("%*s", columns < width ? width - columns : 0, "");
}

static int wider(int width, int other) {
  return width > other ? width : other;
}

static void print_tensors(const contents *all) {
  short_text total = count_text(all->elements);
  int name_width = print_safe(NULL, "tensor"), shape_width = print_safe(NULL, "shape");
  int count_width = wider(print_safe(NULL, "parameters"), print_safe(NULL, total.text));
  for (int64_t i = 0; i < all->entry_count; i++) {
    name_width = wider(name_width, print_safe(NULL, shown(all->entries[i].name)));
    shape_width = wider(shape_width, print_safe(NULL, shape_text(&all->entries[i].tensor).text));
  }
  print_padded("tensor", name_width + 2);
  print_padded("shape", shape_width + 2);
  printf("%-9s%*s\n", "dtype", count_width, "parameters");
  for (int64_t i = 0; i < all->entry_count; i++) {
    const entry *e = &all->entries[i];
    print_padded(shown(e->name), name_width + 2);
    print_padded(shape_text(&e->tensor).text, shape_width + 2);
    printf("%-9s%*s\n", xattn_dtype_name(e->tensor.dtype), count_width,
           count_text(e->elements).text);
  }
  print_padded("total", name_width + 2);
  printf("%-*s%-9s%*s  %s bytes\n", shape_width + 2, "", "", count_width, total.text,
         count_text(all->bytes).text);
}

static void print_layers(const contents *all) {
  printf("\nattention layers: %" PRId64 "\n", all->layer_count);
  int prefix_width = print_safe(NULL, "prefix");
  for (int64_t i = 0; i < all->layer_count; i++)
    prefix_width = wider(prefix_width, print_safe(NULL, shown(all->layers[i].prefix)));
  if (all->layer_count == 0) return;
  print_padded("prefix", prefix_width + 2);
  printf("%-16s%10s%10s%10s%10s%10s  %s\n", "style", "Dq", "Dc", "H*Dh", "Hkv*Dv", "Do", "biases");
  for (int64_t i = 0; i < all->layer_count; i++) {
    const xattn_file_layer_info *info = &all->layers[i];
    print_padded(shown(info->prefix), prefix_width + 2);
    printf("%-16s%10" PRId64 "%10" PRId64 "%10" PRId64 "%10" PRId64, info->style, info->query_dim,
           info->context_dim, info->query_width, info->value_width);
    if (info->out_dim)
      printf("%10" PRId64, info->out_dim);
    else
      printf("%10s", "-");
    printf("  %s\n", info->biases ? "yes" : "no");
  }
}

/* ------------------------------------------------------------------ as JSON */

static void print_json(const char *path, const contents *all) {
  printf("{\"file\":");
  print_json_string(stdout, path);
  printf(",\"tensors\":[");
  for (int64_t i = 0; i < all->entry_count; i++) {
    const entry *e = &all->entries[i];
    printf("%s{\"name\":", i ? "," : "");
    print_json_string(stdout, e->name);
    printf(",\"shape\":");
    print_shape(stdout, &e->tensor);
    printf(",\"dtype\":\"%s\",\"parameters\":%" PRId64 ",\"bytes\":%" PRId64 "}",
           xattn_dtype_name(e->tensor.dtype), e->elements, e->bytes);
  }
  printf("],\"parameters\":%" PRId64 ",\"bytes\":%" PRId64 ",\"layers\":[", all->elements,
         all->bytes);
  for (int64_t i = 0; i < all->layer_count; i++) {
    const xattn_file_layer_info *info = &all->layers[i];
    printf("%s{\"prefix\":", i ? "," : "");
    print_json_string(stdout, info->prefix);
    printf(",\"style\":\"%s\",\"query_dim\":%" PRId64 ",\"context_dim\":%" PRId64
           ",\"query_width\":%" PRId64 ",\"value_width\":%" PRId64 ",\"out_dim\":%" PRId64
           ",\"biases\":%s}",
           info->style, info->query_dim, info->context_dim, info->query_width, info->value_width,
           info->out_dim, info->biases ? "true" : "false");
  }
  printf("]}\n");
}

/* ------------------------------------------------------------------ the command */

int cmd_info(int argc, char **argv) {
  info_arguments arguments = {0};
  const option_row rows[] = {
      {.name = "json",
       .kind = OPTION_FLAG,
       .to.flag = &arguments.json,
       .help = "print one JSON object instead of tables"},
  };
  const option_set set = {
      .command = "info",
      .synopsis = "[OPTION]... FILE",
      .summary =
          "Lists the tensors of a .safetensors or .npy file and the attention layers that\n"
          "are recognised in it.\n",
      .rows = rows,
      .count = sizeof rows / sizeof *rows,
      .operand = "FILE",
      .operand_to = &arguments.file};
  int code;
  if (!options_parse(&set, argc, argv, &code)) return code;

  contents all = {0};
  code = read_contents(arguments.file, &all);
  if (!code) {
    code = read_layers(arguments.file, &all);
    if (arguments.json) {
      print_json(arguments.file, &all);
    } else {
      print_tensors(&all);
      print_layers(&all);
    }
  }
  give_back(&all);
  return code;
}
