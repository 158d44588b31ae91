/* page.h - what people see on a terminal once everything is up. */
#ifndef HR_CLI_PAGE_H
#define HR_CLI_PAGE_H

#include <stdbool.h>

#include "cli/sockets.h"
#include "cli/settings.h"

struct hr_page {
    const struct hr_settings *settings;
    const struct hr_sockets *listeners;
    const char *layer_url;
    bool is_watching; /* --reload */
    bool is_inline;   /* everything in this process */
};

/* Prints it to standard output, aligned; in colour on a terminal, unless NO_COLOR is set. */
void hr_page_print(const struct hr_page *page);

#endif /* HR_CLI_PAGE_H */
