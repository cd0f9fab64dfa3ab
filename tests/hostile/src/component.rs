//! Components written as text: handlers of bytes, for hostile ones and for tests of the sandbox.

pub mod script;
mod script_0_3;

/// Returns a handler of bytes whose `handle` executes `handle` with the input's pointer (local 0) and length (local 1),
/// and then returns the result at address 0, by default an empty output.
#[must_use]
pub fn handler(handle: &str) -> String {
    handler_with(handle, "", "", "")
}

/// Same as [`handler`], with definitions of the component, which may use the memory of `$libc`, imports of its module,
/// and the module's instantiation arguments.
#[must_use]
pub fn handler_with(handle: &str, more: &str, imports: &str, arguments: &str) -> String {
    format!(
        r#"(component
            (core module $libc
                (memory (export "memory") 2)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (if (i32.gt_u (global.get $next) (i32.const 131072)) (then
                        (drop (memory.grow (i32.shr_u (local.get 3) (i32.const 16))))
                        (drop (memory.grow (i32.const 1)))))
                    (local.get $at)))
            (core instance $libc (instantiate $libc))
            {more}
            (core module $main
                (import "libc" "memory" (memory 1))
                {imports}
                (func $handle (export "handle") (param i32 i32) (result i32) {handle} (i32.const 0)))
            (core instance $main (instantiate $main (with "libc" (instance $libc)) {arguments}))
            {LIFTED})"#
    )
}

const LIFTED: &str = r#"
    (type $bytes (list u8))
    (func $handle (param "input" $bytes) (result (result $bytes (error $bytes)))
        (canon lift (core func $main "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (instance $handler (export "handle" (func $handle)))
    (export "fusebox:function/handler@0.1.0" (instance $handler))"#;

/// Returns code that sets the result to an output, or an error if `tag` is 1.
#[must_use]
pub fn answer(tag: u32, ptr: &str, len: &str) -> String {
    format!(
        "(i32.store8 (i32.const 0) (i32.const {tag})) (i32.store (i32.const 4) {ptr}) (i32.store (i32.const 8) {len})"
    )
}

/// Returns a handler that outputs its input.
#[must_use]
pub fn echo() -> String {
    handler(&answer(0, "(local.get 0)", "(local.get 1)"))
}

/// Returns a component of another shape: one component within it calls another through adapters, from a memory of its
/// own.
#[must_use]
pub fn nested() -> String {
    let callee = echo().replacen("(component", "(component $callee", 1);
    format!(
        r#"(component
            {callee}
            (instance $callee (instantiate $callee))
            (alias export $callee "fusebox:function/handler@0.1.0" (instance $exported))
            (alias export $exported "handle" (func $handle))
            (component $caller
                (import "callee" (func $callee (param "input" (list u8))
                    (result (result (list u8) (error (list u8))))))
                (core module $libc
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
                (core instance $libc (instantiate $libc))
                (core func $lowered (canon lower (func $callee) (memory (core memory $libc "memory"))
                    (realloc (core func $libc "realloc"))))
                (core module $main
                    (import "libc" "memory" (memory 1))
                    (import "callee" "handle" (func $callee (param i32 i32 i32)))
                    (func (export "handle") (param i32 i32) (result i32)
                        (call $callee (local.get 0) (local.get 1) (i32.const 0))
                        (i32.const 0)))
                (core instance $main (instantiate $main
                    (with "libc" (instance $libc))
                    (with "callee" (instance (export "handle" (func $lowered))))))
                {LIFTED})
            (instance $caller (instantiate $caller (with "callee" (func $handle))))
            (alias export $caller "fusebox:function/handler@0.1.0" (instance $handler))
            (export "fusebox:function/handler@0.1.0" (instance $handler)))"#
    )
}

/// Returns a component that handles HTTP requests of WASI 0.2: its `handle` executes `handle` with the request (local
/// 0), the place of the response (local 1) and two more locals, and may call `$answer` with both, which answers 201 with
/// the path, `$mirror`, which answers 200 with a line and the request's body as it arrives, or `$head`, `$open`, `$write`,
/// `$drop`, `$trail` and `$finish`.
#[must_use]
pub fn http(handle: &str) -> String {
    include_str!("component/http.wat").replace("HANDLE", handle)
}

/// Returns a component that answers HTTP requests with their path.
#[must_use]
pub fn http_echo() -> String {
    http("(call $answer (local.get 0) (local.get 1))")
}
