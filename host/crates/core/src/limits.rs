//! Every bound of the system, each with the reason for its number. Defaults live here; what an operator may change is
//! changed in the host's settings.

/// Bytes in a kibibyte and a mebibyte.
pub const KIB: u64 = 1 << 10;
/// See [`KIB`].
pub const MIB: u64 = 1 << 20;

/// A tenant's name is part of every key: short enough to keep keys small.
pub const TENANT_NAME_BYTES_MAX: usize = 64;
/// Long enough for a qualified name, short enough for a URL and a log line.
pub const FUNCTION_NAME_CHARS_MAX: usize = 128;

/// A module's wasm bytes. 16 MiB holds a large Rust program; compile time grows with size, and the compile child's CPU
/// limit ends what this bound lets through.
pub const MODULE_BYTES_MAX: u64 = 16 * MIB;
/// A task's input, kept in memory while it is accepted, sent and run.
pub const INPUT_BYTES_MAX: u64 = 6 * MIB;
/// A body of the seed routes: base64 of the largest module grows by 4/3, line breaks and JSON add a little.
pub const SEED_BODY_BYTES_MAX: u64 = 24 * MIB;

/// A body of a batch: what arrives at 1 MiB/s within the 30 s that a body may take.
pub const BATCH_BODY_BYTES_MAX: u64 = 24 * MIB;
/// Items of a batch: one step of the store takes them all, in 0.3 s (measured), and others wait for it meanwhile.
pub const BATCH_ITEMS_MAX: usize = 10_000;
/// An idempotency key: room for a few UUIDs, or a path and a date.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// Bodies on their way, together; more are answered 503. A third of a small machine's memory.
pub const BODIES_BYTES_MAX: u64 = 512 * MIB;
/// A body up to this size needs no room among [`BODIES_BYTES_MAX`]: so many slow large bodies cannot keep small ones out,
/// and [`CONNECTIONS_MAX`] bounds them.
pub const SMALL_BODY_BYTES: u64 = 64 * KIB;

/// CPU budget of a run in fuel units: about 1 s of tight loops (0.9 to 1.2 ns a unit, measured on a 2-core machine).
pub const FUEL_DEFAULT: u64 = 1_000_000_000;
/// The most an operator's default ceiling lets a function ask for: about 5 minutes of loops.
pub const FUEL_MAX: u64 = 300_000_000_000;
/// Wall time of a run; the Python platform's task time-out was 5 s as well.
pub const WALL_MS_DEFAULT: u32 = 5_000;
/// Ceiling of wall time. Longer work belongs into several tasks: a lease renewed for hours hides a stuck guest.
pub const WALL_MS_MAX: u32 = 300_000;
/// Linear memory of a run.
pub const MEMORY_BYTES_DEFAULT: u64 = 64 * MIB;
/// Ceiling of linear memory. The host needs slots × this; one bulk operation over it takes up to about 0.3 s, which no
/// tick can interrupt.
pub const MEMORY_BYTES_MAX: u64 = 256 * MIB;
/// Elements of a run's table: 8 bytes each in the host. Large Rust programs have a few thousand.
pub const TABLE_ELEMENTS_MAX: u32 = 20_000;
/// Output of a run; larger results belong into an object store.
pub const OUTPUT_BYTES_DEFAULT: u64 = MIB;
/// Ceiling of output: as large as the largest input, so that functions can be chained.
pub const OUTPUT_BYTES_MAX: u64 = 6 * MIB;
/// Log kept of a run; the rest is dropped and flagged.
pub const LOG_BYTES_DEFAULT: u64 = 64 * KIB;
/// Ceiling of the log kept of a run.
pub const LOG_BYTES_MAX: u64 = MIB;
/// A guest that logs this many times its log limit is ended: dropping a flood still costs the host time.
pub const LOG_FLOOD_FACTOR: u64 = 16;
/// Wasm stack of a run; deeper recursion is a stack-overflow trap.
pub const WASM_STACK_BYTES: usize = 512 << 10;
/// Stack of a slot's thread: the wasm stack and 1 MiB or more for host calls. Less than the wasm stack would abort the
/// process on guest recursion (measured).
pub const SLOT_STACK_BYTES: usize = 4 << 20;

/// Attempts of a task that infrastructure failed; guest faults are not retried, since they would fail again.
pub const ATTEMPTS_MAX: u32 = 3;
/// Attempts given back by an orderly release (drain) before a release counts as an attempt.
pub const RELEASES_MAX: u32 = 5;
/// A lease not renewed for this long is over.
pub const LEASE_MS: u64 = 10_000;
/// Workers beat this often.
pub const HEARTBEAT_MS: u64 = 1_000;
/// A worker silent for this long is dead: five beats, as on the Python platform.
pub const WORKER_SILENCE_MS_MAX: u64 = 5_000;
/// A worker says within this time that an attempt has arrived; where it does not, its link swallows messages and is
/// closed. Two round trips of a bad line, and far below the silence that loses the worker.
pub const RECEIPT_MS_MAX: u64 = 2_000;
/// A pull worker's request is answered within this time, with nothing if need be: below the idle time-outs of routers.
pub const ASK_MS: u32 = 20_000;
/// Workers of one dispatcher: each has a link, a task and some credit.
pub const WORKERS_MAX: usize = 4_096;
/// Attempts that one worker may hold: bounds what it can ask for.
pub const WORKER_CAPACITY_MAX: u32 = 16_384;
/// Bytes of a module in one message, so that heartbeats and results are not held up behind it.
pub const MODULE_PIECE_BYTES: u64 = 256 * KIB;
/// First upper bound of the retry delay; doubles with each attempt, drawn between 0 and the bound (full jitter).
pub const RETRY_MS_BASE: u64 = 500;
/// The retry delay's last upper bound.
pub const RETRY_MS_MAX: u64 = 60_000;
/// A store that did not answer is asked again after this long.
pub const STORE_RETRY_MS: u64 = 500;
/// In a drain, running attempts may end within this time; then they are stopped and given back.
pub const DRAIN_MS_MAX: u64 = 30_000;
/// A task that did not start for this long fails as expired.
pub const TASK_AGE_MS_MAX: u64 = 6 * 60 * 60 * 1_000;
/// Longest delay of a task: what is due later belongs into a calendar.
pub const DELAY_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How long an ended task and its result are kept.
pub const ENDED_TASK_TTL_MS: u64 = 24 * 60 * 60 * 1_000;
/// Waiting tasks of one tenant; more are refused with 429, so that a flood meets an answer instead of a full disk.
pub const QUEUED_TASKS_PER_TENANT_MAX: u64 = 1_000_000;
/// A tenant's bound that has no other ceiling: above it numbers of Redis, and of JSON in browsers, lose their units.
pub const QUOTA_MAX: u64 = 1 << 52;
/// Function versions of one tenant.
pub const FUNCTION_VERSIONS_PER_TENANT_MAX: u64 = 100_000;
/// Tenants, deleted ones included: a host lists and reads them all at once, in a few milliseconds.
pub const TENANTS_MAX: usize = 10_000;
/// Keys of one tenant that are kept, ended ones included: one a day for years, and listed with one answer.
pub const KEYS_PER_TENANT_MAX: usize = 1_000;
/// A key's name: a sentence that says what it is for.
pub const KEY_NAME_CHARS_MAX: usize = 128;
/// A key that was looked up is believed for so long: what is revoked is refused by every node within this time, and at
/// once by those that hear of it.
pub const KEY_BELIEVED_MS: u64 = 1_000;
/// Keys that a node remembers; the others are looked up for each request.
pub const KEYS_REMEMBERED_MAX: usize = 10_000;
/// Function versions of a tenant, where nothing is set for it: far above what people write by hand.
pub const FUNCTIONS_PER_TENANT: u64 = 1_000;
/// Wasm bytes of a tenant's versions, where nothing is set: 64 of the largest, or every one of its versions at 1 MiB.
pub const MODULE_BYTES_PER_TENANT: u64 = 1_024 * MIB;
/// Waiting tasks of a tenant, where nothing is set: ten batches of the largest, about 200 MB of small ones in Redis.
pub const QUEUED_TASKS_PER_TENANT: u64 = 100_000;
/// Leased attempts of a tenant at one dispatcher, and sync invokes at one REST node, where nothing is set: enough to keep a
/// hundred slots busy whose workers ask ahead, and no more than one worker may hold.
pub const RUNNING_TASKS_PER_TENANT: u64 = 1_024;
/// Fuel a minute of a tenant, where nothing is set: about ten cores that do nothing else. With the default limit of a run,
/// which is reserved whole, 600 runs may be under way.
pub const FUEL_PER_MINUTE: u64 = 600 * FUEL_DEFAULT;
/// Requests a second of a tenant to one REST node, where nothing is set: a twentieth of what a node of two cores answers.
pub const REQUESTS_PER_SECOND: u64 = 500;
/// A tenant's fuel is drawn from the store in parts of this: what a dispatcher or a REST node may hold unused, beyond what
/// its runs have reserved.
pub const FUEL_DRAUGHTS_PER_MINUTE: u64 = 16;
/// A tank that gave too little is not asked again before this.
pub const FUEL_ASK_MS_MIN: u64 = 100;
/// Tenants whose requests a REST node counts at a time; beyond it those are forgotten that have not asked for a second.
pub const COUNTED_TENANTS_MAX: usize = 10_000;
/// Tasks leased in one step: bounds the time one step holds the store, some milliseconds.
pub const LEASE_BATCH_MAX: u32 = 512;
/// Sync invokes that may wait for a slot; more are answered 503 with `Retry-After`.
pub const INVOKE_WAITERS_MAX: usize = 1_024;
/// Of these, one tenant's, and no more than places are free; more are answered 429 with `Retry-After`. With three such
/// tenants there is as much room left again, and whoever comes next finds some.
pub const INVOKE_WAITERS_PER_TENANT_MAX: usize = INVOKE_WAITERS_MAX / 4;
/// Functions of a module. 100,000 empty ones took 13.9 s and 618 MiB to compile (measured); the `image` crate has 1,500.
pub const MODULE_FUNCTIONS_MAX: u32 = 40_000;
/// Bytes of one function's body. Compilers split long before this; the register allocator is not linear in it.
pub const FUNCTION_BODY_BYTES_MAX: u64 = MIB;
/// Blocks of one function: 10,000 in a row took 2.2 s, 20,000 took 7.7 s to compile (measured).
pub const FUNCTION_BLOCKS_MAX: u32 = 10_000;
/// Depth of nested blocks: 50,000 took 11.1 s to compile (measured).
pub const FUNCTION_NESTING_MAX: u32 = 1_000;
/// Locals of one function; each costs the register allocator.
pub const FUNCTION_LOCALS_MAX: u32 = 5_000;
/// Targets of one `br_table`.
pub const BR_TABLE_TARGETS_MAX: u32 = 10_000;
/// Data segments: 25,000 of one byte each took 65 s to lay out (measured).
pub const DATA_SEGMENTS_MAX: u32 = 4_096;
/// Element segments, types, globals, imports and exports, each: far above real programs, far below what costs.
pub const MODULE_ITEMS_MAX: u32 = 5_000;
/// Operators of all constant expressions of a module: each instantiation computes them, without fuel. Of a million it
/// takes milliseconds; globals, elements and segments of real programs have one or two each.
pub const CONSTANT_OPERATORS_MAX: u64 = 100_000;
/// Elements of all segments of a module: five times what the largest table holds.
pub const ELEMENTS_MAX: u64 = 100_000;
/// Parameters and results of all types of a module: the engine keeps them in memory beside the code, 16 bytes each.
pub const TYPE_VALUES_MAX: u64 = 100_000;
/// CPU time of a compile child in seconds, of all its threads.
pub const COMPILE_CPU_S_MAX: u64 = 10;
/// Wall time of a compile child in milliseconds: with the check before it, an upload is answered within 15 s.
pub const COMPILE_WALL_MS_MAX: u64 = 12_000;
/// Address space of a compile child: a module that needs more is a bomb.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 2_048 * MIB;
/// A compiled artifact: native code is about 3 to 5 times the wasm's size.
pub const ARTIFACT_BYTES_MAX: u64 = 256 * MIB;
/// Artifacts on disk, together; beyond it the oldest go, and are compiled again where they are needed. A hundred of the
/// largest, or 50,000 of small functions.
pub const ARTIFACTS_BYTES_MAX: u64 = 16 * 1_024 * MIB;
/// Compiled modules kept in memory, by the size of their artifacts; the others are read from disk again.
pub const LOADED_BYTES_MAX: u64 = 512 * MIB;
/// Random bytes of one host call.
pub const RANDOM_BYTES_MAX: u32 = 64 << 10;
/// Modules that are compiled at a time: the other cores of a small machine are for those who run. One of a tenant.
pub const COMPILES_MAX: usize = 2;
/// Modules that are compiled or wait for it: with the compile child's limits, the last is answered within a minute.
pub const COMPILE_WAITERS_MAX: usize = 8;
/// Of these, one tenant's: one at a time, they take as long, and leave room for other tenants.
pub const COMPILE_WAITERS_PER_TENANT_MAX: usize = 4;
/// Open REST connections: each may hold a body, so their number bounds memory; a quarter is one tenant's.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Longest `Prefer: wait` in seconds: below the idle time-outs of common proxies (60 s).
pub const WAIT_SECONDS_MAX: u64 = 50;
/// Rows of one page of a listing.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Tasks that one request waits for: their ids fit into a [`SMALL_BODY_BYTES`], their records into an answer of 1 MiB.
pub const WAIT_TASKS_MAX: usize = 1_000;
/// Results in the answer to one wait for many tasks, together: as much as one task's may be. The others' are asked for
/// one by one.
pub const WAIT_RESULTS_BYTES_MAX: u64 = OUTPUT_BYTES_MAX;
/// Tasks of which any is waited for, in all requests together: each takes about 500 bytes of memory.
pub const AWAITED_TASKS_MAX: usize = 100_000;
/// Requests that wait for tasks: as many as [`CONNECTIONS_MAX`], each with a hint of the store.
pub const WAITS_MAX: u64 = 4_096;
/// Batches that are read and accepted at a time: each may have [`BATCH_ITEMS_MAX`] items in memory.
pub const BATCHES_MAX: u64 = 64;
/// Dead letters that one request replays: a page of them.
pub const REPLAY_TASKS_MAX: usize = 1_000;
/// Open event streams: a quarter of [`CONNECTIONS_MAX`], so that they cannot keep other requests out.
pub const EVENT_STREAMS_MAX: usize = 1_024;

/// A key of a function's key-value namespace: room for a path or a few ids.
pub const KV_KEY_BYTES_MAX: usize = 512;
/// A value of a namespace. What is larger belongs into an object store; it crosses a worker's link in one message, which
/// must not hold up heartbeats.
pub const KV_VALUE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a namespace's keys and values: a hundredth of a small machine's memory, since Redis keeps them there.
pub const KV_NAMESPACE_BYTES_MAX: u64 = 16 * MIB;
/// Entries of a namespace: each costs about 100 bytes beside its key and value, and what expired is found among them.
pub const KV_NAMESPACE_ENTRIES_MAX: u64 = 10_000;
/// The longest time to live, a year: what should stay for longer has none.
pub const KV_TTL_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1_000;
/// A name of a configuration value or a secret: as long as an environment variable's needs to be.
pub const SETTING_NAME_CHARS_MAX: usize = 128;
/// A configuration value or a secret: room for a certificate chain.
pub const SETTING_VALUE_BYTES_MAX: usize = 16 << 10;
/// Configuration values of a function, and as many secrets: all names are listed in one answer.
pub const SETTINGS_MAX: usize = 64;
/// A request that a guest sends, head and body: a task's output may be as large.
pub const HTTP_REQUEST_BYTES_MAX: usize = 1 << 20;
/// An answer that a guest receives, head and body: it is kept until the next call, in each slot.
pub const HTTP_ANSWER_BYTES_MAX: usize = 4 << 20;
/// A call of a guest is answered by a store within this time, or not at all: within the default wall time of a run, twice
/// what a store that fails over needs.
pub const CALL_MS_MAX: u64 = 4_000;
/// Hosts that one function is granted: all are looked at for each request.
pub const HTTP_HOSTS_MAX: usize = 32;
/// Headers of a guest's request, and of an answer to it: what web servers take.
pub const HTTP_HEADERS_MAX: usize = 100;
/// The head of either, URL and headers: as much as large web servers take.
pub const HTTP_HEADERS_BYTES_MAX: usize = 32 << 10;
/// Addresses of one host that are tried, one after the other.
pub const HTTP_ADDRESSES_MAX: usize = 4;
/// Connecting to one address, and as long again for TLS: whoever answers later than this is not there.
pub const HTTP_CONNECT_MS_MAX: u64 = 5_000;
/// A guest's request, all told, where its run has more time: below the idle time-outs of common proxies.
pub const HTTP_MS_MAX: u64 = 50_000;
/// Requests of guests that a process has on their way; each may hold [`HTTP_REQUEST_BYTES_MAX`] and
/// [`HTTP_ANSWER_BYTES_MAX`] of memory.
pub const HTTP_REQUESTS_MAX: usize = 256;
/// The same of one tenant: an eighth, so that no tenant keeps the others waiting.
pub const HTTP_REQUESTS_PER_TENANT_MAX: usize = 32;
