;; A command that waits for as many milliseconds as its input says, a 32-bit number, little-endian, and answers nothing.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; 0: an iovec; 8: bytes read; 16: the input; 128: a subscription; 192: its event; 256: events.
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 4))
    (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
    (if (i32.ne (i32.load (i32.const 8)) (i32.const 4)) (then unreachable))
    ;; The monotonic clock, so many nanoseconds from now.
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (i64.mul (i64.load32_u (i32.const 16)) (i64.const 1000000)))
    (if (call $poll (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 256)) (then unreachable))))
