//! Small modules written as text, each with one behaviour, so that black-box tests need no guest toolchain.

/// Assembles a module from text.
///
/// # Panics
/// Panics if the text is not valid, which is an error in the test.
#[must_use]
#[expect(clippy::expect_used, reason = "a wrong text is a mistake in the test")]
pub fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's module is valid text")
}

/// Returns a stand-in for the runtime of a language; its text says what scripts can do.
#[must_use]
pub fn runtime() -> Vec<u8> {
    wasm(include_str!("runtime.wat"))
}

/// Returns a function that outputs its input. Its memory grows with the input.
#[must_use]
pub fn echo() -> Vec<u8> {
    core(
        "(i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (local.get 0))
          (i32.store (i32.const 8) (local.get 1))",
    )
}

/// Returns a function that fails with its input as the error.
#[must_use]
pub fn fail() -> Vec<u8> {
    core(
        "(i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (local.get 0))
          (i32.store (i32.const 8) (local.get 1))",
    )
}

/// Returns a function that never ends.
#[must_use]
pub fn spin() -> Vec<u8> {
    core("(loop (br 0))")
}

/// Returns a function whose start function never ends.
#[must_use]
pub fn spin_at_start() -> Vec<u8> {
    core_with("", "(func $start (loop (br 0))) (start $start)")
}

/// Returns a function that traps.
#[must_use]
pub fn trap() -> Vec<u8> {
    core("(unreachable)")
}

/// Returns a function that recurses without end.
#[must_use]
pub fn recurse() -> Vec<u8> {
    core_with("(call $deep)", "(func $deep (call $deep))")
}

/// Returns a function that claims an output of 4 GiB.
#[must_use]
pub fn claim_4_gib() -> Vec<u8> {
    core("(i32.store (i32.const 4) (i32.const 0)) (i32.store (i32.const 8) (i32.const -1))")
}

/// Returns a function that claims an output outside its memory.
#[must_use]
pub fn claim_outside() -> Vec<u8> {
    core("(i32.store (i32.const 4) (i32.const -16)) (i32.store (i32.const 8) (i32.const 64))")
}

/// Returns a function that logs without end.
#[must_use]
pub fn log_flood() -> Vec<u8> {
    wasm(
        r#"(module (import "fusebox" "log" (func $log (param i32 i32 i32)))
            (memory (export "memory") 2)
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "fusebox_handle") (param i32 i32) (result i32)
                (loop (call $log (i32.const 3) (i32.const 0) (i32.const 60000)) (br 0)) (i32.const 0)))"#,
    )
}

/// Returns a function that logs its input as a warning and then traps.
#[must_use]
pub fn log_and_trap() -> Vec<u8> {
    wasm(
        r#"(module (import "fusebox" "log" (func $log (param i32 i32 i32)))
            (memory (export "memory") 2)
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "fusebox_handle") (param i32 i32) (result i32)
                (call $log (i32.const 2) (local.get 0) (local.get 1)) (unreachable)))"#,
    )
}

/// Returns a function that grows its memory until that is refused and then traps.
#[must_use]
pub fn eat_memory() -> Vec<u8> {
    core("(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)")
}

/// Returns a function that sends its input as an HTTP request. It outputs the response, of at most 64 KiB, or fails
/// with the digit of the refusal's number. Requires the grant `http`.
#[must_use]
pub fn http() -> Vec<u8> {
    wasm(
        r#"(module
            (import "fusebox" "http" (func $http (param i32 i32) (result i64)))
            (import "fusebox" "answer" (func $answer (param i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "fusebox_handle") (param i32 i32) (result i32) (local $len i64)
                (local.set $len (call $http (local.get 0) (local.get 1)))
                (if (i64.lt_s (local.get $len) (i64.const 0))
                    (then
                        (i32.store8 (i32.const 16) (i32.sub (i32.const 48) (i32.wrap_i64 (local.get $len))))
                        (i64.store (i32.const 0) (i64.const 0x0000001000000001))
                        (i32.store (i32.const 8) (i32.const 1)))
                    (else
                        (i32.store (i32.const 4) (i32.const 65536))
                        (i32.store (i32.const 8) (call $answer (i32.const 65536) (i32.const 65536)))))
                (i32.const 0)))"#,
    )
}

/// Returns a command that outputs its input, of at most 4 KiB, after 300 ms: long enough for a fault to hit the run.
#[must_use]
pub fn slow_echo() -> Vec<u8> {
    wasm(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                ;; one vector of 4 KiB at 1024, whose second word becomes the number of bytes read
                (i64.store (i32.const 0) (i64.const 0x0000100000000400))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
                (i32.store (i32.const 144) (i32.const 1))
                (i64.store (i32.const 152) (i64.const 300000000))
                (drop (call $poll (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 256)))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
    )
}

/// Returns a command that outputs the file `words/greeting`, of at most 4 KiB, by way of a file in its scratch, which must
/// not be there before.
#[must_use]
pub fn scribe() -> Vec<u8> {
    wasm(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open" (func $path_open
                (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 32) "words/greeting") (data (i32.const 64) "tmp/copy")
            (func $check (param i32) (if (local.get 0) (then (unreachable))))
            (func $open (param $at i32) (param $len i32) (param $how i32) (param $rights i64) (result i32)
                (call $check (call $path_open (i32.const 3) (i32.const 1) (local.get $at) (local.get $len)
                    (local.get $how) (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 96)))
                (i32.load (i32.const 96)))
            ;; One vector at 0, whose bytes are at 4,096; the number of bytes comes to its length.
            (func $read (param $fd i32)
                (i64.store (i32.const 0) (i64.const 0x0000100000001000))
                (call $check (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 4))))
            (func $write (param $fd i32)
                (call $check (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func (export "_start") (local $copy i32)
                (call $read (call $open (i32.const 32) (i32.const 14) (i32.const 0) (i64.const 2)))
                ;; creates it, and fails if it is there
                (local.set $copy (call $open (i32.const 64) (i32.const 8) (i32.const 5) (i64.const 66)))
                (call $write (local.get $copy))
                (memory.fill (i32.const 4096) (i32.const 0) (i32.const 4096))
                (call $check (call $fd_seek (local.get $copy) (i64.const 0) (i32.const 0) (i32.const 16)))
                (call $read (local.get $copy))
                (call $write (i32.const 1))))"#,
    )
}

/// Returns a command that outputs its environment, of at most 60 KiB, each variable with a zero byte.
#[must_use]
pub fn environment() -> Vec<u8> {
    wasm(
        r#"(module
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 4096))
                (drop (call $sizes (i32.const 8) (i32.const 4)))
                (drop (call $get (i32.const 64) (i32.const 4096)))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#,
    )
}

/// Returns a command that sleeps for one hour.
#[must_use]
pub fn sleep_an_hour() -> Vec<u8> {
    wasm(
        r#"(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                ;; one relative subscription to the monotonic clock, 3,600 s in nanoseconds
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (i64.const 3600000000000))
                (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))))"#,
    )
}

fn core(handle: &str) -> Vec<u8> {
    core_with(handle, "")
}

/// Returns a core module whose `fusebox_handle` executes `handle` with the input's pointer (local 0) and length (local
/// 1), and then returns the result record at address 0.
fn core_with(handle: &str, more: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module (memory (export "memory") 2) {more}
            (func (export "fusebox_alloc") (param $len i32) (result i32)
                (if (i32.gt_u (local.get $len) (i32.const 65536))
                    (then (drop (memory.grow (i32.shr_u (local.get $len) (i32.const 16))))))
                (i32.const 1024))
            (func (export "fusebox_handle") (param i32 i32) (result i32) {handle} (i32.const 0)))"#
    ))
}

/// Returns a function that makes host calls, and outputs the result in 8 bytes, little-endian, followed by the answer.
/// The first byte of its input selects the call: `c` reads the configuration value whose name follows, `s` the secret,
/// `g` the entry of the key; `p` sets the entry of a one-byte key to the rest, `d` deletes the key, `i` increments the
/// number under `n` by compare-and-set, repeated on conflict.
#[must_use]
pub fn keeper() -> Vec<u8> {
    wasm(
        r#"(module
            (import "fusebox" "config" (func $config (param i32 i32) (result i64)))
            (import "fusebox" "secret" (func $secret (param i32 i32) (result i64)))
            (import "fusebox" "kv_get" (func $get (param i32 i32) (result i64)))
            (import "fusebox" "kv_set" (func $set (param i32 i32 i32 i32 i64 i64) (result i64)))
            (import "fusebox" "kv_delete" (func $delete (param i32 i32 i64) (result i64)))
            (import "fusebox" "kv_keys" (func $keys (param i32 i32 i32 i32) (result i64)))
            (import "fusebox" "answer" (func $answer (param i32 i32) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const 512) "n")
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func $increment (result i64) (local $number i64)
                (loop $again
                    (local.set $number (call $get (i32.const 512) (i32.const 1)))
                    ;; the revision comes to 64, the number that it is of to 72; both are 0 where there is none
                    (i64.store (i32.const 64) (i64.const 0))
                    (i64.store (i32.const 72) (i64.const 0))
                    (if (i64.ge_s (local.get $number) (i64.const 0))
                        (then (drop (call $answer (i32.const 64) (i32.const 16)))))
                    (i64.store (i32.const 72) (i64.add (i64.load (i32.const 72)) (i64.const 1)))
                    (local.set $number
                        (call $set (i32.const 512) (i32.const 1) (i32.const 72) (i32.const 8) (i64.const 0)
                            (i64.load (i32.const 64))))
                    (br_if $again (i64.eq (local.get $number) (i64.const -2))))
                (local.get $number))
            (func $ask (param $op i32) (param $ptr i32) (param $len i32) (result i64)
                (if (i32.eq (local.get $op) (i32.const 99)) ;; c
                    (then (return (call $config (local.get $ptr) (local.get $len)))))
                (if (i32.eq (local.get $op) (i32.const 115)) ;; s
                    (then (return (call $secret (local.get $ptr) (local.get $len)))))
                (if (i32.eq (local.get $op) (i32.const 103)) ;; g
                    (then (return (call $get (local.get $ptr) (local.get $len)))))
                (if (i32.eq (local.get $op) (i32.const 112)) ;; p
                    (then (return (call $set (local.get $ptr) (i32.const 1) (i32.add (local.get $ptr) (i32.const 1))
                        (i32.sub (local.get $len) (i32.const 1)) (i64.const 0) (i64.const -1)))))
                (if (i32.eq (local.get $op) (i32.const 100)) ;; d
                    (then (return (call $delete (local.get $ptr) (local.get $len) (i64.const -1)))))
                (if (i32.eq (local.get $op) (i32.const 107)) ;; k
                    (then (return (call $keys (local.get $ptr) (local.get $len) (i32.const 0) (i32.const 0)))))
                (call $increment))
            (func (export "fusebox_handle") (param $ptr i32) (param $len i32) (result i32)
                (i64.store (i32.const 8192)
                    (call $ask (i32.load8_u (local.get $ptr)) (i32.add (local.get $ptr) (i32.const 1))
                        (i32.sub (local.get $len) (i32.const 1))))
                (i32.store (i32.const 0) (i32.const 0))
                (i32.store (i32.const 4) (i32.const 8192))
                (i32.store (i32.const 8) (i32.add (i32.const 8) (call $answer (i32.const 8200) (i32.const 65536))))
                (i32.const 0)))"#,
    )
}

/// Returns a command that does nothing, with about this number of bytes of code that nothing reaches, so that it compiles
/// at once. It differs by `mark`, below 64.
#[must_use]
pub fn large_code(bytes: usize, mark: u8) -> Vec<u8> {
    // `nop` as often, behind an `unreachable`.
    let idle = [vec![0], vec![1; BODY_BYTES]].concat();
    command(bytes.div_ceil(BODY_BYTES), &idle, mark)
}

/// Returns a command that does nothing, with about this number of bytes of code, which takes about 2 s of CPU time a
/// million to compile.
#[must_use]
pub fn slow_code(bytes: usize) -> Vec<u8> {
    // Local 0 times 4,000,000 plus 3, squared and kept, again and again.
    let step = [0x20, 0, 0x41, 0x80, 0x92, 0xf4, 1, 0x6c, 0x41, 3, 0x6a, 0x22, 0, 0x20, 0, 0x6c, 0x21, 0];
    let steps = 1_000;
    command(bytes.div_ceil(steps * step.len()), &step.repeat(steps), 0)
}

/// Size of a large body, below the largest.
const BODY_BYTES: usize = 1_000_000;

/// Returns a command with an empty `_start` and so many functions of these instructions, with a local of 32 bits.
fn command(functions: usize, instructions: &[u8], mark: u8) -> Vec<u8> {
    let leb = |mut number: usize| {
        let mut leb = Vec::new();
        while number > 0x7f {
            leb.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        leb.push(number.to_le_bytes()[0]);
        leb
    };
    let sized = |content: Vec<u8>| [leb(content.len()), content].concat();
    let section = |id: u8, content: Vec<u8>| [vec![id], sized(content)].concat();
    let body = sized([&[1, 1, 0x7f], instructions, &[0x0b]].concat());
    // `_start` drops the mark.
    let mut code = [leb(functions + 1), sized(vec![0, 0x41, mark & 0x3f, 0x1a, 0x0b])].concat();
    (0..functions).for_each(|_| code.extend_from_slice(&body));
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, vec![1, 0x60, 0, 0]),
        section(3, [leb(functions + 1), vec![0; functions + 1]].concat()),
        section(7, [&[1, 6][..], b"_start", &[0, 0]].concat()),
        section(10, code),
    ]
    .concat()
}
