//! Runtime of functions written in JavaScript: QuickJS as a command of WASI preview 1. Its memory is saved as an image
//! once it has been created, so that no run creates it again; whatever must differ between runs is read after that.
//!
//! | arguments | reads | writes |
//! |---|---|---|
//! | `run FILE` | the input | the result of the function; errors to stderr, with exit code 1 |
//! | `check FILE` | nothing | a line of JSON: the handlers, or with exit code 2 the reason for which there are none |
//!
//! With `GATEWAY_INTERFACE` in the environment, `run` is a CGI program.

mod engine;
mod host;
mod modules;
mod native;

use std::{
    env,
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use rquickjs::{Ctx, Error, Exception, Function, Promise, Result, TypedArray, Value};

/// Exit code of a function that failed.
const FAILED: u8 = 1;
/// Exit code of `check` for a function that cannot be registered.
const REFUSED: u8 = 2;
/// Exit code of a wrong command line.
const USAGE: u8 = 64;

/// Creates the engine, before the image of the runtime is taken.
#[unsafe(export_name = "wizer-initialize")]
#[expect(unsafe_code, reason = "the name is an export of the module")]
pub extern "C" fn initialize() {
    if let Err(error) = engine::create() {
        // Nobody but the tool that takes the image calls this.
        panic!("the engine cannot be created: {error}");
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().take(3).collect();
    let done = engine::create().and_then(|()| match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "run", path] => engine::with(|ctx| run(&ctx, path)),
        [_, "check", path] => engine::with(|ctx| check(&ctx, path)),
        _ => {
            eprintln!("usage: run|check FILE");
            Ok(USAGE)
        }
    });
    ExitCode::from(done.unwrap_or_else(|error| {
        eprintln!("the runtime failed: {error}");
        FAILED
    }))
}

/// Calls a function of `fusebox:main` and waits for its value; the value that it throws is `Err`.
fn called<'js>(ctx: &Ctx<'js>, name: &str, args: impl rquickjs::function::IntoArgs<'js>) -> Result<Called<'js>> {
    let call: Function = engine::exports(ctx)?.get(name)?;
    let ended = call.call(args).and_then(|promise: Promise<'js>| engine::settled(ctx, &promise));
    match ended {
        Ok(Some(value)) => Ok(Ok(value)),
        Ok(None) => {
            let message = "the function waits for a promise that nothing will settle";
            Ok(Err(Exception::from_message(ctx.clone(), message)?.into_value()))
        }
        Err(Error::Exception) => Ok(Err(ctx.catch())),
        Err(error) => Err(error),
    }
}

type Called<'js> = std::result::Result<Value<'js>, Value<'js>>;

fn run(ctx: &Ctx<'_>, path: &str) -> Result<u8> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let input = TypedArray::new(ctx.clone(), input)?;
    match called(ctx, "run", (path, input))? {
        Ok(parts) => {
            let mut stdout = io::stdout().lock();
            for part in parts.get::<Vec<TypedArray<'_, u8>>>()? {
                stdout.write_all(&native::copied(&part)?)?;
            }
            stdout.flush()?;
            Ok(0)
        }
        Err(thrown) => {
            let text: String = engine::exports(ctx)?.get::<_, Function>("describe")?.call((thrown,))?;
            eprintln!("{text}");
            Ok(FAILED)
        }
    }
}

fn check(ctx: &Ctx<'_>, path: &str) -> Result<u8> {
    let found = called(ctx, "check", (path,))?;
    // What is thrown here is code at the top level that waits for ever.
    let found = found.or_else(|thrown| engine::exports(ctx)?.get::<_, Function<'_>>("problem")?.call((thrown,)))?;
    let is_refused = found.as_object().is_some_and(|found| found.contains_key("message").unwrap_or_default());
    let line = ctx.json_stringify(found)?.map(|line| line.to_string()).transpose()?.unwrap_or_default();
    println!("{line}");
    Ok(if is_refused { REFUSED } else { 0 })
}
