//! Every bound of the system, with the reason for its value. These are the defaults; the host's settings change those
//! that an operator may change.

/// Bytes in a kibibyte.
pub const KIB: u64 = 1 << 10;
/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;

/// Length of a tenant's name. Short, since the name is part of every key in the store.
pub const TENANT_NAME_BYTES_MAX: usize = 64;
/// Length of a function's name: enough for a qualified name, short enough for a URL and a log line.
pub const FUNCTION_NAME_CHARS_MAX: usize = 128;

/// Default size of an uploaded module. Half of a build of CPython (26 MB) and nine tenths of one of yosys (49 MB) are
/// debugging information, which costs only the transfer; code, which costs compilation, has its own limit.
pub const MODULE_BYTES_MAX: u64 = 64 * MIB;
/// Ceiling of the operator's setting for it, and bound of a module that one process passes to another.
pub const MODULE_BYTES_CEILING: u64 = 256 * MIB;
/// Size of a task's input, which is kept in memory while it is accepted, sent and run.
pub const INPUT_BYTES_MAX: u64 = 6 * MIB;
/// Size of a request body on the Python platform's routes: base64 enlarges a module of 16 MiB by 4/3, line breaks and JSON
/// add a little. Larger modules are registered at `/v1/functions`.
pub const SEED_BODY_BYTES_MAX: u64 = 24 * MIB;

/// Size of a batch's body: the amount that arrives at 1 MiB/s within the 30 s allowed for a body.
pub const BATCH_BODY_BYTES_MAX: u64 = 24 * MIB;
/// Number of items in a batch. One step of the store accepts all of them in 0.3 s (measured), during which other steps
/// wait.
pub const BATCH_ITEMS_MAX: usize = 10_000;
/// Length of an idempotency key: enough for a few UUIDs, or a path and a date.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// Total size of request bodies in transit; beyond it requests are answered 503. A third of a small machine's memory.
pub const BODIES_BYTES_MAX: u64 = 512 * MIB;
/// Size up to which a module that arrives is kept in memory; a larger one goes into a file without a name.
pub const UPLOAD_IN_MEMORY_BYTES_MAX: u64 = MIB;
/// Total size of modules in such files; beyond it requests are answered 503. A tenant's quarter holds the largest module
/// twice: as it arrives, and decompressed.
pub const UPLOADS_BYTES_MAX: u64 = 2_048 * MIB;
/// Largest body that does not count towards [`BODIES_BYTES_MAX`], so that slow large bodies cannot block small ones.
/// [`CONNECTIONS_MAX`] bounds the number of small bodies.
pub const SMALL_BODY_BYTES: u64 = 64 * KIB;

/// Fuel that lasts for a millisecond of CPU time in the tightest loops: 0.05 ns a unit. Multiply-adds take 0.057 ns a
/// unit, an interpreter 0.13 ns, loops of dependent steps up to 1 ns (measured on a 2-core machine; `cargo bench
/// --bench sandbox` prints these). So fuel alone ends nothing before its time, and [`CPU_MS_DEFAULT`] ends what is slow.
pub const FUEL_PER_CPU_MS: u64 = 20_000_000;
/// Default fuel of a run: 1 s of the tightest loops.
pub const FUEL_DEFAULT: u64 = FUEL_PER_CPU_MS * CPU_MS_DEFAULT as u64;
/// Default ceiling of a run's fuel: 5 minutes of the tightest loops.
pub const FUEL_MAX: u64 = FUEL_PER_CPU_MS * CPU_MS_MAX as u64;
/// Default CPU time of a run.
pub const CPU_MS_DEFAULT: u32 = 1_000;
/// Ceiling of CPU time: that of wall time, which a run on one thread cannot exceed.
pub const CPU_MS_MAX: u32 = WALL_MS_MAX;
/// Default wall time of a run. The Python platform's task time-out was also 5 s.
pub const WALL_MS_DEFAULT: u32 = 5_000;
/// Ceiling of wall time. Longer work should be split into several tasks: a lease renewed for hours hides a stuck guest.
pub const WALL_MS_MAX: u32 = 300_000;
/// Default linear memory of a run.
pub const MEMORY_BYTES_DEFAULT: u64 = 64 * MIB;
/// Ceiling of linear memory. The host needs this much for each slot, and a single bulk operation over it takes up to
/// about 0.3 s, which no epoch tick can interrupt.
pub const MEMORY_BYTES_MAX: u64 = 256 * MIB;
/// Number of elements in a run's tables, 8 bytes each in the host. Large Rust programs have a few thousand.
pub const TABLE_ELEMENTS_MAX: u32 = 20_000;
/// Tables of a run. A Rust program has one of functions and at most one of references; a component of JavaScript has 3.
pub const TABLES_MAX: u32 = 8;
/// Memories of a run: one of a module, up to 3 of a component. Each reserves more than 4 GiB of address space.
pub const MEMORIES_MAX: u32 = 4;
/// Core instances of a run: 1 of a module; CPython as a component has 14 (measured).
pub const CORE_INSTANCES_MAX: u32 = 64;
/// Default output size of a run; larger results belong in an object store.
pub const OUTPUT_BYTES_DEFAULT: u64 = MIB;
/// Size of an output that is kept whole: equal to the largest input, so that functions can be chained.
pub const OUTPUT_BYTES_MAX: u64 = 6 * MIB;
/// Size of a request's body that its function reads as it arrives, and ceiling of the output size, which only a response
/// that is passed on as it is written can reach. Neither is kept in memory; 3.5 MiB/s for the longest run.
pub const STREAMED_BYTES_MAX: u64 = 1_024 * MIB;
/// Size of a piece of a response. A smaller response is kept whole unless it takes longer than a tick, so that it can
/// still become an error, and carry the receipt; each slot holds a few pieces.
pub const RESPONSE_PIECE_BYTES: usize = 16 << 10;
/// Default size of the retained log of a run; excess is dropped and flagged.
pub const LOG_BYTES_DEFAULT: u64 = 64 * KIB;
/// Ceiling of the retained log of a run.
pub const LOG_BYTES_MAX: u64 = MIB;
/// Multiple of its log limit at which a guest is stopped: even discarded log lines cost host time.
pub const LOG_FLOOD_FACTOR: u64 = 16;
/// Frames of a failed run that are kept, innermost first: below a panic's own, some of the author's remain.
pub const BACKTRACE_FRAMES_MAX: usize = 16;
/// Last bytes of a run's stderr that explain its failure: the text of a panic, with some lines before it.
pub const STDERR_TAIL_BYTES: usize = 2 << 10;
/// Last lines of a run's stderr that explain its failure: a terminal's page, which holds most tracebacks.
pub const STDERR_TAIL_LINES: usize = 24;
/// Size of the wasm stack of a run; deeper recursion ends in a stack-overflow trap.
pub const WASM_STACK_BYTES: usize = 512 << 10;
/// Stack size of a slot's thread: the wasm stack plus at least 1 MiB for host calls. A stack smaller than the wasm
/// stack would let guest recursion abort the process (measured).
pub const SLOT_STACK_BYTES: usize = 4 << 20;

/// Attempts of a task that fails for infrastructure reasons. Guest faults are not retried, since they would recur.
pub const ATTEMPTS_MAX: u32 = 3;
/// Orderly releases (drains) that restore an attempt; each further release consumes one.
pub const RELEASES_MAX: u32 = 5;
/// Duration of a lease without renewal.
pub const LEASE_MS: u64 = 10_000;
/// Interval of worker heartbeats.
pub const HEARTBEAT_MS: u64 = 1_000;
/// Silence after which a worker is considered dead: five heartbeats, as on the Python platform.
pub const WORKER_SILENCE_MS_MAX: u64 = 5_000;
/// Time within which a worker must acknowledge the receipt of an attempt; otherwise its link is considered lossy and
/// closed. Two round trips of a poor connection, and far below the silence after which a worker is dead.
pub const RECEIPT_MS_MAX: u64 = 2_000;
/// Time within which a pull worker's request is answered, if necessary with nothing: below the idle time-outs of
/// routers.
pub const ASK_MS: u32 = 20_000;
/// Workers connected to one dispatcher: each has a link, an async task and some credit.
pub const WORKERS_MAX: usize = 4_096;
/// Attempts that one worker may hold; bounds the credit that it can request.
pub const WORKER_CAPACITY_MAX: u32 = 16_384;
/// Size of a piece of a module in one message, small enough not to delay heartbeats and results.
pub const MODULE_PIECE_BYTES: u64 = 256 * KIB;
/// First upper bound of the retry delay. The bound doubles with each attempt; the delay is drawn between 0 and the
/// bound (full jitter).
pub const RETRY_MS_BASE: u64 = 500;
/// Largest upper bound of the retry delay.
pub const RETRY_MS_MAX: u64 = 60_000;
/// Delay before retrying a store that did not respond.
pub const STORE_RETRY_MS: u64 = 500;
/// Time that running attempts have to end during a drain, after which they are stopped and released.
pub const DRAIN_MS_MAX: u64 = 30_000;
/// Age at which a task that has not started fails as expired.
pub const TASK_AGE_MS_MAX: u64 = 6 * 60 * 60 * 1_000;
/// Longest delay of a task; work due later belongs in a scheduler.
pub const DELAY_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Default retention of a completed or cancelled task, in seconds: clients read a result soon after it is there.
pub const KEEP_RESULTS_S: u64 = 24 * 60 * 60;
/// Default retention of a dead letter, in seconds: long enough to notice a failure after days off, and to replay it.
pub const KEEP_FAILED_S: u64 = 7 * 24 * 60 * 60;
/// Floor of both retentions, in seconds: a client that looks for a result every few seconds must find it.
pub const KEEP_S_MIN: u64 = 60;
/// Ceiling of both retentions, in seconds: 90 days. A store is no archive.
pub const KEEP_S_MAX: u64 = 90 * 24 * 60 * 60;
/// Ceiling of a tenant's queued tasks. Beyond it requests are answered 429, which protects the disk from floods.
pub const QUEUED_TASKS_PER_TENANT_MAX: u64 = 1_000_000;
/// Ceiling of quotas without a more specific one. Above it, numbers in Redis and in JSON in browsers lose precision.
pub const QUOTA_MAX: u64 = 1 << 52;
/// Ceiling of a tenant's function versions.
pub const FUNCTION_VERSIONS_PER_TENANT_MAX: u64 = 100_000;
/// Tenants of a host, including those that are being deleted. All are listed and read at once, in a few milliseconds.
pub const TENANTS_MAX: usize = 10_000;
/// Keys of a tenant, including ended ones: one a day for years, all listed in one response.
pub const KEYS_PER_TENANT_MAX: usize = 1_000;
/// Length of a key's name: a sentence that describes its purpose.
pub const KEY_NAME_CHARS_MAX: usize = 128;
/// Time for which a looked-up key is trusted. Every node rejects a revoked key within this time, and immediately on
/// receiving the store's notification.
pub const KEY_BELIEVED_MS: u64 = 1_000;
/// Keys cached by a node; others are looked up for each request.
pub const KEYS_REMEMBERED_MAX: usize = 10_000;
/// Default quota of function versions: far above the number that people write by hand.
pub const FUNCTIONS_PER_TENANT: u64 = 1_000;
/// Bytes counted for each task and each function version beside what it stores: about the size of a record with its
/// index entries, so that empty tasks are not free either.
pub const RECORD_BYTES: u64 = 512;

/// Tags of a task, each with an index entry in the store: enough for what systems put on what they start.
pub const TAGS_MAX: usize = 16;
/// Length of a tag's key: enough for a name with a prefix such as `example.com/team`.
pub const TAG_KEY_BYTES_MAX: usize = 64;
/// Length of a tag's value: enough for a few UUIDs, a digest or a path.
pub const TAG_VALUE_BYTES_MAX: usize = 256;
/// Bytes counted for each tag beside its text: about the size of its index entry.
pub const TAG_BYTES: u64 = 128;
/// Bytes counted for each value and each setting beside its name and content: about the size of their entry.
pub const VALUE_BYTES: u64 = 128;
/// Default quota of stored bytes, as the part of the store's room that a tenant may use: ten tenants fit.
pub const STORED_BYTES_PART: u64 = 10;
/// Ceiling of that quota, as a part of the store's room: one tenant never fills a store.
pub const STORED_BYTES_PART_MAX: u64 = 2;
/// Default quota of queued tasks: ten of the largest batches, about 200 MB of small tasks in Redis.
pub const QUEUED_TASKS_PER_TENANT: u64 = 100_000;
/// Default quota of leased attempts at one dispatcher, and of sync invokes at one REST node: enough to keep a hundred
/// slots of prefetching workers busy, and less than one worker may hold.
pub const RUNNING_TASKS_PER_TENANT: u64 = 1_024;
/// Default quota of fuel per minute: ten cores at full load in the tightest loops. With the default run limit, which is
/// reserved in full, 600 runs can be under way.
pub const FUEL_PER_MINUTE: u64 = 600 * FUEL_DEFAULT;
/// Default quota of requests per second to one REST node: a twentieth of the throughput of a node with two cores.
pub const REQUESTS_PER_SECOND: u64 = 500;
/// Number of draws that make up a tenant's fuel per minute. One draw is the most that a dispatcher or a REST node holds
/// unused, beyond the fuel reserved by its runs.
pub const FUEL_DRAUGHTS_PER_MINUTE: u64 = 16;
/// Shortest pause before asking a fuel tank again after it returned too little.
pub const FUEL_ASK_MS_MIN: u64 = 100;
/// Tenants whose requests a REST node counts. Beyond it, those without a request for a second are evicted.
pub const COUNTED_TENANTS_MAX: usize = 10_000;
/// Tasks leased in one step, which bounds the time for which a step occupies the store to some milliseconds.
pub const LEASE_BATCH_MAX: u32 = 512;
/// Sync invokes that may wait for a slot; beyond it requests are answered 503 with `Retry-After`.
pub const INVOKE_WAITERS_MAX: usize = 1_024;
/// Share of [`INVOKE_WAITERS_MAX`] available to one tenant, bounded also by the free places; beyond it requests are
/// answered 429 with `Retry-After`. Three such tenants still leave room for others.
pub const INVOKE_WAITERS_PER_TENANT_MAX: usize = INVOKE_WAITERS_MAX / 4;
/// Arguments of a version, and separately of a request: far above the command lines that people write.
pub const ARGS_MAX: usize = 256;
/// Total size of either's arguments, each with a zero byte at its end: enough for a small script. They are kept in the
/// task's record, and cross a worker's link with each attempt; larger ones belong in the input or in files.
pub const ARGS_BYTES_MAX: usize = 32 << 10;
/// Environment variables of a version: far above what programs read.
pub const ENV_MAX: usize = 128;
/// Total size of a version's environment, two bytes for each variable included. It crosses a worker's link with each
/// attempt.
pub const ENV_BYTES_MAX: usize = 32 << 10;
/// Size of the content type of a version's answers: a type with a few parameters.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// Size of the name of an exported function: names of Rust functions with their paths are shorter.
pub const EXPORT_NAME_BYTES_MAX: usize = 256;
/// Size of a script; what is larger is data, which belongs in files.
pub const SCRIPT_BYTES_MAX: u64 = MIB;
/// Files, directories and links of a version: CPython's library has 2,400, and each is a record in memory.
pub const FILES_MAX: usize = 16_384;
/// Size of a pickled function of a Python client: 1,000 times that of usual ones. Data belongs in arguments.
pub const PICKLE_BYTES_MAX: usize = 4 << 20;
/// Values that the walk of a pickled function holds at once, in each of its four tables of at most 16 bytes each.
pub const PICKLE_PARTS_MAX: usize = 1 << 18;
/// Modules that a pickled function may name: usual ones name less than 20.
pub const PICKLE_MODULES_MAX: usize = 256;
/// Size of a version's archive of files, 512 bytes for each entry included: CPython's library has 40 MiB.
pub const FILES_BYTES_MAX: u64 = 64 * MIB;
/// Total size of archives of files kept in memory, at least the last one; others are read from disk again.
pub const LOADED_FILES_BYTES_MAX: u64 = 256 * MIB;
/// Default size of a module's code, in all functions. Each MiB takes about 2 s of CPU time to compile (measured);
/// CPython has 6 MiB, a browser's JavaScript engine 9. Data costs nothing.
pub const CODE_BYTES_MAX: u64 = 12 * MIB;
/// Ceiling of the operator's setting for it. Pandoc has 26 MiB.
pub const CODE_BYTES_CEILING: u64 = 64 * MIB;
/// Functions in a module, with the default size of code; a larger setting allows for more. 100,000 empty ones took 13.9 s
/// and 618 MiB to compile (measured), so that the 620,000 of pandoc would take 3.7 GiB; the `image` crate has 1,500.
pub const MODULE_FUNCTIONS_MAX: u64 = 40_000;
/// Size of one function's body. Compilers split functions long before; the register allocator's cost is not linear in
/// it.
pub const FUNCTION_BODY_BYTES_MAX: u64 = MIB;
/// Sum, over all functions of a module, of the square of the number of its branches, to which the register allocator's
/// cost is proportional: 5 s (measured), with the default size of code; a larger setting allows for more. Branches are
/// blocks, and edges from calls to handlers of exceptions: 10,000 blocks in sequence took 2.2 s to compile, 20,000 took
/// 7.7 s; 27,500 edges of 2,500 calls took 1.4 s, 77,500 of as many calls 11 s. Nested blocks cost less, so depth has no
/// limit of its own. CPython has a tenth of the sum; of real modules in C++ with exceptions, yosys 0.70 has a function of
/// 354,588 edges, and more than 600 times the sum.
pub const BRANCHES_COST_MAX: u64 = 230_000_000;
/// Handlers of one `try_table`. A throw that passes it looks at each of them; C++ has up to 2.
pub const TRY_CATCHES_MAX: u64 = 8;
/// Locals of one function; each adds to the register allocator's cost.
pub const FUNCTION_LOCALS_MAX: u32 = 5_000;
/// Targets of one `br_table`.
pub const BR_TABLE_TARGETS_MAX: u32 = 10_000;
/// Data segments, after neighbours are merged: 25,000 of one byte each took 65 s to lay out (measured). CPython has
/// 24,171, of which 623 remain.
pub const DATA_SEGMENTS_MAX: u32 = 4_096;
/// Element segments, types, globals, imports and exports, each: far above real programs, far below a costly number.
pub const MODULE_ITEMS_MAX: u32 = 5_000;
/// Operators in all constant expressions of a module. Each instantiation evaluates them without fuel; a million take
/// milliseconds. Globals, elements and segments of real programs have one or two each.
pub const CONSTANT_OPERATORS_MAX: u64 = 100_000;
/// Elements in all segments of a module: five times the size of the largest table.
pub const ELEMENTS_MAX: u64 = 100_000;
/// Parameters and results of all types of a module. The engine keeps them in memory beside the code, 16 bytes each.
pub const TYPE_VALUES_MAX: u64 = 100_000;
/// CPU time of a compile child in seconds, over all its threads, without that for the module's code.
pub const COMPILE_CPU_S_MIN: u64 = 10;
/// CPU time of a compile child in seconds for each MiB of code. It takes about 2, and up to 4 on a machine with six times
/// as many busy threads as cores (measured; so did wasmtime 50 for the 40.5 MiB of yosys 0.70, with 162 s), so that 3
/// would refuse modules that are merely unlucky.
pub const COMPILE_CPU_S_PER_MIB: u64 = 6;
/// Threads of a compile child, at most one for each core: each keeps a function's intermediate code in memory.
pub const COMPILE_THREADS_MAX: usize = 4;
/// Address space of a compile child: a module that needs more is a compiler bomb.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 2_048 * MIB;
/// Size of a compiled artifact: native code is about 3 to 5 times the size of the wasm.
pub const ARTIFACT_BYTES_MAX: u64 = 256 * MIB;
/// Total size of artifacts on disk. Beyond it the oldest are removed and recompiled when needed. Room for 64 of the
/// largest, or 50,000 of small functions.
pub const ARTIFACTS_BYTES_MAX: u64 = 16 * 1_024 * MIB;
/// Total size of the artifacts of modules kept loaded; others are read from disk again.
pub const LOADED_BYTES_MAX: u64 = 512 * MIB;
/// Random bytes returned by one host call.
pub const RANDOM_BYTES_MAX: u32 = 64 << 10;
/// Code above which a registration does not wait for its compilation: 3 MiB take about 5 s of CPU time (1.6 to 2.1 s
/// per MiB, measured), as long as people wait for an answer without a sign of life.
pub const COMPILED_AT_ONCE_BYTES_MAX: u64 = 3 * MIB;
/// Time for which a node holds a compilation without a sign of life; after it another node takes it over.
pub const COMPILE_HOLD_MS: u64 = 15_000;
/// Nodes that may be lost while they compile a version; after it the version has failed.
pub const COMPILE_STARTS_MAX: u32 = 3;
/// Default quota of compile time per hour, in seconds: a sixth of a core, or a dozen of the largest modules.
pub const COMPILE_S_PER_HOUR: u64 = 600;
/// Ceiling of that quota: a thousand cores.
pub const COMPILE_S_PER_HOUR_MAX: u64 = 3_600_000;
/// Concurrent compilations, at most one of each tenant. Leaves the other cores of a small machine to running functions.
pub const COMPILES_MAX: usize = 2;
/// Modules that are being compiled or wait for it. Within the compile child's limits the last is answered in a minute.
pub const COMPILE_WAITERS_MAX: usize = 8;
/// Share of [`COMPILE_WAITERS_MAX`] available to one tenant: compiled one at a time, they take as long as all 8 two at
/// a time, and leave room for other tenants.
pub const COMPILE_WAITERS_PER_TENANT_MAX: usize = 4;
/// Modules that are checked or wait for it; a quarter of them may be one tenant's. A check takes up to a second.
pub const INSPECT_WAITERS_MAX: usize = 32;
/// Open REST connections. Each may hold a body, so this bounds memory; one tenant may hold a quarter of them.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Longest `Prefer: wait` in seconds: below the idle time-outs of common proxies (60 s).
pub const WAIT_SECONDS_MAX: u64 = 50;
/// Rows on one page of a listing.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Tasks that one request may wait for: their ids fit into [`SMALL_BODY_BYTES`], their records into a response of 1
/// MiB.
pub const WAIT_TASKS_MAX: usize = 1_000;
/// Total size of results in the response to a wait for several tasks: the maximum of a single task's result. The
/// remaining results are requested one by one.
pub const WAIT_RESULTS_BYTES_MAX: u64 = OUTPUT_BYTES_MAX;
/// Tasks awaited by all wait-any requests together; each takes about 500 bytes of memory.
pub const AWAITED_TASKS_MAX: usize = 100_000;
/// Concurrent requests that wait for tasks: one for each of [`CONNECTIONS_MAX`], each with a subscription to the
/// store's hints.
pub const WAITS_MAX: u64 = 4_096;
/// Batches read and accepted concurrently; each may hold [`BATCH_ITEMS_MAX`] items in memory.
pub const BATCHES_MAX: u64 = 64;
/// Dead letters replayed by one request: one page.
pub const REPLAY_TASKS_MAX: usize = 1_000;
/// Open event streams: a quarter of [`CONNECTIONS_MAX`], so that they cannot block other requests.
pub const EVENT_STREAMS_MAX: usize = 1_024;

/// Size of a key in a function's key-value namespace: enough for a path or a few ids.
pub const KV_KEY_BYTES_MAX: usize = 512;
/// Size of a value in a namespace. Larger values belong in an object store: a value crosses a worker's link in one
/// message, which must not delay heartbeats.
pub const KV_VALUE_BYTES_MAX: usize = 64 << 10;
/// Total size of a namespace's keys and values: a hundredth of a small machine's memory, where Redis keeps them.
pub const KV_NAMESPACE_BYTES_MAX: u64 = 16 * MIB;
/// Entries in a namespace: each costs about 100 bytes in addition to key and value, and the search for expired entries
/// scans them.
pub const KV_NAMESPACE_ENTRIES_MAX: u64 = 10_000;
/// Entries of a namespace that one page of a listing looks at: with values of the largest size it reads 4 MiB, a few
/// milliseconds of Redis.
pub const KV_PAGE_ENTRIES: usize = 64;
/// Longest time to live of an entry: one year. Entries meant to stay longer have none.
pub const KV_TTL_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1_000;
/// Length of the name of a configuration value or secret: enough for the name of an environment variable.
pub const SETTING_NAME_CHARS_MAX: usize = 128;
/// Size of a configuration value or secret: enough for a certificate chain.
pub const SETTING_VALUE_BYTES_MAX: usize = 16 << 10;
/// Configuration values of a function, and separately its secrets: all names are listed in one response.
pub const SETTINGS_MAX: usize = 64;
/// Size of a guest's HTTP request, head and body.
pub const HTTP_REQUEST_BYTES_MAX: usize = 1 << 20;
/// Size of the response to a guest's HTTP request, head and body. Each slot keeps one until the run's next call.
pub const HTTP_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Time within which a store must answer a guest's call: within the default wall time of a run, and twice the duration
/// of a store's failover.
pub const CALL_MS_MAX: u64 = 4_000;
/// Host patterns granted to one function; each request is matched against all of them.
pub const HTTP_HOSTS_MAX: usize = 32;
/// Number of headers in a guest's HTTP request, and in the response: a common limit of web servers.
pub const HTTP_HEADERS_MAX: usize = 100;
/// Size of URL and headers of either: a common limit of large web servers.
pub const HTTP_HEADERS_BYTES_MAX: usize = 32 << 10;
/// Addresses of one host that are tried in turn.
pub const HTTP_ADDRESSES_MAX: usize = 4;
/// Time to connect to one address, and the same again for its TLS handshake; slower servers count as unreachable.
pub const HTTP_CONNECT_MS_MAX: u64 = 5_000;
/// Total time of a guest's HTTP request, if its run has more left: below the idle time-outs of common proxies.
pub const HTTP_MS_MAX: u64 = 50_000;
/// Concurrent HTTP requests of a process's guests; each may hold [`HTTP_REQUEST_BYTES_MAX`] and
/// [`HTTP_ANSWER_BYTES_MAX`] of memory.
pub const HTTP_REQUESTS_MAX: usize = 256;
/// Share of [`HTTP_REQUESTS_MAX`] available to one tenant: an eighth, so that no tenant blocks the others.
pub const HTTP_REQUESTS_PER_TENANT_MAX: usize = 32;

/// Instances of components within a component. Each may wait on a stack of its own.
pub const COMPONENT_INSTANCES_MAX: u32 = 32;
/// Stacks of a run: one for the call, and one for each instance.
pub const STACKS_MAX: u32 = COMPONENT_INSTANCES_MAX + 1;
/// Modules and components that a component contains. One from JavaScript has 36.
pub const COMPONENT_COUNT_MAX: u32 = 128;
/// Depth to which components contain components. Those from JavaScript have 4.
pub const COMPONENT_NESTING_MAX: u32 = 8;
/// Functions that a component lifts and lowers, each of which may need an adapter. One from Python has 203.
pub const COMPONENT_CANONICALS_MAX: u32 = 2_000;
/// Types in a component's type sections. One from JavaScript has 279.
pub const COMPONENT_TYPES_MAX: u32 = 2_000;
/// Imports, exports, aliases and instances of a component. One from Python has about 5,000.
pub const COMPONENT_ITEMS_MAX: u32 = 20_000;
/// Resources of the host that a run holds at once. Each may be the headers of a message, of up to
/// [`HTTP_HEADERS_BYTES_MAX`]: 64 MiB in all, as much as the default memory of a run.
pub const RESOURCES_MAX: usize = 2_048;
/// Handles that the instances of a run hold at once, to resources of the host and to their own; about 50 bytes each.
pub const COMPONENT_HANDLES_MAX: usize = 100_000;
