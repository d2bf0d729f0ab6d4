#include "choices.h"

#include <string.h>

const char *xattn_choice_recall(const xattn_choices *choices, const xattn_problem *problem) {
  /* Equal bytes are an equal problem; others, -0 beside 0 say, are at worst planned again. */
  for (int i = 0; i < choices->count; i++)
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
    if (memcmp(&choices->entry[i].problem, problem, sizeof *problem) == 0)
      return choices->entry[i].name;
  return NULL;
}

void xattn_choice_note(xattn_choices *choices, const xattn_problem *problem, xattn_form form) {
  memcpy(&choices->entry[choices->next].problem, problem, sizeof *problem);
  choices->entry[choices->next].name = xattn_form_name(form);
  choices->next = (choices->next + 1) % XATTN_CHOICES;
  if (choices->count < XATTN_CHOICES) choices->count++;
}
