/* wsload_report.c - what a run of the load generator has found: lines for people, or JSON. */
#include "wsload.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

static const char *const error_words[] = {
#define LOAD_ERROR_WORD(name, word) word,
    LOAD_ERRORS(LOAD_ERROR_WORD)
#undef LOAD_ERROR_WORD
};

static double load_seconds(hr_time span)
{
    return (double)span / (double)HR_SECOND;
}

/* A second; 0 when there was no time. */
static double load_rate(uint64_t n, hr_time span)
{
    return span > 0 ? (double)n / load_seconds(span) : 0;
}

static double load_cpu_seconds(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static uint64_t load_n_errors(const struct load *load)
{
    uint64_t n = 0;

    for (int i = 0; i < LOAD_N_ERRORS; i++)
        n += load->errors[i];
    return n;
}

/* What the rounds say, once all is over. */
struct load_broadcasts {
    uint32_t n_complete, n_partial;
    struct histogram spreads; /* of the complete ones, first to last arrival */
};

static void load_sum_rounds(const struct load *load, struct load_broadcasts *out)
{
    *out = (struct load_broadcasts){0};
    for (uint32_t i = 0; load->rounds && i < LOAD_MAX_ROUNDS && load->rounds[i].n > 0; i++) {
        const struct load_round *round = &load->rounds[i];
        if (round->n < load->n_opened) {
            out->n_partial++;
            continue;
        }
        out->n_complete++;
        histogram_add(&out->spreads, round->last - round->first);
    }
}

static void load_print_times(const char *what, const struct histogram *times)
{
    if (times->n == 0)
        return;
    printf("  %-10s p50 %.3f ms   p99 %.3f ms   max %.3f ms\n", what,
           1e3 * load_seconds(histogram_quantile(times, 0.5)),
           1e3 * load_seconds(histogram_quantile(times, 0.99)), 1e3 * load_seconds(times->max));
}

static void load_print_text(const struct load *load, const struct load_broadcasts *broadcasts)
{
    const struct load_options *options = &load->options;
    hr_time opening = load->opened_at - load->started_at;
    hr_time running = load->closing_at - load->opened_at;

    printf("%s  ws://%s%s\n", load_mode_names[options->mode], load->host, options->path);
    printf("  opened     %" PRIu32 " of %" PRIu32 " in %.3f s (%.0f/s); %" PRIu32
           " open after %.3f s more\n",
           load->n_opened, options->n_connections, load_seconds(opening),
           load_rate(load->n_opened, opening), load->n_alive_end, load_seconds(running));
    load_print_times("handshake", &load->handshakes);
    if (options->mode != LOAD_IDLE)
        printf("  messages   %" PRIu64 " (%" PRIu64 " bytes), %.0f/s\n", load->n_messages,
               load->n_bytes, load_rate(load->n_messages, running));
    if (options->mode == LOAD_ECHO)
        load_print_times("latency", &load->latencies);
    if (options->mode == LOAD_LISTEN) {
        printf("  broadcasts %" PRIu32 " reached all, %" PRIu32 " some\n", broadcasts->n_complete,
               broadcasts->n_partial);
        load_print_times("spread", &broadcasts->spreads);
    }
    printf("  own cpu    %.3f s\n", load_cpu_seconds());
    for (int i = 0; i < LOAD_N_ERRORS; i++)
        if (load->errors[i] > 0)
            printf("! %" PRIu64 " %s, the first: %s\n", load->errors[i], error_words[i],
                   load->details[i]);
}

static void load_print_json_times(const char *name, const struct histogram *times)
{
    printf(",\"%s\":{\"n\":%" PRIu64 ",\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}", name,
           times->n, 1e6 * load_seconds(histogram_quantile(times, 0.5)),
           1e6 * load_seconds(histogram_quantile(times, 0.99)), 1e6 * load_seconds(times->max));
}

static void load_print_json(const struct load *load, const struct load_broadcasts *broadcasts)
{
    hr_time running = load->closing_at - load->opened_at;

    printf("{\"mode\":\"%s\",\"connections\":%" PRIu32 ",\"opened\":%" PRIu32 ",\"alive\":%" PRIu32,
           load_mode_names[load->options.mode], load->options.n_connections, load->n_opened,
           load->n_alive_end);
    printf(",\"open_s\":%.3f,\"run_s\":%.3f,\"cpu_s\":%.3f",
           load_seconds(load->opened_at - load->started_at), load_seconds(running),
           load_cpu_seconds());
    printf(",\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"messages_per_s\":%.1f",
           load->n_messages, load->n_bytes, load_rate(load->n_messages, running));
    load_print_json_times("handshake", &load->handshakes);
    load_print_json_times("latency", &load->latencies);
    printf(",\"broadcasts_complete\":%" PRIu32 ",\"broadcasts_partial\":%" PRIu32,
           broadcasts->n_complete, broadcasts->n_partial);
    load_print_json_times("spread", &broadcasts->spreads);
    printf(",\"n_errors\":%" PRIu64 ",\"errors\":{", load_n_errors(load));
    for (int i = 0, n = 0; i < LOAD_N_ERRORS; i++)
        if (load->errors[i] > 0)
            printf("%s\"%s\":{\"n\":%" PRIu64 ",\"first\":\"%s\"}", n++ ? "," : "", error_words[i],
                   load->errors[i], load->details[i]);
    printf("}}\n");
}

uint64_t load_report(struct load *load)
{
    static struct load_broadcasts broadcasts;
    uint64_t wanted = (uint64_t)load->options.n_messages * load->n_opened;

    load_sum_rounds(load, &broadcasts);
    if (load->options.mode == LOAD_LISTEN && load->n_messages < wanted) {
        load_count_error(load, LOAD_ERR_MISSING, "%" PRIu64 " of %" PRIu64, load->n_messages,
                         wanted);
        load->errors[LOAD_ERR_MISSING] = wanted - load->n_messages;
    }
    if (load->options.is_json)
        load_print_json(load, &broadcasts);
    else
        load_print_text(load, &broadcasts);
    return load_n_errors(load);
}
