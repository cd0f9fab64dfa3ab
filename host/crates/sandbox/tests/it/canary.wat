;; Fills everything that it can reach, or looks for what someone else has left there. The input says which:
;;   byte 0     'f' fill, 's' scan
;;   byte 1     after filling: 'r' return, 't' trap, 'l' loop; after the log line "full"
;;   bytes 2-3  to how many pages the memory shall grow
;; A scan answers the number of 8-byte words, table elements, globals and locals that are not as a fresh instance has
;; them.
(module
  (import "fusebox" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 2)
  (table 10000 20000 funcref)
  (global $number (mut i64) (i64.const 0))
  (global $function (mut funcref) (ref.null func))
  (elem declare func $handle)

  (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))

  (func $handle (export "fusebox_handle") (param $in i32) (param $len i32) (result i32)
    (local $what i32) (local $end i32) (local $pages i32) (local $found i32)
    (local.set $what (i32.load8_u (i32.const 1024)))
    (local.set $end (i32.load8_u (i32.const 1025)))
    (local.set $pages (i32.load16_u (i32.const 1026)))
    (i32.store (i32.const 1024) (i32.const 0))
    (drop (memory.grow (i32.sub (local.get $pages) (memory.size))))
    (if (i32.eq (local.get $what) (i32.const 115 (;s;)))
      (then (local.set $found (call $scan)))
      (else (call $fill) (call $end (local.get $end))))
    ;; the result record: returned, 4 bytes at 16
    (i64.store (i32.const 0) (i64.const 0x1000000000))
    (i32.store (i32.const 8) (i32.const 4))
    (i32.store (i32.const 16) (local.get $found))
    (i32.const 0))

  (func $fill
    (memory.fill (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size) (i32.const 65536)))
    (drop (table.grow (ref.func $handle) (i32.const 10000)))
    (table.fill (i32.const 0) (ref.func $handle) (i32.const 10000))
    (global.set $number (i64.const 0xa5a5a5a5a5a5a5a5))
    (global.set $function (ref.func $handle))
    (drop (call $stack (i32.const 500) (i64.const 0xa5a5a5a5a5a5a5a5))))

  ;; Recurses, with frames of secrets.
  (func $stack (param $depth i32) (param $secret i64) (result i64)
    (local $a i64) (local $b i64) (local $c i64) (local $d i64) (local $e i64) (local $f i64) (local $g i64)
    (if (i32.eqz (local.get $depth)) (then (return (local.get $secret))))
    (local.set $a (i64.xor (local.get $secret) (i64.extend_i32_u (local.get $depth))))
    (local.set $b (i64.mul (local.get $a) (local.get $secret)))
    (local.set $c (i64.add (local.get $a) (local.get $b)))
    (local.set $d (i64.rotl (local.get $c) (i64.const 7)))
    (local.set $e (i64.sub (local.get $d) (local.get $a)))
    (local.set $f (i64.or (local.get $e) (local.get $b)))
    (local.set $g (call $stack (i32.sub (local.get $depth) (i32.const 1)) (local.get $secret)))
    (i64.add (i64.add (local.get $a) (local.get $b)) (i64.add (i64.add (local.get $c) (local.get $d))
      (i64.add (i64.add (local.get $e) (local.get $f)) (local.get $g)))))

  (func $end (param $how i32)
    (i64.store (i32.const 64) (i64.const 0x6c6c7566 (;full;)))
    (call $log (i32.const 3) (i32.const 64) (i32.const 4))
    (if (i32.eq (local.get $how) (i32.const 116 (;t;))) (then (unreachable)))
    (if (i32.eq (local.get $how) (i32.const 108 (;l;))) (then (loop (br 0)))))

  (func $scan (result i32)
    (local $at i32) (local $found i32) (local $bytes i32)
    (local.set $bytes (i32.mul (memory.size) (i32.const 65536)))
    (loop
      (if (v128.any_true (v128.load (local.get $at)))
        (then
          (local.set $found (i32.add (local.get $found) (i64.ne (i64.load (local.get $at)) (i64.const 0))))
          (local.set $found (i32.add (local.get $found) (i64.ne (i64.load offset=8 (local.get $at)) (i64.const 0))))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if 0 (i32.lt_u (local.get $at) (local.get $bytes))))
    (drop (table.grow (ref.null func) (i32.sub (i32.const 20000) (table.size))))
    (local.set $at (i32.const 0))
    (loop
      (if (i32.eqz (ref.is_null (table.get (local.get $at)))) (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $at) (table.size))))
    (local.set $found (i32.add (local.get $found) (i64.ne (global.get $number) (i64.const 0))))
    (local.set $found (i32.add (local.get $found) (i32.eqz (ref.is_null (global.get $function)))))
    (i32.add (local.get $found) (call $locals (i32.const 500))))

  ;; What is not zero among locals that nobody has set, on each level of as deep a stack as was filled.
  (func $locals (param $depth i32) (result i32)
    (local $a i64) (local $b i64) (local $c i64) (local $d i64) (local $e i64) (local $f i64) (local $v v128)
    (local $found i32)
    (if (local.get $depth) (then (local.set $found (call $locals (i32.sub (local.get $depth) (i32.const 1))))))
    (local.set $a (i64.or (i64.or (local.get $a) (local.get $b)) (i64.or (local.get $c) (local.get $d))))
    (local.set $a (i64.or (i64.or (local.get $a) (local.get $e)) (local.get $f)))
    (i32.add (local.get $found) (i32.or (i64.ne (local.get $a) (i64.const 0)) (v128.any_true (local.get $v)))))

  ;; Plants: one thing left behind, for a test that the scan finds it.
  (func (export "plant_byte") (i32.store8 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const 1)))
  (func (export "plant_element") (table.set (i32.const 9999) (ref.func $handle)))
  (func (export "plant_number") (global.set $number (i64.const 1)))
  (func (export "plant_function") (global.set $function (ref.func $handle))))
