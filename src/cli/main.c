/* main.c - the program: which verb, and its exit code. */
#include <signal.h>
#include <string.h>

#include "base/process.h"
#include "cli/args.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/help.h"
#include "cli/verbs.h"

static int (*const verb_functions[HR_N_VERBS])(const struct hr_args *args) = {
    [HR_VERB_RUN] = hr_verb_run,         [HR_VERB_SERVE] = hr_verb_serve,
    [HR_VERB_WORK] = hr_verb_work,       [HR_VERB_SEND] = hr_verb_send,
    [HR_VERB_GROUP] = hr_verb_group,     [HR_VERB_STATUS] = hr_verb_status,
    [HR_VERB_STACK] = hr_verb_stack,     [HR_VERB_DEAD] = hr_verb_dead,
    [HR_VERB_PAUSE] = hr_verb_pause,     [HR_VERB_RESUME] = hr_verb_resume,
    [HR_VERB_CLOSE] = hr_verb_close,     [HR_VERB_RELOAD] = hr_verb_reload,
    [HR_VERB_CHECK] = hr_verb_check,     [HR_VERB_FLUSH] = hr_verb_flush,
    [HR_VERB_VERSION] = hr_verb_version,
};

static int do_verb(int argc, char **argv)
{
    struct hr_args args;
    struct hr_diag diag = {0};
    int code = HR_EXIT_OK;
    int r = hr_args_read(argc, argv, &args, &diag);
    if (r < 0) {
        (void)hr_complain_of_settings(&diag, r);
        code = HR_EXIT_USAGE;
    } else if (hr_args_option(&args, HR_OPT_HELP)) {
        hr_help_print_verb(args.verb);
    } else {
        code = verb_functions[args.verb](&args);
    }
    hr_args_fini(&args);
    return code;
}

int main(int argc, char **argv)
{
    hr_process_init(argc, argv);
    signal(SIGPIPE, SIG_IGN); /* a client or a supervisor that is gone is an error, not our end */
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        hr_help_print();
        return HR_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return hr_verb_version(NULL);
    return do_verb(argc, argv);
}
