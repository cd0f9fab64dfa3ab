;; Computes for as long as its input says: so many steps of a xorshift generator, a 32-bit number, little-endian. Its output
;; is the last number. `mod.rs` computes the same.
(module
  (memory (export "memory") 1)
  (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "fusebox_handle") (param $at i32) (param $len i32) (result i32) (local $left i32) (local $x i64)
    (local.set $left (i32.load (local.get $at)))
    (local.set $x (i64.const 0x9e3779b97f4a7c15))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
        (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i64.store (i32.const 16) (local.get $x))
    ;; 0: whether it failed, where the output is, its length.
    (i32.store (i32.const 4) (i32.const 16))
    (i32.store (i32.const 8) (i32.const 8))
    (i32.const 0)))
