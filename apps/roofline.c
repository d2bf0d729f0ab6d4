#include "roofline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "report.h"
#include "svg.h"

/* Pixels. */
enum { WIDTH = 1000, HEIGHT = 680, LEFT = 70, RIGHT = 980, TOP = 70, BOTTOM = 620, FONT = 12 };

/* Of labels, which may stand on a line. */
#define HALO "stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\""

/* A logarithmic axis. */
typedef struct axis {
  double low, high;
  double from, to; /* their pixels */
} axis;

/* A case on the picture; its label begins, or left of it ends, at (label_x, label_y). */
typedef struct point {
  const measurement *of;
  double intensity, gflops;
  double x, y, label_x, label_y, label_width;
  bool left;
} point;

typedef struct picture {
  FILE *to;
  const bench_place *place;
  axis x, y; /* FLOP per byte, GFLOP/s */
  point *points;
  size_t count;
} picture;

static double pixel(const axis *a, double value) {
  return a->from + (a->to - a->from) * log10(value / a->low) / log10(a->high / a->low);
}

/* The next of 1, 2 and 5 times a power of ten, from `value` down. */
static double round_down(double value) {
  double power = pow(10, floor(log10(value)));
  return power * (value < 2 * power ? 1 : value < 5 * power ? 2 : 5);
}

/* With some room on either side. */
static axis make_axis(double low, double high, double from, double to) {
  return (axis){round_down(low / 1.3), 1 / round_down(1 / (high * 1.3)), from, to};
}

/* ------------------------------------------------------------------ what goes where */

static int higher_first(const void *left, const void *right) {
  double a = ((const point *)left)->y, b = ((const point *)right)->y;
  return (a > b) - (a < b);
}

/* What took no time that the clock can tell has no place on a logarithmic axis. */
static void collect(picture *p, const measurement *results, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const xattn_plan_info *plan = &results[i].plan;
    double ms = results[i].ms.median;
    if (ms > 0 && plan->flops > 0 && plan->bytes > 0)
      p->points[p->count++] = (point){.of = &results[i],
                                      .intensity = plan->flops / plan->bytes,
                                      .gflops = plan->flops / ms * 1e-6};
  }
}

static void scale(picture *p) {
  const roof_rates *roof = &p->place->roof;
  const memory_rates *memory = &roof->memory;
  double most_y = fmax(roof->fma.flops, roof->rates.flops) * 1e-9, least_y = most_y / 10;
  /* The bends of all lines are to be seen, and some of their slopes. */
  double most_x = most_y * 1e9 / fmin(memory->read, memory->copy);
  double least_x = fmin(roof->fma.flops, roof->rates.flops) / fmax(memory->read, memory->copy) / 2;
  for (size_t i = 0; i < p->count; i++) {
    least_x = fmin(least_x, p->points[i].intensity);
    most_x = fmax(most_x, p->points[i].intensity);
    least_y = fmin(least_y, p->points[i].gflops);
    most_y = fmax(most_y, p->points[i].gflops);
  }
  p->x = make_axis(least_x, most_x, LEFT, RIGHT);
  p->y = make_axis(least_y, most_y, BOTTOM, TOP);
}

static bool apart(double from_a, double to_a, double from_b, double to_b) {
  return to_a <= from_b || to_b <= from_a;
}

/* Whether a label covers one of those placed before it, or a point of its neighbours. */
static bool covers(const picture *p, size_t which) {
  const point *mine = &p->points[which];
  double left = mine->left ? mine->label_x - mine->label_width : mine->label_x;
  double right = left + mine->label_width, top = mine->label_y - FONT, bottom = mine->label_y;
  for (size_t i = 0; i < p->count; i++) {
    const point *other = &p->points[i];
    double from = other->left ? other->label_x - other->label_width : other->label_x;
    if (i < which && !apart(left, right, from, from + other->label_width) &&
        !apart(top, bottom, other->label_y - FONT, other->label_y))
      return true;
    if (i != which && !apart(left, right, other->x - 4, other->x + 4) &&
        !apart(top, bottom, other->y - 4, other->y + 4))
      return true;
  }
  return false;
}

/* From the highest point down: each label stands beside its point, or further down where it would cover something. */
static void place_labels(picture *p) {
  for (size_t i = 0; i < p->count; i++) {
    p->points[i].x = pixel(&p->x, p->points[i].intensity);
    p->points[i].y = pixel(&p->y, p->points[i].gflops);
  }
  qsort(p->points, p->count, sizeof *p->points, higher_first);
  for (size_t i = 0; i < p->count; i++) {
    point *mine = &p->points[i];
    mine->label_width = 0.58 * FONT * (double)strlen(mine->of->what->name); /* about */
    mine->left = mine->x + 9 + mine->label_width > RIGHT;
    mine->label_x = mine->left ? mine->x - 9 : mine->x + 9;
    mine->label_y = mine->y + FONT / 3.0;
    while (covers(p, i) && mine->label_y < BOTTOM - 4) mine->label_y += 2;
  }
}

/* ------------------------------------------------------------------ drawing */

static void draw_text(FILE *to, double x, double y, const char *more, const char *text) {
  (void)fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, more);
  print_xml(to, text);
  (void)fputs("</text>\n", to);
}

static void draw_line(FILE *to, double x0, double y0, double x1, double y1, const char *style) {
  (void)fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x0, y0, x1, y1,
                style);
}

static void draw_grid_line(const picture *p, const axis *a, bool upright, double value,
                           bool numbered) {
  const char *style = numbered ? "stroke=\"#d0d0d0\"" : "stroke=\"#f0f0f0\"";
  double at = pixel(a, value);
  if (upright)
    draw_line(p->to, at, TOP, at, BOTTOM, style);
  else
    draw_line(p->to, LEFT, at, RIGHT, at, style);
  if (!numbered) return;
  char number[32];
  (void)snprintf(number, sizeof number, "%g", value);
  if (upright)
    draw_text(p->to, at, BOTTOM + 18, "text-anchor=\"middle\"", number);
  else
    draw_text(p->to, LEFT - 8, at + 4, "text-anchor=\"end\"", number);
}

/* Lines at 1 to 9 times the powers of ten. */
static void draw_grid(const picture *p, const axis *a, bool upright) {
  const double near = 1.001; /* what was rounded counts as within */
  for (int exponent = (int)floor(log10(a->low)); pow(10, exponent) < a->high * near; exponent++)
    for (int digit = 1; digit < 10; digit++) {
      double value = digit * pow(10, exponent);
      if (value > a->low / near && value < a->high * near)
        draw_grid_line(p, a, upright, value, digit == 1 || digit == 2 || digit == 5);
    }
}

/* A line of the roof: `bytes` a second, rising, up to `flops`, and its entry in the legend, from there on. */
static void draw_roof(const picture *p, double bytes, double flops, bool rises, const char *style,
                      double legend, const char *says) {
  double gbytes = bytes * 1e-9, gflops = flops * 1e-9, ridge = gflops / gbytes;
  double start = fmax(p->x.low, p->y.low / gbytes); /* where it comes into the picture */
  double top = pixel(&p->y, gflops);
  if (rises)
    draw_line(p->to, pixel(&p->x, start), pixel(&p->y, start * gbytes), pixel(&p->x, ridge), top,
              style);
  draw_line(p->to, pixel(&p->x, ridge), top, RIGHT, top, style);
  draw_line(p->to, legend, 48, legend + 26, 48, style);
  draw_text(p->to, legend + 32, 52, "", says);
}

static void draw_roofs(const picture *p) {
  static const char solid[] = "stroke=\"#222\" stroke-width=\"1.6\"",
                    dashed[] = "stroke=\"#222\" stroke-width=\"1.6\" stroke-dasharray=\"7 4\"",
                    blue[] = "stroke=\"#1f6fb4\" stroke-width=\"1.6\" stroke-dasharray=\"2 3\"";
  const roof_rates *roof = &p->place->roof;
  const memory_rates *memory = &roof->memory;
  char text[96];
  (void)snprintf(text, sizeof text, "memory%s %.4g GB/s", roof->from_rates ? "" : " read",
                 memory->read * 1e-9);
  draw_roof(p, memory->read, roof->fma.flops, true, solid, LEFT, text);
  if (!roof->from_rates) {
    (void)snprintf(text, sizeof text, "memory copied %.4g GB/s", memory->copy * 1e-9);
    draw_roof(p, memory->copy, roof->fma.flops, true, dashed, LEFT + 200, text);
    (void)snprintf(text, sizeof text, "multiply-adds %.4g GFLOP/s (%s)", roof->fma.flops * 1e-9,
                   roof->fma.instructions);
    draw_roof(p, memory->read, roof->fma.flops, false, solid, LEFT + 410, text);
  }
  (void)snprintf(text, sizeof text, "products %.4g GFLOP/s", roof->rates.flops * 1e-9);
  draw_roof(p, fmax(memory->read, memory->copy), roof->rates.flops, false, blue, LEFT + 690, text);
}

static void draw_point(const picture *p, const point *mine) {
  const measurement *of = mine->of;
  double label_y = mine->label_y - FONT / 3.0;
  if (label_y > mine->y + FONT / 2.0)
    draw_line(p->to, mine->x, mine->y, mine->label_x, label_y, "stroke=\"#999\"");
  (void)fprintf(p->to,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#c8361d\"><title>%s: %s, %.4g ms, "
                "%.4g FLOP per byte, %.4g GFLOP/s</title></circle>\n",
                mine->x, mine->y, of->what->name, of->plan.name, of->ms.median, mine->intensity,
                mine->gflops);
  draw_text(p->to, mine->label_x, mine->label_y, mine->left ? HALO " text-anchor=\"end\"" : HALO,
            of->what->name);
}

static void draw(const picture *p) {
  char title[512];
  const bench_place *place = p->place;
  (void)snprintf(title, sizeof title, "xattn bench on %s, %s: %s, threads: %d", place->here.cpu,
                 place->device.device, place->device.detail, (int)place->device.threads);
  (void)fprintf(p->to,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 "
                "0 %d %d\" font-family=\"sans-serif\" font-size=\"%d\" fill=\"#222\">\n"
                "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                WIDTH, HEIGHT, WIDTH, HEIGHT, FONT);
  draw_text(p->to, LEFT, 26, "font-size=\"15\"", title);
  draw_grid(p, &p->x, true);
  draw_grid(p, &p->y, false);
  draw_text(p->to, (LEFT + RIGHT) / 2.0, BOTTOM + 40, "text-anchor=\"middle\"",
            "FLOP per byte that the steps of the plan read and write");
  draw_text(p->to, 0, 0, "text-anchor=\"middle\" transform=\"translate(20 345) rotate(-90)\"",
            "GFLOP/s");
  draw_roofs(p);
  for (size_t i = 0; i < p->count; i++) draw_point(p, &p->points[i]);
  (void)fputs("</svg>\n", p->to);
}

/* ------------------------------------------------------------------ the file */

int roofline_check(const char *path) {
  svg file;
  if (!*path) {
    complain("--roofline", "the name is empty");
    return EXIT_USAGE;
  }
  return svg_open(&file, path) && svg_close(&file, false) ? EXIT_FINE : EXIT_FAILED;
}

int roofline_write(const char *path, const bench_place *place, const measurement *results,
                   size_t count) {
  svg file;
  picture p = {.place = place, .points = calloc(count, sizeof *p.points)};
  if (!p.points) {
    complain(path, "no memory for %zu points", count);
    return EXIT_FAILED;
  }
  bool good = svg_open(&file, path);
  if (good) {
    p.to = file.file;
    collect(&p, results, count);
    scale(&p);
    place_labels(&p);
    draw(&p);
    good = svg_close(&file, true);
  }
  free(p.points);
  return good ? EXIT_FINE : EXIT_FAILED;
}
