;; What `fusebox chaos` runs: a command whose output is a function of its input and of nothing else. The input's first two
;; bytes, little-endian, are milliseconds to wait, so that a kill can meet a run half-way. `work.rs` computes the same.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; 0: an iovec; 8: bytes read or written; 128: a subscription; 192: its event; 256: events. 1024: the input.
  (func (export "_start") (local $len i32) (local $at i32) (local $hash i64)
    (loop $more
      (i32.store (i32.const 0) (i32.add (i32.const 1024) (local.get $len)))
      (i32.store (i32.const 4) (i32.sub (i32.const 4096) (local.get $len)))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (local.set $len (i32.add (local.get $len) (i32.load (i32.const 8))))
      (br_if $more (i32.load (i32.const 8))))
    ;; The monotonic clock, so many nanoseconds from now.
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (i64.mul (i64.load16_u (i32.const 1024)) (i64.const 1000000)))
    (if (call $poll (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 256)) (then unreachable))
    ;; FNV-1a: each byte becomes the low byte of the digest up to it, and the whole digest follows.
    (local.set $hash (i64.const 0xcbf29ce484222325))
    (local.set $at (i32.const 1024))
    (local.set $len (i32.add (local.get $len) (i32.const 1024)))
    (loop $next
      (local.set $hash (i64.mul (i64.const 0x100000001b3)
        (i64.xor (local.get $hash) (i64.load8_u (local.get $at)))))
      (i64.store8 (local.get $at) (local.get $hash))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $len))))
    (i64.store (local.get $at) (local.get $hash))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.sub (local.get $at) (i32.const 1016)))
    (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
    (if (i32.ne (i32.load (i32.const 8)) (i32.load (i32.const 4))) (then unreachable))))
