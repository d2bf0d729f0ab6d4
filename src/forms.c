#include "forms.h"

#include <string.h>
#include <xattn.h>

static const char *const names[XATTN_SCORE_FORMS][XATTN_VALUE_FORMS] = {
    {"direct", "project+defer", "project+merge-py", "project+merge-y"},
    {"push+project", "push+defer", "push+merge-py", "push+merge-y"},
    {"merge-x+project", "merge-x+defer", "merge-x+merge-py", "merge-x+merge-y"},
    {"merge-y+project", "merge-y+defer", "merge-y+merge-py", "merge-y+merge-y"},
};

xattn_form xattn_form_at(int index) {
  return (xattn_form){(xattn_score_form)(index / XATTN_VALUE_FORMS),
                      (xattn_value_form)(index % XATTN_VALUE_FORMS)};
}

const char *xattn_form_name(xattn_form form) {
  return names[form.scores][form.values];
}

bool xattn_form_find(const char *name, xattn_form *form) {
  for (int i = 0; i < XATTN_FORMS; i++) {
    *form = xattn_form_at(i);
    if (strcmp(name, xattn_form_name(*form)) == 0) return true;
  }
  return false;
}

const char *xattn_plan_name(int64_t index) {
  return index >= 0 && index < XATTN_FORMS ? xattn_form_name(xattn_form_at((int)index)) : NULL;
}

xattn_kept xattn_form_keeps_scores(xattn_form form) {
  switch (form.scores) {
    case XATTN_SCORES_PROJECT:
      return XATTN_KEPT_PROJECTED;
    case XATTN_SCORES_MERGE_Y:
      return XATTN_KEPT_MERGED;
    default:
      return XATTN_KEPT_RAW;
  }
}

xattn_kept xattn_form_keeps_values(xattn_form form) {
  switch (form.values) {
    case XATTN_VALUES_PROJECT:
      return XATTN_KEPT_PROJECTED;
    case XATTN_VALUES_MERGE_Y:
      return XATTN_KEPT_MERGED;
    default:
      return XATTN_KEPT_RAW;
  }
}
