;; Stands for the runtime of a language: it follows the command line of runtimes, and the first letter of a script says
;; what the script does, so that tests need no interpreter.
;; check: `!` is a syntax error, `x` traps, `h` has no handler; any other script is good. So is a pickle, but not one of
;; protocol 3.
;; run: `t` outputs the environment, `k` the code with which a granted call is answered, `s` the script itself, `f` fails with a
;; traceback; any other one outputs its input.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "fusebox" "kv_get" (func $kv_get (param i32 i32) (result i64)))
  (memory (export "memory") 64)
  ;; 0: scratch; 1024: pointers; 8192: texts of arguments and environment; 65536: the script; 131072: the input
  (data (i32.const 256) "{\"message\":\"invalid syntax\",\"file\":\"/app/handler.py\",\"line\":2,\"column\":3}\n")
  (data (i32.const 400) "{\"handle\":true,\"handle_http\":false}\n")
  (data (i32.const 500) "{\"message\":\"there is no function handle(input)\",\"file\":\"/app/handler.py\"}\n")
  (data (i32.const 600) "Traceback (most recent call last):\n  File \"/app/handler.py\", line 1, in handle\nZeroDivisionError: division by zero\n")

  ;; Writes bytes to a stream.
  (func $write (param $fd i32) (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))

  ;; Reads a stream to its end; returns the number of bytes.
  (func $read (param $fd i32) (param $at i32) (result i32)
    (local $len i32)
    (loop $more
      (i32.store (i32.const 0) (i32.add (local.get $at) (local.get $len)))
      (i32.store (i32.const 4) (i32.const 65536))
      (i32.store (i32.const 8) (i32.const 0))
      (drop (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $len (i32.add (local.get $len) (i32.load (i32.const 8))))
      (br_if $more (i32.load (i32.const 8))))
    (local.get $len))

  ;; Returns the length of a text that ends with a zero byte.
  (func $length (param $at i32) (result i32)
    (local $len i32)
    (block $end
      (loop $more
        (br_if $end (i32.eqz (i32.load8_u (i32.add (local.get $at) (local.get $len)))))
        (local.set $len (i32.add (local.get $len) (i32.const 1)))
        (br $more)))
    (local.get $len))

  (func $check (param $first i32)
    (if (i32.eq (local.get $first) (i32.const 33)) (then
      (call $write (i32.const 1) (i32.const 256) (call $length (i32.const 256)))
      (call $proc_exit (i32.const 2))))
    (if (i32.eq (local.get $first) (i32.const 104)) (then
      (call $write (i32.const 1) (i32.const 500) (call $length (i32.const 500)))
      (call $proc_exit (i32.const 2))))
    (if (i32.eq (local.get $first) (i32.const 120)) (then unreachable))
    (call $write (i32.const 1) (i32.const 400) (call $length (i32.const 400))))

  (func $run (param $first i32) (param $len i32)
    (if (i32.eq (local.get $first) (i32.const 116)) (then
      (drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
      (local.set $len (i32.load (i32.const 4)))
      (drop (call $environ_get (i32.const 1024) (i32.const 8192)))
      (call $write (i32.const 1) (i32.const 8192) (local.get $len))
      (return)))
    (if (i32.eq (local.get $first) (i32.const 107)) (then
      ;; A refusal is a small negative number; its digit is the output.
      (i32.store8 (i32.const 128)
        (i32.sub (i32.const 48) (i32.wrap_i64 (call $kv_get (i32.const 256) (i32.const 3)))))
      (call $write (i32.const 1) (i32.const 128) (i32.const 1))
      (return)))
    (if (i32.eq (local.get $first) (i32.const 115)) (then
      (call $write (i32.const 1) (i32.const 65536) (local.get $len))
      (return)))
    (if (i32.eq (local.get $first) (i32.const 102)) (then
      (call $write (i32.const 2) (i32.const 600) (call $length (i32.const 600)))
      (call $proc_exit (i32.const 1))))
    (call $write (i32.const 1) (i32.const 131072) (call $read (i32.const 0) (i32.const 131072))))

  (func (export "_start")
    (local $verb i32) (local $path i32) (local $len i32)
    (drop (call $args_get (i32.const 1024) (i32.const 8192)))
    (local.set $verb (i32.load (i32.const 1028)))
    (local.set $path (i32.load (i32.const 1032)))
    ;; The path without its slash, below the first directory.
    (if (call $path_open (i32.const 3) (i32.const 0)
          (i32.add (local.get $path) (i32.const 1)) (i32.sub (call $length (local.get $path)) (i32.const 1))
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16))
      (then unreachable))
    (local.set $len (call $read (i32.load (i32.const 16)) (i32.const 65536)))
    (if (i32.eq (i32.load8_u (local.get $verb)) (i32.const 99))
      (then (call $check (select (i32.const 33) (i32.load8_u (i32.const 65536))
        (i32.eq (i32.load16_u (i32.const 65536)) (i32.const 0x380)))))
      (else (call $run (i32.load8_u (i32.const 65536)) (local.get $len))))))
