/* What the planner chose for the last few problems of a handle: in steady state a call chooses nothing. */
#ifndef XATTN_CHOICES_H
#define XATTN_CHOICES_H

#include "plan.h"

enum { XATTN_CHOICES = 16 };

typedef struct xattn_choices {
  struct {
    xattn_problem problem;
    const char *name;
  } entry[XATTN_CHOICES];
  int count, next;
} xattn_choices;

/* The name of the form chosen for this problem; NULL: not known. */
const char *xattn_choice_recall(const xattn_choices *choices, const xattn_problem *problem);
void xattn_choice_note(xattn_choices *choices, const xattn_problem *problem, xattn_form form);

#endif
