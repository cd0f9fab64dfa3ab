//! Modules as the engine asks for them: those of the runtime, which are part of it, and the function's.

use rquickjs::{
    Ctx, Function, Module, Object, Result,
    loader::{ImportAttributes, Loader, Resolver},
    module::{Declarations, Declared, Exports, ModuleDef},
};

use crate::{engine, native};

/// Modules of the runtime, by their names.
const OWN: &[(&str, &str)] = &[
    ("fusebox", include_str!("../js/fusebox.js")),
    ("fusebox:errors", include_str!("../js/errors.js")),
    ("fusebox:globals", include_str!("../js/globals.js")),
    ("fusebox:host", include_str!("../js/host.js")),
    ("fusebox:main", include_str!("../js/main.js")),
    ("fusebox:modules", include_str!("../js/modules.js")),
    ("fusebox:text", include_str!("../js/text.js")),
    ("fusebox:url", include_str!("../js/url.js")),
    ("fusebox:web", include_str!("../js/web.js")),
];

/// Module of the functions that JavaScript cannot do, which only modules of the runtime import.
const NATIVE: &str = "fusebox:native";

struct Native;

impl ModuleDef for Native {
    fn declare(exports: &Declarations<'_>) -> Result<()> {
        exports.declare("default")?;
        Ok(())
    }

    fn evaluate<'js>(ctx: &Ctx<'js>, exports: &Exports<'js>) -> Result<()> {
        let object = Object::new(ctx.clone())?;
        native::add_to(&object)?;
        exports.export("default", object)?;
        Ok(())
    }
}

/// Resolves and loads modules; the function's through `fusebox:modules`.
pub(crate) struct Modules;

impl Resolver for Modules {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        if name == NATIVE || OWN.iter().any(|(own, _)| *own == name) {
            return Ok(name.to_owned());
        }
        engine::exports(ctx)?.get::<_, Function>("resolve")?.call((base, name))
    }
}

impl Loader for Modules {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        if name == NATIVE {
            return Module::declare_def::<Native, _>(ctx.clone(), name);
        }
        match OWN.iter().find(|(own, _)| *own == name) {
            Some((_, source)) => Module::declare(ctx.clone(), name, *source),
            None => {
                let source: String = engine::exports(ctx)?.get::<_, Function>("load")?.call((name,))?;
                Module::declare(ctx.clone(), name, source)
            }
        }
    }
}
