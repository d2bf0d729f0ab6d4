/* xattn run: one layer applied to one query and one context file. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xattn.h>

#include "commands.h"
#include "device.h"
#include "input.h"
#include "options.h"
#include "report.h"
#include "timing.h"

typedef struct run_arguments {
  const char *weights, *prefix, *query, *context, *key_lengths, *out, *plan;
  int64_t heads, kv_heads, repeat;
  device_arguments device;
  bool reuse_context, json;
} run_arguments;

/* All that a run holds; zero at first, so that it can be given back from any state. */
typedef struct run_state {
  xattn_handle *handle;
  xattn_handle_info device;
  xattn_layer *layer;
  xattn_layer_info dims;
  xattn_tensor x, y, out, lengths;
  xattn_context *context;
  xattn_plan_info plan;
  samples times;
  summary ms;
} run_state;

static void give_back(run_state *state) {
  xattn_context_destroy(state->context);
  xattn_layer_destroy(state->layer);
  xattn_destroy(state->handle);
  free(state->x.data);
  free(state->y.data);
  free(state->out.data);
  free(state->lengths.data);
  samples_free(&state->times);
}

/* ------------------------------------------------------------------ before the forward */

/* Refuses to replace an input by the output, under whatever name. */
static int check_out_path(const run_arguments *arguments) {
  const char *inputs[] = {arguments->weights, arguments->query, arguments->context,
                          arguments->key_lengths};
  struct stat out, in;
  if (!arguments->out || !*arguments->out) {
    complain("--out", "the name is empty");
    return EXIT_USAGE;
  }
  if (stat(arguments->out, &out) != 0) return EXIT_FINE;
  for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
    if (!inputs[i] || stat(inputs[i], &in) != 0) continue;
    if (in.st_dev != out.st_dev || in.st_ino != out.st_ino) continue;
    complain("--out", "'%s' is the input file '%s'", arguments->out, inputs[i]);
    return EXIT_USAGE;
  }
  /* Known now, and a pity to learn only after a long forward. */
  if (S_ISDIR(out.st_mode)) {
    complain(arguments->out, "is a directory, expected a file name");
    return EXIT_FAILED;
  }
  return EXIT_FINE;
}

static int load_layer(const run_arguments *arguments, run_state *state) {
  xattn_load_options options = {.size = sizeof options,
                                .prefix = arguments->prefix,
                                .heads = arguments->heads,
                                .kv_heads = arguments->kv_heads};
  xattn_status status =
      xattn_layer_load(state->handle, arguments->weights, &options, &state->layer);
  state->dims.size = sizeof state->dims;
  if (!status) status = xattn_layer_get_info(state->layer, &state->dims);
  if (status) complain_status(arguments->weights, state->handle, status);
  return status ? EXIT_FAILED : EXIT_FINE;
}

static int read_inputs(const run_arguments *arguments, run_state *state) {
  int code = read_stream(arguments->query, &state->x);
  if (!code) code = read_stream(arguments->context, &state->y);
  if (!code && arguments->key_lengths) code = read_lengths(arguments->key_lengths, &state->lengths);
  return code;
}

/* The output has x's shape but for its width. */
static int allocate_out(const run_arguments *arguments, run_state *state) {
  xattn_tensor *out = &state->out;
  int64_t shape[3] = {0};
  memcpy(shape, state->x.shape, (size_t)state->x.rank * sizeof *shape);
  shape[state->x.rank - 1] = state->dims.out_dim;
  size_t elements = 1, bytes;
  bool fits = true;
  for (int32_t i = 0; i < state->x.rank; i++)
    fits &= !__builtin_mul_overflow(elements, (size_t)shape[i], &elements);
  fits &= !__builtin_mul_overflow(elements, sizeof(float), &bytes);
  float *data = fits ? malloc(bytes ? bytes : 1) : NULL;
  *out = xattn_tensor_dense(data, XATTN_F32, state->x.rank, shape);
  if (!data) {
    complain(arguments->out, "no memory for %s", shape_text(out).text);
    return EXIT_FAILED;
  }
  /* Touches the pages, which is no part of the forward; and what a forward forgets, shows. */
  for (size_t i = 0; i < elements; i++) data[i] = NAN;
  return EXIT_FINE;
}

/* The library's text starts with the field at fault; the user knows it by its file or option. */
static const char *argument_at_fault(const run_arguments *arguments, const xattn_handle *handle) {
  const struct {
    const char *field, *argument;
  } fields[] = {{"x:", arguments->query},
                {"y:", arguments->context},
                {"options.key_lengths:", arguments->key_lengths},
                {"options.plan:", "--plan"}};
  const char *text = xattn_last_error(handle);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (strncmp(text, fields[i].field, strlen(fields[i].field)) == 0) return fields[i].argument;
  return NULL;
}

/* ------------------------------------------------------------------ the forward */

typedef struct call_options {
  xattn_options context; /* of calls that get y */
  xattn_options forward; /* of xattn_forward: key lengths are the context's */
} call_options;

static call_options options_of(const run_arguments *arguments, const run_state *state) {
  xattn_options plain = {.size = sizeof plain, .plan = arguments->plan};
  call_options options = {.context = plain, .forward = plain};
  if (state->lengths.data) options.context.key_lengths = &state->lengths;
  return options;
}

/* Makes the context resident if asked to, and asks what a forward will do. */
static xattn_status prepare(const run_arguments *arguments, const call_options *options,
                            run_state *state) {
  state->plan.size = sizeof state->plan;
  if (!arguments->reuse_context)
    return xattn_plan(state->handle, state->layer, &state->x, &state->y, NULL, &options->context,
                      &state->plan);
  xattn_options context = options->context;
  context.expected_queries = state->x.rank >= 2 ? state->x.shape[state->x.rank - 2] : 0;
  xattn_status status =
      xattn_context_create(state->handle, state->layer, &state->y, &context, &state->context);
  if (status) return status;
  return xattn_plan(state->handle, state->layer, &state->x, NULL, state->context, &options->forward,
                    &state->plan);
}

static xattn_status forward(const call_options *options, run_state *state) {
  xattn_status status = state->context
                            ? xattn_forward(state->handle, state->layer, &state->x, state->context,
                                            &options->forward, &state->out)
                            : xattn_forward_once(state->handle, state->layer, &state->x, &state->y,
                                                 &options->context, &state->out);
  return status ? status : xattn_synchronize(state->handle);
}

/* The warm-up is for those who measure: a single run is done as fast as it can be. */
static xattn_status run_repeatedly(const run_arguments *arguments, run_state *state) {
  call_options options = options_of(arguments, state);
  xattn_status status = prepare(arguments, &options, state);
  if (!status) status = xattn_synchronize(state->handle);
  if (!status && arguments->repeat > 1) status = forward(&options, state);
  for (int64_t i = 0; !status && i < arguments->repeat; i++) {
    double start = now_ms();
    status = forward(&options, state);
    if (!status && !samples_add(&state->times, now_ms() - start)) return XATTN_ERROR_MEMORY;
  }
  return status;
}

static int compute(const run_arguments *arguments, run_state *state) {
  xattn_status status = run_repeatedly(arguments, state);
  if (status) {
    complain_status(argument_at_fault(arguments, state->handle), state->handle, status);
    return status == XATTN_ERROR_NOT_FOUND ? EXIT_USAGE : EXIT_FAILED;
  }
  state->ms = samples_summary(&state->times);
  status = xattn_npy_write(arguments->out, &state->out);
  if (status) complain_status(arguments->out, NULL, status);
  return status ? EXIT_FAILED : EXIT_FINE;
}

/* ------------------------------------------------------------------ the report */

static void print_file(const char *label, const xattn_tensor *tensor, const char *path) {
  printf("%-9s%s  ", label, shape_text(tensor).text);
  print_safe(stdout, path);
  putchar('\n');
}

static double per_second(double flops, double ms) {
  return ms > 0 ? flops / ms * 1e-6 : 0; /* in units of 1e9 */
}

static void print_text(const run_arguments *arguments, const run_state *state) {
  print_layer(&state->dims);
  print_file("query", &state->x, arguments->query);
  print_file(arguments->reuse_context ? "context*" : "context", &state->y, arguments->context);
  if (state->lengths.data) print_file("lengths", &state->lengths, arguments->key_lengths);
  print_file("out", &state->out, arguments->out);
  printf("plan     %s\n", state->plan.name);
  print_device(&state->device);
  if (arguments->repeat > 1)
    printf("time     median %.3f ms, min %.3f, max %.3f; %" PRId64 " runs after a warm-up\n",
           state->ms.median, state->ms.min, state->ms.max, arguments->repeat);
  else
    printf("time     %.3f ms; the first run\n", state->ms.median);
  printf("speed    %.1f GFLOP/s, %.3f GFLOP done; direct form %.3f GFLOP\n",
         per_second(state->plan.flops, state->ms.median), state->plan.flops * 1e-9,
         state->plan.flops_direct * 1e-9);
  if (arguments->reuse_context) printf("* resident: the time is without the work on the context\n");
}

static void print_json(const run_arguments *arguments, const run_state *state) {
  printf("{\"out_shape\":");
  print_shape(stdout, &state->out);
  printf(",\"device\":");
  print_json_string(stdout, state->device.device);
  printf(",\"plan\":");
  print_json_string(stdout, state->plan.name);
  printf(",\"threads\":%d,\"repeat\":%" PRId64
         ",\"ms\":{\"median\":%.6f,\"min\":%.6f,\"max\":%.6f},\"gflop_direct\":%.9g,"
         "\"gflop_done\":%.9g}\n",
         (int)state->device.threads, arguments->repeat, state->ms.median, state->ms.min,
         state->ms.max, state->plan.flops_direct * 1e-9, state->plan.flops * 1e-9);
}

/* ------------------------------------------------------------------ the command */

static bool read_arguments(run_arguments *a, int argc, char **argv, int *code) {
  const option_row rows[] = {
      {.name = "weights",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .required = true,
       .to.text = &a->weights,
       .help = "layer, a .safetensors file"},
      {.name = "prefix",
       .kind = OPTION_TEXT,
       .value = "NAME",
       .to.text = &a->prefix,
       .help = "of the layer's tensors, where the file has several layers"},
      {.name = "heads",
       .kind = OPTION_INT,
       .value = "H",
       .preset = "1",
       .least = 1,
       .most = INT32_MAX,
       .to.integer = &a->heads,
       .help = "query heads"},
      {.name = "kv-heads",
       .kind = OPTION_INT,
       .value = "H",
       .least = 1,
       .most = INT32_MAX,
       .to.integer = &a->kv_heads,
       .help = "key/value heads (default: as many as --heads)"},
      {.name = "query",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .required = true,
       .to.text = &a->query,
       .help = "x, a .npy file [B, Nq, Dq] or [Nq, Dq]"},
      {.name = "context",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .required = true,
       .to.text = &a->context,
       .help = "y, a .npy file [B, Nk, Dc] or [Nk, Dc]"},
      {.name = "key-lengths",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .to.text = &a->key_lengths,
       .help = "context rows that count, a .npy file [B] of integers (default: all)"},
      {.name = "out",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .required = true,
       .to.text = &a->out,
       .help = "result, a .npy file; written only if all went well"},
      DEVICE_OPTIONS(&a->device),
      {.name = "plan",
       .kind = OPTION_TEXT,
       .value = "NAME",
       .preset = "auto",
       .to.text = &a->plan,
       .help = "how to compute: auto (the cheapest) or a plan's name"},
      {.name = "reuse-context",
       .kind = OPTION_FLAG,
       .to.flag = &a->reuse_context,
       .help = "project the context once, before the runs that are timed"},
      {.name = "repeat",
       .kind = OPTION_INT,
       .value = "N",
       .preset = "1",
       .least = 1,
       .most = 1000000,
       .to.integer = &a->repeat,
       .help = "timed runs; from 2 on an untimed one goes before"},
      {.name = "json",
       .kind = OPTION_FLAG,
       .to.flag = &a->json,
       .help = "print one JSON object instead of text"},
  };
  const option_set set = {
      .command = "run",
      .synopsis = "--weights FILE --query FILE --context FILE --out FILE [OPTION]...",
      .summary = "Applies a cross-attention layer to a query and a context stream.\n",
      .rows = rows,
      .count = sizeof rows / sizeof *rows};
  return options_parse(&set, argc, argv, code);
}

int cmd_run(int argc, char **argv) {
  run_arguments arguments = {0};
  run_state state = {0};
  int code;
  if (!read_arguments(&arguments, argc, argv, &code)) return code;
  code = check_out_path(&arguments);
  if (!code) code = open_device(&arguments.device, &state.handle, &state.device);
  if (!code) code = load_layer(&arguments, &state);
  if (!code) code = read_inputs(&arguments, &state);
  if (!code) code = allocate_out(&arguments, &state);
  if (!code) code = compute(&arguments, &state);
  if (!code) (arguments.json ? print_json : print_text)(&arguments, &state);
  give_back(&state);
  return code;
}
