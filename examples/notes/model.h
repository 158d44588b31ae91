/* model.h - notes: what they are, where they are kept, and who is told when one changes.
 *
 * Saving notifies. Whoever changes a note calls note_save() or note_delete(),
 * and these call the observer once the change is committed. So nobody who
 * writes a handler, a job or an import can forget it, and nobody is told of
 * what was then rolled back.
 *
 * All changes of all notes are numbered: the *version* of a note is the number
 * of the change that made it what it is. One number is the precondition of an
 * update, the ETag, the order of notifications, and the way to notice that one
 * was missed.
 *
 * The database is SQLite in WAL mode, shared by any number of processes.
 * Knows nothing of Headrace.
 *
 * Threads: note_save() and note_delete() wait, for other writers and for the
 *          disk: call them on any thread but the event loop's. All else is for
 *          the thread of notes_open(), and waits for nobody.
 */
#ifndef NOTES_MODEL_H
#define NOTES_MODEL_H

#include <stddef.h>
#include <stdint.h>

enum {
    NOTE_TITLE_BYTES = 200,
    NOTE_TEXT_BYTES = 4000,
    NOTE_KEY_BYTES = 40,
    NOTE_JSON_BYTES = 6 * (NOTE_TITLE_BYTES + NOTE_TEXT_BYTES) + 256, /* \u001f is the longest */
    NOTES_MAX = 500, /* all of them go into one answer, of at most 16 MiB */
    NOTE_ANY = -1,   /* as the version to change: whichever it is */
};

struct note {
    int64_t id;      /* 0: not saved yet */
    int64_t version; /* in: the one that is to be changed; out: of what is here */
    char title[NOTE_TITLE_BYTES + 1];
    char text[NOTE_TEXT_BYTES + 1];
    char key[NOTE_KEY_BYTES + 1]; /* a new note's, chosen by who saves it; may be empty */
    char json[NOTE_JSON_BYTES];   /* out: all of it, with the time of the change */
};

enum note_outcome {
    NOTE_DONE,     /* committed; the observer knows */
    NOTE_SAME,     /* it has been done before: *note is what is there */
    NOTE_CONFLICT, /* has another version than was to be changed: *note is what is there */
    NOTE_MISSING,
    NOTE_FULL,   /* there are NOTES_MAX */
    NOTE_BUSY,   /* others were writing for five seconds */
    NOTE_FAILED, /* the database did; standard error says why */
};

enum note_event {
    NOTE_SAVED,
    NOTE_DELETED, /* of *note, id and version hold */
};

/* Opens the database, which is made when it is missing. NULL, or what went wrong. */
const char *notes_open(const char *path);
void notes_close(void);

/* `fn` is called after each commit of this process, on the thread that saved,
 * in the order of versions; never for what is not committed. A process that is
 * killed between the two has told nobody. */
void note_observe(void (*fn)(enum note_event event, const struct note *note, void *arg), void *arg);

/* Title and text from JSON. NULL, or what is wrong with it, as a sentence. */
const char *note_parse(struct note *note, const char *json, size_t len);

/* Saves a new note (id 0), or what is to be note->id. A new one whose key is
 * taken, and an update that changes nothing of a later version, are NOTE_SAME:
 * who has heard no answer may ask again. Returns a note_outcome, as all below. */
int note_save(struct note *note);
int note_delete(struct note *note);

/* Reads note->id. */
int note_load(struct note *note);

/* The number of the last change. */
int notes_version(int64_t *version);

/* All notes as {"version", "notes": [...]}, the last change first, and that
 * version. *json is given: sqlite3_free(). */
int notes_list(char **json, int64_t *version);

#endif /* NOTES_MODEL_H */
