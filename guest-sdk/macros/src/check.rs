//! Validation of the annotated function. All problems are reported at once.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, FnArg, GenericParam, ItemFn, Result, Signature, Type, parse2};

use crate::glue::Kind;

/// Returns the annotated function if the host can call it.
pub(crate) fn function(kind: Kind, arguments: TokenStream, item: TokenStream) -> Result<ItemFn> {
    let attribute = kind.attribute();
    let function: ItemFn = parse2(item).map_err(|error| {
        Error::new(error.span(), format!("{attribute} makes a function of a plain `fn` with a body: {error}"))
    })?;
    let mut errors = Vec::new();
    if !arguments.is_empty() {
        let message = format!("{attribute} takes no arguments: the name is given at registration");
        errors.push(Error::new_spanned(arguments, message));
    }
    errors.extend(signature(kind, &function.sig));
    match errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        Some(errors) => Err(errors),
        None => Ok(function),
    }
}

fn signature(kind: Kind, signature: &Signature) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut refuse = |what: &dyn ToTokens, message: &str| errors.push(Error::new_spanned(what, message));
    if let Some(it) = &signature.asyncness {
        refuse(it, "a function cannot be async: there is nothing in a run to wait for; write a plain `fn`");
    }
    if let Some(it) = &signature.unsafety {
        refuse(it, "a function cannot be unsafe: the host calls it with any input");
    }
    if let Some(it) = &signature.abi {
        refuse(it, &format!("a function has no ABI of its own: {} adds what the host calls", kind.attribute()));
    }
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            refuse(parameter, "a function cannot be generic: the host calls it with bytes of one type");
        }
    }
    for (at, argument) in signature.inputs.iter().enumerate() {
        match argument {
            FnArg::Receiver(it) => refuse(it, "a function cannot take self: the host has no value to call it on"),
            FnArg::Typed(it) if at > 0 => {
                refuse(it, "a function takes one input: put several values into one, such as `Json<(A, B)>`");
            }
            FnArg::Typed(it) => {
                if let Type::ImplTrait(it) = &*it.ty {
                    refuse(it, "a function cannot be generic: name the type of the input");
                }
            }
        }
    }
    if let Some(it) = &signature.variadic {
        refuse(it, "a function takes one input");
    }
    errors
}
