//! Functions of the runtime's own modules that JavaScript cannot do: bytes, files, time, randomness, calls of the host.

use std::{
    cell::Cell,
    collections::HashMap,
    fs,
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rquickjs::{Ctx, Exception, Function, Object, Result, TypedArray, Value, context::EvalOptions, function::Opt};
use url::Url;

use crate::host::{self, Answer};

thread_local! {
    /// State of `Math.random`; zero until the first call, since the image of the runtime must not hold any.
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// Adds all functions to an object.
pub(crate) fn add_to<'js>(object: &Object<'js>) -> Result<()> {
    bytes(object)?;
    files(object)?;
    surroundings(object)?;
    calls(object)
}

fn add<'js, P, F: rquickjs::function::IntoJsFunc<'js, P> + 'js>(
    object: &Object<'js>,
    name: &str,
    call: F,
) -> Result<()> {
    object.set(name, Function::new(object.ctx().clone(), call)?.with_name(name)?)
}

/// Copies the bytes of an array.
#[expect(unsafe_code, reason = "the engine owns the bytes")]
pub(crate) fn copied(array: &TypedArray<'_, u8>) -> Result<Vec<u8>> {
    // SAFETY: they are copied before any JavaScript runs.
    let bytes = unsafe { array.as_bytes() }.map(<[u8]>::to_vec);
    bytes.ok_or_else(|| Exception::throw_type(array.ctx(), "the buffer is detached"))
}

fn bytes<'js>(object: &Object<'js>) -> Result<()> {
    add(object, "encode", |ctx: Ctx<'js>, text: String| TypedArray::new(ctx, text.into_bytes()))?;
    add(object, "decode", |bytes: TypedArray<'js, u8>, is_fatal: bool| {
        let bytes = copied(&bytes)?;
        Ok::<_, rquickjs::Error>(match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) if is_fatal => None,
            Err(error) => Some(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        })
    })?;
    add(object, "url", |text: String, Opt(base): Opt<Option<String>>| {
        parts(&parsed(&text, base.flatten().as_deref())?)
    })?;
    add(object, "urlWith", |url: String, part: String, value: String| {
        parts(&with(Url::parse(&url).ok()?, &part, &value)?)
    })
}

fn parsed(text: &str, base: Option<&str>) -> Option<Url> {
    match base {
        Some(base) => Url::parse(base).ok()?.join(text).ok(),
        None => Url::parse(text).ok(),
    }
}

/// Returns the parts of a URL in the order in which url.js names them.
fn parts(url: &Url) -> Option<Vec<String>> {
    use url::quirks;
    let parts = [
        quirks::href(url),
        &quirks::origin(url),
        quirks::protocol(url),
        quirks::username(url),
        quirks::password(url),
        quirks::host(url),
        quirks::hostname(url),
        quirks::port(url),
        quirks::pathname(url),
        quirks::search(url),
        quirks::hash(url),
    ];
    Some(parts.map(str::to_owned).to_vec())
}

fn with(mut url: Url, part: &str, value: &str) -> Option<Url> {
    use url::quirks;
    match part {
        "protocol" => quirks::set_protocol(&mut url, value).ok()?,
        "username" => quirks::set_username(&mut url, value).ok()?,
        "password" => quirks::set_password(&mut url, value).ok()?,
        "host" => quirks::set_host(&mut url, value).ok()?,
        "hostname" => quirks::set_hostname(&mut url, value).ok()?,
        "port" => quirks::set_port(&mut url, value).ok()?,
        "pathname" => quirks::set_pathname(&mut url, value),
        "search" => quirks::set_search(&mut url, value),
        "hash" => quirks::set_hash(&mut url, value),
        _ => return None,
    }
    Some(url)
}

fn files<'js>(object: &Object<'js>) -> Result<()> {
    add(object, "isFile", |path: String| Path::new(&path).is_file())?;
    add(object, "read", |path: String| {
        let bytes = fs::read(&path).ok()?;
        Some(String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).into_owned())
    })?;
    add(object, "script", |ctx: Ctx<'js>, path: String, source: String| {
        let mut options = EvalOptions::default();
        (options.strict, options.filename) = (false, Some(path));
        ctx.eval_with_options::<Value<'js>, _>(source, options)
    })
}

fn surroundings<'js>(object: &Object<'js>) -> Result<()> {
    add(object, "stderr", |text: String| {
        // There is nobody to tell if the log takes no more.
        let _ = std::io::stderr().write_all(text.as_bytes());
    })?;
    add(object, "env", || std::env::vars().collect::<HashMap<_, _>>())?;
    add(object, "now", || {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1_000.0)
    })?;
    add(object, "sleep", |ms: f64| thread::sleep(Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or(Duration::MAX)))?;
    add(object, "random", |ctx: Ctx<'js>, len: usize| {
        let mut bytes = vec![0; len];
        random(&ctx, &mut bytes)?;
        TypedArray::new(ctx, bytes)
    })?;
    add(object, "fraction", |ctx: Ctx<'js>| fraction(&ctx))
}

fn random(ctx: &Ctx<'_>, bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Exception::throw_internal(ctx, &error.to_string()))
}

/// Returns the next number of `Math.random`, below 1, by xorshift64*.
fn fraction(ctx: &Ctx<'_>) -> Result<f64> {
    let mut state = RANDOM.get();
    while state == 0 {
        let mut seed = [0; 8];
        random(ctx, &mut seed)?;
        state = u64::from_le_bytes(seed);
    }
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    RANDOM.set(state);
    // The 53 bits that a number holds exactly.
    Ok((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64)
}

fn calls<'js>(object: &Object<'js>) -> Result<()> {
    type Bytes<'js> = TypedArray<'js, u8>;
    add(object, "context", host::context)?;
    add(object, "log", |level: u32, text: String| host::log(level, &text))?;
    add(object, "config", |ctx: Ctx<'js>, name: String| value(ctx, host::config(&name)))?;
    add(object, "secret", |ctx: Ctx<'js>, name: String| value(ctx, host::secret(&name)))?;
    add(object, "http", |ctx: Ctx<'js>, head: Bytes<'js>, body: Bytes<'js>| {
        let request = [copied(&head)?, copied(&body)?].concat();
        value(ctx, host::http(&request))
    })?;
    add(object, "kvGet", |ctx: Ctx<'js>, key: Bytes<'js>| {
        let answer = host::kv_get(&copied(&key)?);
        value(ctx, answer)
    })?;
    add(object, "kvSet", |ctx: Ctx<'js>, key: Bytes<'js>, entry: Bytes<'js>, ttl_ms: f64, expects: f64| {
        let answer = host::kv_set(&copied(&key)?, &copied(&entry)?, ttl_ms as i64, expects as i64);
        value(ctx, answer)
    })?;
    add(object, "kvDelete", |ctx: Ctx<'js>, key: Bytes<'js>, expects: f64| {
        let answer = host::kv_delete(&copied(&key)?, expects as i64);
        value(ctx, answer)
    })?;
    add(object, "kvKeys", |ctx: Ctx<'js>, prefix: Bytes<'js>, after: Bytes<'js>| {
        let answer = host::kv_keys(&copied(&prefix)?, &copied(&after)?);
        value(ctx, answer)
    })
}

fn value(ctx: Ctx<'_>, answer: Answer) -> Result<Value<'_>> {
    Ok(match answer {
        Answer::Number(number) => Value::new_number(ctx, number as f64),
        Answer::Bytes(bytes) => TypedArray::new(ctx, bytes)?.into_value(),
    })
}
