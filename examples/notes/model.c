/* model.c - see model.h for the contract.
 *
 * Two connections. The reader is the event loop's: in WAL mode it waits for no
 * writer, and a query takes microseconds. The writer is for whichever thread
 * has the mutex. More of them would gain nothing, for SQLite has one writer at
 * a time, over all processes; others wait here for the mutex or in SQLite, as
 * long as PATIENCE_MS, for the lock.
 *
 * BEGIN IMMEDIATE takes that lock first. A transaction that begins by reading
 * and then wants to write is refused at once, whatever the busy timeout, when
 * somebody else has written meanwhile: its snapshot is old.
 *
 * The observer is called when COMMIT has returned. sqlite3_commit_hook() would
 * be too early: it is asked before, and the commit may still fail.
 *
 * JSON is SQLite's: json_extract() reads it, json_object() writes it. */
#include "model.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

enum {
    PATIENCE_MS = 5000,     /* less than the pool's timeout: a busy database is a 503, not a 504 */
    READ_PATIENCE_MS = 100, /* only while somebody recovers the log of a killed writer */
    LAYOUT = 1,
};

static sqlite3 *reader, *writer;
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static void (*observer)(enum note_event event, const struct note *note, void *arg);
static void *observer_arg;

static const char layout[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS notes ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT," /* never given twice */
    "  version INTEGER NOT NULL UNIQUE,"
    "  title TEXT NOT NULL CHECK (title <> ''),"
    "  text TEXT NOT NULL,"
    "  key TEXT UNIQUE,"
    "  changed TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS last_change (id INTEGER PRIMARY KEY CHECK (id = 1), version);"
    "INSERT OR IGNORE INTO last_change VALUES (1, 0);"
    "PRAGMA user_version = 1;"
    "COMMIT";

#define NOW "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
#define JSON                                                                                       \
    "json_object('id', id, 'version', version, 'title', title, 'text', text, 'changed', changed)"
#define COLUMNS "id, version, title, text, " JSON

/* ---- statements */

static int failed(sqlite3 *db, const char *what)
{
    int code = sqlite3_errcode(db);
    if (code == SQLITE_BUSY)
        return NOTE_BUSY;
    fprintf(stderr, "notes: %s: %s\n", what, sqlite3_errmsg(db));
    return NOTE_FAILED;
}

/* Prepares, binds as `kinds` say ('i' int64_t, 's' a string) and takes the
 * first step: SQLITE_ROW, SQLITE_DONE or an error. *out is to be finalized. */
static int ask(sqlite3 *db, sqlite3_stmt **out, const char *sql, const char *kinds, ...)
{
    int r = sqlite3_prepare_v2(db, sql, -1, out, NULL);
    va_list args;
    va_start(args, kinds);
    for (int i = 1; r == SQLITE_OK && *kinds; i++, kinds++) {
        if (*kinds == 'i')
            r = sqlite3_bind_int64(*out, i, va_arg(args, int64_t));
        else
            r = sqlite3_bind_text(*out, i, va_arg(args, const char *), -1, SQLITE_STATIC);
    }
    va_end(args);
    return r == SQLITE_OK ? sqlite3_step(*out) : r;
}

/* Ends a statement of which one row was wanted: NOTE_DONE when there was one. */
static int answered(sqlite3 *db, sqlite3_stmt *stmt, int step, const char *what)
{
    int r = step == SQLITE_ROW ? NOTE_DONE : step == SQLITE_DONE ? NOTE_MISSING : failed(db, what);
    sqlite3_finalize(stmt);
    return r;
}

static void copy_column(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    snprintf(out, size, "%s", (const char *)sqlite3_column_text(stmt, column));
}

/* A row of COLUMNS, should there be one. */
static int take_note(sqlite3 *db, sqlite3_stmt *stmt, int step, struct note *note)
{
    if (step == SQLITE_ROW) {
        note->id = sqlite3_column_int64(stmt, 0);
        note->version = sqlite3_column_int64(stmt, 1);
        copy_column(stmt, 2, note->title, sizeof(note->title));
        copy_column(stmt, 3, note->text, sizeof(note->text));
        copy_column(stmt, 4, note->json, sizeof(note->json));
    }
    return answered(db, stmt, step, "reading a note");
}

static int load(sqlite3 *db, int64_t id, struct note *note)
{
    sqlite3_stmt *stmt;
    int step = ask(db, &stmt, "SELECT " COLUMNS " FROM notes WHERE id = ?", "i", id);
    return take_note(db, stmt, step, note);
}

/* ---- opening */

static const char *open_one(const char *path, int flags, int patience_ms, sqlite3 **out)
{
    int r = sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (r != SQLITE_OK)
        return *out ? sqlite3_errmsg(*out) : sqlite3_errstr(r);
    sqlite3_busy_timeout(*out, patience_ms);
    return NULL;
}

/* Workers start at the same time. One of them changes a new database to WAL, and SQLite does not
 * let the others wait for that: they ask again. Synchronous: what has been answered with 201 is on
 * the disk. */
static int use_wal(void)
{
    static const char sql[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
    int r = sqlite3_exec(writer, sql, NULL, NULL, NULL);
    for (int ms = 0; r == SQLITE_BUSY && ms < PATIENCE_MS; ms += 10) {
        sqlite3_sleep(10);
        r = sqlite3_exec(writer, sql, NULL, NULL, NULL);
    }
    return r;
}

static const char *prepare_database(void)
{
    sqlite3_stmt *stmt;
    if (use_wal() != SQLITE_OK)
        return sqlite3_errmsg(writer);
    int step = ask(writer, &stmt, "PRAGMA user_version", "");
    int version = step == SQLITE_ROW ? sqlite3_column_int(stmt, 0) : 0;
    sqlite3_finalize(stmt);
    if (version > LAYOUT)
        return "it is a later version's";
    if (version < LAYOUT && sqlite3_exec(writer, layout, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite3_errmsg(writer);
    return NULL;
}

const char *notes_open(const char *path)
{
    const char *error =
        open_one(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, PATIENCE_MS, &writer);
    if (!error)
        error = prepare_database();
    if (!error)
        error = open_one(path, SQLITE_OPEN_READONLY, READ_PATIENCE_MS, &reader);
    return error;
}

void notes_close(void)
{
    pthread_mutex_lock(&writing);
    sqlite3_close(reader);
    sqlite3_close(writer);
    reader = writer = NULL;
    pthread_mutex_unlock(&writing);
}

void note_observe(void (*fn)(enum note_event event, const struct note *note, void *arg), void *arg)
{
    observer = fn;
    observer_arg = arg;
}

/* ---- JSON in */

/* SQLite lets text pass that is no UTF-8, and \ud800 makes such. By way of
 * UTF-16 what is none becomes U+FFFD. */
static bool take_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    (void)sqlite3_column_text16(stmt, column);
    copy_column(stmt, column, out, size);
    return (size_t)sqlite3_column_bytes(stmt, column) < size;
}

static const char *take_fields(sqlite3_stmt *stmt, struct note *note)
{
    if (!sqlite3_column_int(stmt, 0))
        return "title and text are to be strings";
    if (!take_text(stmt, 1, note->title, sizeof(note->title)))
        return "the title is longer than 200 bytes";
    if (!take_text(stmt, 2, note->text, sizeof(note->text)))
        return "the text is longer than 4000 bytes";
    return note->title[0] ? NULL : "there is no title";
}

const char *note_parse(struct note *note, const char *json, size_t len)
{
    static const char sql[] =
        "SELECT json_type(?1, '$.title') IS 'text' AND json_type(?1, '$.text') IS 'text',"
        " trim(json_extract(?1, '$.title'), char(9, 10, 13, 32)), json_extract(?1, '$.text')"
        " WHERE json_valid(?1)";
    const char *problem = "this is no JSON";
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(reader, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_bind_text(stmt, 1, json, (int)len, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        problem = take_fields(stmt, note);
    sqlite3_finalize(stmt);
    return problem;
}

/* ---- changes; the writer's, inside a transaction */

static int has_room(void)
{
    sqlite3_stmt *stmt;
    int step = ask(writer, &stmt, "SELECT 1 WHERE (SELECT count(*) FROM notes) < ?", "i",
                   (int64_t)NOTES_MAX);
    int r = answered(writer, stmt, step, "counting");
    return r == NOTE_MISSING ? NOTE_FULL : r;
}

static int next_version(int64_t *out)
{
    sqlite3_stmt *stmt;
    int step =
        ask(writer, &stmt, "UPDATE last_change SET version = version + 1 RETURNING version", "");
    if (step == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    return answered(writer, stmt, step, "counting a change");
}

static int insert_note(struct note *note)
{
    static const char find[] = "SELECT " COLUMNS " FROM notes WHERE key = nullif(?, '')";
    static const char sql[] = "INSERT INTO notes (version, title, text, key, changed)"
                              " VALUES (?, ?, ?, nullif(?, ''), " NOW ") RETURNING " COLUMNS;
    sqlite3_stmt *stmt;
    int64_t version = 0;
    int step = ask(writer, &stmt, find, "s", note->key);
    int r = take_note(writer, stmt, step, note);
    if (r != NOTE_MISSING)
        return r == NOTE_DONE ? NOTE_SAME : r;
    r = has_room();
    if (r == NOTE_DONE)
        r = next_version(&version);
    if (r != NOTE_DONE)
        return r;
    step = ask(writer, &stmt, sql, "isss", version, note->title, note->text, note->key);
    return take_note(writer, stmt, step, note);
}

static int update_note(struct note *note)
{
    static const char sql[] = "UPDATE notes SET version = ?, title = ?, text = ?, changed = " NOW
                              " WHERE id = ? AND ? IN (version, -1) RETURNING " COLUMNS;
    struct note found;
    sqlite3_stmt *stmt;
    int64_t version = 0;
    int r = next_version(&version);
    if (r != NOTE_DONE)
        return r;
    int step =
        ask(writer, &stmt, sql, "issii", version, note->title, note->text, note->id, note->version);
    r = take_note(writer, stmt, step, note);
    if (r != NOTE_MISSING)
        return r;
    r = load(writer, note->id, &found);
    if (r != NOTE_DONE)
        return r;
    bool is_same = strcmp(found.title, note->title) == 0 && strcmp(found.text, note->text) == 0;
    *note = found;
    return is_same ? NOTE_SAME : NOTE_CONFLICT;
}

static int delete_note(struct note *note)
{
    static const char sql[] = "DELETE FROM notes WHERE id = ? AND ? IN (version, -1) RETURNING id";
    sqlite3_stmt *stmt;
    int64_t version = 0;
    int r = next_version(&version);
    if (r != NOTE_DONE)
        return r;
    int step = ask(writer, &stmt, sql, "ii", note->id, note->version);
    r = answered(writer, stmt, step, "deleting");
    if (r == NOTE_DONE)
        note->version = version;
    if (r != NOTE_MISSING)
        return r;
    r = load(writer, note->id, note);
    return r == NOTE_DONE ? NOTE_CONFLICT : r;
}

static int say(const char *sql)
{
    return sqlite3_exec(writer, sql, NULL, NULL, NULL) == SQLITE_OK ? NOTE_DONE
                                                                    : failed(writer, sql);
}

/* The only way to change anything. */
static int transact(struct note *note, int (*change)(struct note *note), enum note_event event)
{
    pthread_mutex_lock(&writing);
    int r = say("BEGIN IMMEDIATE");
    if (r == NOTE_DONE) {
        r = change(note);
        if (r == NOTE_DONE)
            r = say("COMMIT");
        if (r != NOTE_DONE && !sqlite3_get_autocommit(writer))
            (void)say("ROLLBACK");
    }
    if (r == NOTE_DONE && observer)
        observer(event, note, observer_arg);
    pthread_mutex_unlock(&writing);
    return r;
}

int note_save(struct note *note)
{
    return transact(note, note->id == 0 ? insert_note : update_note, NOTE_SAVED);
}

int note_delete(struct note *note)
{
    return transact(note, delete_note, NOTE_DELETED);
}

/* ---- reading */

int note_load(struct note *note)
{
    return load(reader, note->id, note);
}

int notes_version(int64_t *version)
{
    sqlite3_stmt *stmt;
    int step = ask(reader, &stmt, "SELECT version FROM last_change", "");
    if (step == SQLITE_ROW)
        *version = sqlite3_column_int64(stmt, 0);
    return answered(reader, stmt, step, "reading the version");
}

/* One statement sees one state of the database: notes and version belong together. */
int notes_list(char **json, int64_t *version)
{
    static const char sql[] =
        "SELECT version, json_object('version', version, 'notes', json((SELECT"
        " json_group_array(" JSON ") FROM (SELECT * FROM notes ORDER BY version DESC))))"
        " FROM last_change";
    sqlite3_stmt *stmt;
    int step = ask(reader, &stmt, sql, "");
    *json = NULL;
    if (step == SQLITE_ROW) {
        *version = sqlite3_column_int64(stmt, 0);
        *json = sqlite3_mprintf("%s\n", (const char *)sqlite3_column_text(stmt, 1));
    }
    int r = answered(reader, stmt, step, "reading all notes");
    return r == NOTE_DONE && !*json ? NOTE_FAILED : r;
}
