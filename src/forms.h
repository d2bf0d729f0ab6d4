/* The exact forms of cross attention: how the scores are had, and how the values. */
#ifndef XATTN_FORMS_H
#define XATTN_FORMS_H

#include <stdbool.h>

/* What of the context a side works on, which is what a context keeps for it. */
typedef enum xattn_kept {
  XATTN_KEPT_PROJECTED, /* K or V */
  XATTN_KEPT_RAW,       /* y itself */
  XATTN_KEPT_MERGED     /* y times the merged weights: y·Mᵀ or y·Nᵀ, per head */
} xattn_kept;

typedef enum xattn_score_form {
  XATTN_SCORES_PROJECT, /* (x·Wqᵀ)·(y·Wkᵀ)ᵀ */
  XATTN_SCORES_PUSH,    /* ((x·Wqᵀ)·Wk)·yᵀ */
  XATTN_SCORES_MERGE_X, /* (x·M)·yᵀ,   M = Wqᵀ·Wk */
  XATTN_SCORES_MERGE_Y, /* x·(y·Mᵀ)ᵀ */
  XATTN_SCORE_FORMS
} xattn_score_form;

typedef enum xattn_value_form {
  XATTN_VALUES_PROJECT,  /* (P·(y·Wvᵀ))·Woᵀ */
  XATTN_VALUES_DEFER,    /* ((P·y)·Wvᵀ)·Woᵀ */
  XATTN_VALUES_MERGE_PY, /* (P·y)·Nᵀ,   N = Wo·Wv */
  XATTN_VALUES_MERGE_Y,  /* P·(y·Nᵀ) */
  XATTN_VALUE_FORMS
} xattn_value_form;

typedef struct xattn_form {
  xattn_score_form scores;
  xattn_value_form values;
} xattn_form;

enum { XATTN_FORMS = XATTN_SCORE_FORMS * XATTN_VALUE_FORMS };

/* Form number index, 0 to XATTN_FORMS - 1; 0 is direct. In this order ties are broken. */
xattn_form xattn_form_at(int index);

/* "direct", "push+defer". */
const char *xattn_form_name(xattn_form form);

/* False where no form has the name. */
bool xattn_form_find(const char *name, xattn_form *form);

xattn_kept xattn_form_keeps_scores(xattn_form form);
xattn_kept xattn_form_keeps_values(xattn_form form);

static inline bool xattn_form_merges_scores(xattn_form form) {
  return form.scores == XATTN_SCORES_MERGE_X || form.scores == XATTN_SCORES_MERGE_Y;
}

static inline bool xattn_form_merges_values(xattn_form form) {
  return form.values == XATTN_VALUES_MERGE_PY || form.values == XATTN_VALUES_MERGE_Y;
}

#endif
