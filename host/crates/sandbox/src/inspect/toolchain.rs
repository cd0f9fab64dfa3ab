//! Names the toolchain that made a module for another host, and the remedy. The imports and exports of such modules are
//! alike, whatever their program does. Looked at only if a module is refused.

use fusebox_core::error::ErrorCode;
use wasmparser::{Parser, Payload};

use super::{DOCS, error};
use crate::ModuleError;

/// Number of imports and exports that are looked at, each.
const ITEMS_MAX: usize = 10_000;

/// Evidence of a toolchain: `import` matches a module and a name, `export` a name.
struct Maker {
    import: fn(&str, &str) -> bool,
    export: fn(&str) -> bool,
    /// Completes "the module was made".
    made: &'static str,
    remedy: &'static str,
    /// Section of the page about toolchains.
    section: &'static str,
}

/// Toolchains, the ones with the clearest evidence first.
const MAKERS: &[Maker] = &[
    Maker {
        import: |from, name| {
            let is_glue = from.starts_with("./") && from.ends_with("_bg.js");
            is_glue || from == "wbg" || from.starts_with("__wbindgen_") || name.starts_with("__wbindgen_")
        },
        export: |_| false,
        made: "for JavaScript by wasm-bindgen",
        remedy: "build the crate without it, for wasm32-wasip1 or with fusebox-guest",
        section: "wasm-bindgen",
    },
    Maker {
        import: |from, _| from == "gojs" || from == "go",
        export: |_| false,
        made: "for JavaScript by Go",
        remedy: "build it with GOOS=wasip1",
        section: "go",
    },
    Maker {
        import: |from, name| from == "napi" || from == "emnapi" || name.starts_with("napi_"),
        export: |name| name.starts_with("napi_register_") || name.starts_with("__napi_register__"),
        made: "as an add-on of Node.js, by napi-rs or emnapi",
        remedy: "build the program or library in it for wasm32-wasip1",
        section: "napi-rs",
    },
    Maker {
        import: |from, name| from == "env" && name.starts_with("proxy_"),
        export: |name| name.starts_with("proxy_on_") || name.starts_with("proxy_abi_version_"),
        made: "as a proxy's filter, with a proxy-wasm SDK",
        remedy: "write it as a function that answers HTTP requests",
        section: "proxy-wasm",
    },
    Maker {
        import: |from, _| from.starts_with("javy_quickjs_provider") || from.starts_with("javy-default-plugin"),
        export: |_| false,
        made: "by Javy, to be linked with its engine when it runs",
        remedy: "build it without `-C dynamic`",
        section: "javy",
    },
    Maker {
        import: |from, _| matches!(from, "spin-config" | "spin_config" | "wasi-outbound-http" | "outbound-redis"),
        export: |name| name.starts_with("spin-sdk-") || matches!(name, "handle-http-request" | "handle-redis-message"),
        made: "with a Spin SDK before 2.0",
        remedy: "build it with a current Spin SDK, which makes a component",
        section: "spin",
    },
    Maker {
        import: |from, name| {
            let prefixes = ["emscripten_", "_emscripten_", "__syscall_", "invoke_", "__cxa_"];
            let is_runtime = prefixes.iter().any(|prefix| name.starts_with(prefix));
            // An optimised build renames the module and all of its imports to letters.
            let is_minified = from == "a" && name.len() <= 2;
            from.starts_with("GOT.") || from == "env" && is_runtime || is_minified
        },
        ..EMSCRIPTEN
    },
    Maker {
        import: |from, name| from == "env" && name == "abort",
        export: |_| false,
        made: "for JavaScript by AssemblyScript",
        remedy: "build it with the configuration of @assemblyscript/wasi-shim",
        section: "assemblyscript",
    },
    EMSCRIPTEN,
];

const EMSCRIPTEN: Maker = Maker {
    import: |from, name| from == "env" && matches!(name, "memory" | "__indirect_function_table" | "__memory_base"),
    export: |_| false,
    made: "for JavaScript by Emscripten",
    remedy: "build it with -sSTANDALONE_WASM, or with the WASI SDK",
    section: "emscripten",
};

/// Returns the refusal of a module that was made for another host.
pub(super) fn refusal(wasm: &[u8]) -> Option<ModuleError> {
    let (imports, exports) = surface(wasm);
    let by_import = MAKERS.iter().find_map(|maker| {
        let (from, name) = imports.iter().find(|(from, name)| (maker.import)(from, name))?;
        Some(maker.refusal(ErrorCode::UnknownImport, &format!("it imports {from}.{name}")))
    });
    by_import.or_else(|| {
        MAKERS.iter().find_map(|maker| {
            let name = exports.iter().find(|name| (maker.export)(name))?;
            Some(maker.refusal(ErrorCode::InvalidModule, &format!("it exports {name}")))
        })
    })
}

impl Maker {
    fn refusal(&self, code: ErrorCode, evidence: &str) -> ModuleError {
        let Self { made, remedy, section, .. } = self;
        error(code, format!("the module was made {made} ({evidence}): {remedy}, see {DOCS}#{section}"))
    }
}

/// Returns the imports and exports of a module, as far as they can be read.
fn surface(wasm: &[u8]) -> (Vec<(&str, &str)>, Vec<&str>) {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::ImportSection(section)) => {
                let read = section.into_imports().map_while(Result::ok).take(ITEMS_MAX);
                imports.extend(read.map(|import| (import.module, import.name)));
            }
            Ok(Payload::ExportSection(section)) => {
                let read = section.into_iter().map_while(Result::ok).take(ITEMS_MAX);
                exports.extend(read.map(|export| export.name));
            }
            // Exports precede the code.
            Ok(Payload::CodeSectionStart { .. }) | Err(_) => break,
            Ok(_) => {}
        }
    }
    (imports, exports)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One import of each toolchain, as its modules have them, or one export.
    const SEEN: &[(&str, &str, &str)] = &[
        ("wbg", "__wbg_new_28c511d9baebfa89", "wasm-bindgen"),
        ("./ruff_wasm_bg.js", "__wbg_buffer_12d079cc21e14bdb", "wasm-bindgen"),
        ("__wbindgen_placeholder__", "__wbindgen_describe", "wasm-bindgen"),
        ("gojs", "syscall/js.valueGet", "go"),
        ("env", "napi_create_promise", "napi-rs"),
        ("emnapi", "_emnapi_node_emit_async_init", "napi-rs"),
        ("env", "proxy_log", "proxy-wasm"),
        ("", "proxy_on_vm_start", "proxy-wasm"),
        ("javy_quickjs_provider_v3", "eval_bytecode", "javy"),
        ("spin_config", "get-config", "spin"),
        ("", "spin-sdk-version-1-5-0", "spin"),
        ("env", "__syscall_faccessat", "emscripten"),
        ("a", "b", "emscripten"),
        ("GOT.mem", "stdout", "emscripten"),
        ("env", "memory", "emscripten"),
        ("env", "abort", "assemblyscript"),
    ];

    #[test]
    fn each_toolchain_is_known_by_what_its_modules_import_or_export() {
        for (from, name, section) in SEEN {
            let text = match *from {
                "" => format!(r#"(module (func (export "{name}")))"#),
                _ => format!(
                    r#"(module (import "wasi_snapshot_preview1" "fd_close" (func)) (import "{from}" "{name}" (func)))"#
                ),
            };
            let error = refusal(&wat::parse_str(text).unwrap()).unwrap();
            let shown =
                if from.is_empty() { format!("it exports {name}") } else { format!("it imports {from}.{name}") };
            assert!(error.message.contains(&shown), "{error}");
            assert!(error.message.ends_with(&format!("#{section}")), "{error}");
        }
    }

    #[test]
    fn a_module_of_no_known_toolchain_is_not_explained() {
        for text in [r#"(module (import "env" "system" (func)))"#, r#"(module (import "mine" "f" (func)))"#] {
            assert!(refusal(&wat::parse_str(text).unwrap()).is_none(), "{text}");
        }
        assert!(refusal(b"\0asm\x01\0\0\0\x02\xff\xff").is_none());
    }

    #[test]
    fn the_page_has_a_section_for_each_toolchain() {
        let page = include_str!("../../../../../docs/toolchains.md");
        let headings: Vec<String> =
            page.lines().filter_map(|line| line.strip_prefix("## ")).map(|line| line.to_lowercase()).collect();
        for maker in MAKERS {
            assert!(headings.iter().any(|heading| heading == maker.section), "{}", maker.section);
        }
    }
}
