/* page.c - see page.h for the contract. */
#include "cli/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <headrace/version.h>

#include "cli/units.h"

enum { FIRST_WIDTH = 66, VALUE_WIDTH = 30 };

struct style {
    const char *bold, *dim, *plain;
};

static bool has_colour(void)
{
    const char *no = getenv("NO_COLOR"); /* no-color.org: set and not empty */
    return isatty(STDOUT_FILENO) && !(no && no[0]);
}

static struct style choose_style(void)
{
    if (!has_colour())
        return (struct style){"", "", ""};
    return (struct style){"\033[1m", "\033[2m", "\033[0m"};
}

static void print_row(const struct style *style, const char *label, const char *value,
                      const char *note)
{
    if (note[0])
        printf("  %s%-11s%s %-*s  %s%s%s\n", style->dim, label, style->plain, VALUE_WIDTH, value,
               style->dim, note, style->plain);
    else
        printf("  %s%-11s%s %s\n", style->dim, label, style->plain, value);
}

static void print_first(const struct hr_page *page, const struct style *style)
{
    char text[256];
    const struct hr_settings_pool *pool = hr_pool_default(page->settings);
    snprintf(text, sizeof text, "headrace " HR_VERSION "  %s (C)", pool ? pool->app : "");
    printf("%s%-*s%s  %spid %ld%s\n", style->bold, FIRST_WIDTH, text, style->plain, style->dim,
           (long)getpid(), style->plain);
}

static void print_listeners(const struct hr_page *page, const struct style *style)
{
    for (uint32_t i = 0; i < page->listeners->n; i++) {
        const struct hr_socket *listener = &page->listeners->items[i];
        if (listener->is_admin)
            print_row(style, "admin", listener->name, "/metrics, /healthz, /readyz");
        else
            print_row(style, "listening", listener->name, "HTTP/1.1, WebSocket");
    }
}

/* "bigdata.*" or "/ws/, http:/sse/": what the pool takes; empty for everything else. */
static void format_share(const struct hr_settings_pool *pool, char *out, size_t size)
{
    const struct hr_words *lists[] = {&pool->paths, &pool->channels};
    size_t len = 0;
    out[0] = '\0';
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < lists[k]->n && len < size; i++)
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "  ",
                                    lists[k]->item[i]);
}

static void print_pools(const struct hr_page *page, const struct style *style)
{
    for (const struct hr_settings_pool *pool = hr_pool_first(page->settings); pool;
         pool = hr_pool_next(pool)) {
        char value[64], note[200], share[150];
        const char *base = strrchr(pool->app, '/');
        format_share(pool, share, sizeof share);
        if (page->is_inline)
            snprintf(value, sizeof value, "in this process");
        else
            snprintf(value, sizeof value, "%" PRIu32 " process%s", pool->processes,
                     pool->processes == 1 ? "" : "es");
        snprintf(note, sizeof note, "C %.40s%s", base ? base + 1 : pool->app, share);
        print_row(style, pool->section.name, value, note);
    }
}

void hr_page_print(const struct hr_page *page)
{
    struct style style = choose_style();
    char size[HR_UNITS_TEXT_MAX];
    print_first(page, &style);
    print_listeners(page, &style);
    hr_units_about_size(page->settings->layer.size, size);
    print_row(&style, "layer", page->layer_url,
              page->is_inline ? "nobody else can reach it" : size);
    print_pools(page, &style);
    if (page->is_inline)
        print_row(&style, "next", "Ctrl-C ends it", "");
    else
        print_row(&style, "next", "headrace status",
                  page->is_watching ? "" : "headrace run --reload");
    fflush(stdout);
}
