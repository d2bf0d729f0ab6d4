#include "survey_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "rates_text.h"
#include "report.h"

static const form_result *picked_of(const surveyed *one) {
  return &one->all->form[one->all->picked];
}

static const form_result *best_of(const surveyed *one) {
  return &one->all->form[one->all->best];
}

static double predicted_ms(const form_result *form) {
  return form->plan.seconds * 1e3;
}

/* A form's predicted time over another's. */
static double against(const form_result *form, const form_result *other) {
  return other->plan.seconds > 0 ? form->plan.seconds / other->plan.seconds : 1;
}

/* Predicted time over that of the direct form; 0 where that is not allowed. */
static double of_direct(const surveyed *one, const form_result *form) {
  const survey *all = one->all;
  return all->direct < all->allowed ? against(form, &all->form[all->direct]) : 0;
}

static void no_end(const survey_place *place, const survey_tally *tally) {
  (void)place;
  (void)tally;
}

/* ------------------------------------------------------------------ one case in full, as text */

static void begin_text(const survey_place *place) {
  print_device(&place->device);
  print_rates(&place->rates);
  if (place->uses)
    printf("uses     %s: figures are of one resident context and all its forwards together\n",
           count_text(place->uses).text);
}

static void print_call(const surveyed *one) {
  xattn_layer_info dims = {.size = sizeof dims};
  if (one->what->line) printf("case     %s\n", one->what->name);
  if (!xattn_layer_get_info(one->work->layer, &dims)) print_layer(&dims);
  printf("call     x %s, y %s, out %s\n", shape_text(&one->work->x).text,
         shape_text(&one->work->y).text, shape_text(&one->work->out).text);
}

static void print_form(const survey_place *place, const surveyed *one, const form_result *form) {
  bool picked = form == picked_of(one);
  printf("%c %-17s %10.3f %10.1f %9" PRId64 " %13.3f", picked ? '*' : ' ', form->plan.name,
         form->plan.flops * 1e-9, form->plan.bytes * 1e-6, form->plan.launches, predicted_ms(form));
  if (place->measured && form->runs)
    printf(" %12.3f %10.2f %6zu", form->ms,
           predicted_ms(form) > 0 ? form->ms / predicted_ms(form) : 0, form->runs);
  else if (place->measured)
    printf(" %12s", "skipped");
  putchar('\n');
}

static bool same_reason(const form_result *a, const form_result *b) {
  return strcmp(a->left_out, b->left_out) == 0;
}

/* Forms that are not possible, a line for each reason. */
static void print_left_out(const survey *all) {
  for (size_t i = all->allowed; i < all->count; i++) {
    const form_result *form = &all->form[i];
    bool said = false;
    for (size_t j = all->allowed; j < i; j++) said |= same_reason(form, &all->form[j]);
    if (said) continue;
    printf("left out: ");
    print_safe(stdout, form->left_out);
    int names = 0;
    for (size_t j = i; j < all->count; j++)
      if (same_reason(form, &all->form[j]))
        printf("%s%s", names++ % 5 ? ", " : "\n  ", all->form[j].plan.name);
    putchar('\n');
  }
}

static void print_choice(const surveyed *one) {
  const survey *all = one->all;
  const form_result *picked = picked_of(one);
  printf("picked %s: ", picked->plan.name);
  if (all->allowed == 1)
    printf("the only form that is possible\n");
  else if (all->picked != all->direct && all->direct < all->allowed)
    printf("least predicted time, %.2f of direct\n", of_direct(one, picked));
  else
    printf("least predicted time, %.2f of the next, %s\n", against(picked, &all->form[1]),
           all->form[1].plan.name);
  if (all->measured && all->best == all->picked)
    printf("measured: the picked form is the fastest\n");
  else if (all->measured)
    printf("measured: the fastest is %s; the picked form takes %.2f of its time\n",
           best_of(one)->plan.name, survey_ratio(all));
}

static void full_text(const survey_place *place, const surveyed *one, size_t index) {
  const survey *all = one->all;
  (void)index;
  print_call(one);
  printf("\n  %-17s %10s %10s %9s %13s", "plan", "GFLOP", "MB", "launches", "ms predicted");
  if (place->measured) printf(" %12s %10s %6s", "ms measured", "meas/pred", "runs");
  putchar('\n');
  for (size_t i = 0; i < all->allowed; i++) print_form(place, one, &all->form[i]);
  putchar('\n');
  print_left_out(all);
  print_choice(one);
  printf("\n%s", all->form[one->steps].plan.text);
}

static void full_text_end(const survey_place *place, const survey_tally *tally) {
  (void)place;
  if (tally->skipped)
    printf(
        "\nskipped: predicted to take more than %d times the picked form's time; --all runs them\n",
        TOO_SLOW);
}

/* ------------------------------------------------------------------ a row a case, as text */

static void table_text_begin(const survey_place *place) {
  begin_text(place);
  printf("\n%-16s %-17s %12s %9s", "case", "picked", "ms predicted", "of direct");
  if (place->measured)
    printf(" %12s %-17s %12s %9s", "ms measured", "best", "ms of best", "pick/best");
  putchar('\n');
}

static void table_text_row(const survey_place *place, const surveyed *one, size_t index) {
  const form_result *picked = picked_of(one);
  (void)index;
  printf("%-16s %-17s %12.3f %9.2f", one->what->name, picked->plan.name, predicted_ms(picked),
         of_direct(one, picked));
  if (place->measured)
    printf(" %12.3f %-17s %12.3f %9.2f", picked->ms, best_of(one)->plan.name, best_of(one)->ms,
           survey_ratio(one->all));
  putchar('\n');
}

static void table_text_end(const survey_place *place, const survey_tally *tally) {
  if (!place->measured || !tally->cases) return;
  printf(
      "\n%zu of %zu cases: the picked form takes at most %.2f of the best one's time; the most is "
      "%.2f (%s)\n",
      tally->within, tally->cases, WITHIN, tally->worst, tally->worst_name);
  if (tally->skipped)
    printf(
        "%zu forms were skipped: predicted to take more than %d times the picked form's time; "
        "--all runs them\n",
        tally->skipped, TOO_SLOW);
}

/* ------------------------------------------------------------------ CSV */

/* Readers of CSV can be told to skip a comment. */
static void csv_place(const survey_place *place) {
  printf("# device: %s: ", place->device.device);
  print_safe(stdout, place->device.detail);
  printf("; threads: %d; rates: ", (int)place->device.threads);
  print_safe(stdout, place->rates.source);
  printf("; uses: %" PRId64 "\n", place->uses);
}

static void full_csv_begin(const survey_place *place) {
  csv_place(place);
  printf("case,plan,picked,gflop,mbytes,launches,ms_predicted,ms_measured,runs\n");
}

static void full_csv(const survey_place *place, const surveyed *one, size_t index) {
  (void)place;
  (void)index;
  for (size_t i = 0; i < one->all->allowed; i++) {
    const form_result *form = &one->all->form[i];
    printf("%s,%s,%d,%.9g,%.9g,%" PRId64 ",%.6f,", one->what->name, form->plan.name,
           form == picked_of(one), form->plan.flops * 1e-9, form->plan.bytes * 1e-6,
           form->plan.launches, predicted_ms(form));
    if (form->runs) printf("%.6f", form->ms);
    printf(",%zu\n", form->runs);
  }
}

static void table_csv_begin(const survey_place *place) {
  csv_place(place);
  printf("case,picked,ms_predicted,of_direct%s\n",
         place->measured ? ",ms_measured,best,ms_best,ratio" : "");
}

static void table_csv_row(const survey_place *place, const surveyed *one, size_t index) {
  const form_result *picked = picked_of(one);
  (void)index;
  printf("%s,%s,%.6f,%.4f", one->what->name, picked->plan.name, predicted_ms(picked),
         of_direct(one, picked));
  if (place->measured)
    printf(",%.6f,%s,%.6f,%.4f", picked->ms, best_of(one)->plan.name, best_of(one)->ms,
           survey_ratio(one->all));
  putchar('\n');
}

static void table_csv_end(const survey_place *place, const survey_tally *tally) {
  if (place->measured)
    printf("# ratio at most %.2f: %zu of %zu; forms skipped: %zu\n", WITHIN, tally->within,
           tally->cases, tally->skipped);
}

/* ------------------------------------------------------------------ JSON */

static void json_begin(const survey_place *place) {
  putchar('{');
  print_device_json(&place->device);
  printf(",\"rates\":");
  print_rates_json(&place->rates);
  printf(",\"uses\":%" PRId64 ",\"cases\":[", place->uses);
}

static void json_form(const form_result *form, bool measured) {
  printf("{\"plan\":\"%s\",\"gflop\":%.9g,\"bytes\":%.9g,\"launches\":%" PRId64
         ",\"workspace_bytes\":%" PRIu64 ",\"ms_predicted\":%.6f",
         form->plan.name, form->plan.flops * 1e-9, form->plan.bytes, form->plan.launches,
         form->plan.workspace_bytes, predicted_ms(form));
  if (form->runs) printf(",\"ms_measured\":%.6f,\"runs\":%zu", form->ms, form->runs);
  if (measured) printf(",\"skipped\":%s", form->skipped ? "true" : "false");
  putchar('}');
}

static void json_item(const survey_place *place, const surveyed *one, size_t index) {
  const survey *all = one->all;
  printf("%s\n{\"case\":\"%s\",\"x\":", index ? "," : "", one->what->name);
  print_shape(stdout, &one->work->x);
  printf(",\"y\":");
  print_shape(stdout, &one->work->y);
  printf(",\"picked\":\"%s\",\"plans\":[", picked_of(one)->plan.name);
  for (size_t i = 0; i < all->allowed; i++) {
    printf("%s\n ", i ? "," : "");
    json_form(&all->form[i], place->measured);
  }
  printf("],\"left_out\":[");
  for (size_t i = all->allowed; i < all->count; i++) {
    printf("%s{\"plan\":\"%s\",\"why\":", i > all->allowed ? "," : "", all->form[i].plan.name);
    print_json_string(stdout, all->form[i].left_out);
    putchar('}');
  }
  putchar(']');
  if (place->measured)
    printf(",\"best\":\"%s\",\"ratio\":%.4f", best_of(one)->plan.name, survey_ratio(all));
  printf(",\"steps_of\":\"%s\",\"steps\":", all->form[one->steps].plan.name);
  print_json_string(stdout, all->form[one->steps].plan.text);
  putchar('}');
}

static void json_end(const survey_place *place, const survey_tally *tally) {
  putchar(']');
  if (place->measured) printf(",\"ratio_limit\":%.2f,\"within\":%zu", WITHIN, tally->within);
  printf("}\n");
}

const survey_report survey_full_text = {begin_text, full_text, full_text_end},
                    survey_full_csv = {full_csv_begin, full_csv, no_end},
                    survey_table_text = {table_text_begin, table_text_row, table_text_end},
                    survey_table_csv = {table_csv_begin, table_csv_row, table_csv_end},
                    survey_json = {json_begin, json_item, json_end};
