/* Imports of module "fusebox", which any core module or command may call, with or without an SDK.
 *
 * Compile for wasm32: a pointer has 4 bytes. A pointer or length outside the module's memory, which must be exported as
 * "memory", ends the run as bad-pointer. Functions of type int64_t return what they say, or a refusal, which is negative.
 * docs/functions.md has the table of grants; a module that imports a function without its grant is not registered. */
#ifndef FUSEBOX_H
#define FUSEBOX_H

#include <stdint.h>

#define FUSEBOX_IMPORT(name) __attribute__((import_module("fusebox"), import_name(name)))

/* Refusals. */
#define FUSEBOX_ABSENT (-1)      /* the value does not exist */
#define FUSEBOX_CONFLICT (-2)    /* the entry does not meet the expected condition */
#define FUSEBOX_TOO_LARGE (-3)   /* a size limit is exceeded */
#define FUSEBOX_QUOTA (-4)       /* the quota is used up */
#define FUSEBOX_REFUSED (-5)     /* the call is not allowed */
#define FUSEBOX_UNAVAILABLE (-6) /* the service is temporarily unavailable */
#define FUSEBOX_TIMED_OUT (-7)   /* no answer arrived in time */
#define FUSEBOX_INVALID (-8)     /* the call is malformed */

/* Conditions of kv_set and kv_delete; any other value is the revision that the entry must have. */
#define FUSEBOX_ANYTHING (-1)
#define FUSEBOX_NOTHING 0

/* Levels of log. */
#define FUSEBOX_ERROR 1
#define FUSEBOX_WARN 2
#define FUSEBOX_INFO 3
#define FUSEBOX_DEBUG 4
#define FUSEBOX_TRACE 5

/* Copies at most cap bytes of the result of the last call that had one; returns its whole length, 0 without one. */
FUSEBOX_IMPORT("answer") uint32_t fusebox_answer(void *ptr, uint32_t cap);

/* Returns the Unix time in milliseconds. */
FUSEBOX_IMPORT("clock") int64_t fusebox_clock(void);

/* Reads a configuration value; returns the length of the result. */
FUSEBOX_IMPORT("config") int64_t fusebox_config(const char *name, uint32_t name_len);

/* Copies at most cap bytes of five lines: the task's id (empty without one), attempt, deadline in Unix milliseconds,
 * tenant, function; returns their whole length. */
FUSEBOX_IMPORT("context") uint32_t fusebox_context(void *ptr, uint32_t cap);

/* Ends the run as guest-error with these bytes. */
FUSEBOX_IMPORT("fail") void fusebox_fail(const void *ptr, uint32_t len);

/* Sends an HTTP request: "METHOD URL\n", lines "name: value\n", "\n", body; returns the length of the result, which is
 * "STATUS\n", lines, "\n", body. */
FUSEBOX_IMPORT("http") int64_t fusebox_http(const void *request, uint32_t request_len);

/* Reads an entry; returns the length of the result: its revision in 8 bytes, little-endian, and the value. */
FUSEBOX_IMPORT("kv_get") int64_t fusebox_kv_get(const void *key, uint32_t key_len);

/* Writes an entry that lives for ttl_ms, or for ever if that is 0; returns its new revision. */
FUSEBOX_IMPORT("kv_set") int64_t fusebox_kv_set(const void *key, uint32_t key_len, const void *value, uint32_t value_len, int64_t ttl_ms, int64_t expects);

/* Deletes an entry; returns 1 if there was one, 0 otherwise. */
FUSEBOX_IMPORT("kv_delete") int64_t fusebox_kv_delete(const void *key, uint32_t key_len, int64_t expects);

/* Lists keys that start with a prefix, in no order; returns the length of the result: texts, each behind its length in 4
 * bytes, little-endian. The first is the place where this page ends, empty if it is the last one, and the others are
 * keys. For the next page, after is that place; for the first one it is empty. */
FUSEBOX_IMPORT("kv_keys") int64_t fusebox_kv_keys(const void *prefix, uint32_t prefix_len, const void *after, uint32_t after_len);

/* Appends a line to the log. */
FUSEBOX_IMPORT("log") void fusebox_log(uint32_t level, const char *text, uint32_t text_len);

/* Fills a buffer of at most 64 KiB with random bytes. */
FUSEBOX_IMPORT("random") void fusebox_random(void *ptr, uint32_t len);

/* Reads a secret; returns the length of the result. */
FUSEBOX_IMPORT("secret") int64_t fusebox_secret(const char *name, uint32_t name_len);

#endif
