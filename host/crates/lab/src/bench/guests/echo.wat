;; Answers its input, which stays where the host has put it.
(module
  (memory (export "memory") 2)
  (func (export "fusebox_alloc") (param $len i32) (result i32)
    (if (i32.gt_u (local.get $len) (i32.const 65536))
      (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $len) (i32.const 16)))))))
    (i32.const 1024))
  ;; 0: whether it failed, where the output is, its length.
  (func (export "fusebox_handle") (param $at i32) (param $len i32) (result i32)
    (i32.store (i32.const 4) (local.get $at))
    (i32.store (i32.const 8) (local.get $len))
    (i32.const 0)))
