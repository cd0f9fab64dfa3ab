;; Does nothing, with any input: what is measured is all that is around a run.
(module
  (memory (export "memory") 2)
  (func (export "fusebox_alloc") (param $len i32) (result i32)
    (if (i32.gt_u (local.get $len) (i32.const 65536))
      (then (drop (memory.grow (i32.shr_u (local.get $len) (i32.const 16))))))
    (i32.const 1024))
  ;; 0: whether it failed, where the output is, its length. All zero.
  (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const 0)))
