//! Module generated beside a function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, ItemFn, ReturnType, spanned::Spanned};

/// Way in which the host calls a function.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// With bytes.
    Bytes,
    /// With HTTP requests.
    Http,
}

impl Kind {
    /// Returns the attribute as it is written.
    pub(crate) const fn attribute(self) -> &'static str {
        match self {
            Self::Bytes => "#[function]",
            Self::Http => "#[http]",
        }
    }

    /// Returns the functions of `fusebox_guest::glue` that convert input and output, and the name of the export.
    fn parts(self) -> (Ident, Ident, &'static str) {
        let name = |name| Ident::new(name, Span::call_site());
        match self {
            Self::Bytes => (name("input"), name("output"), "fusebox_handle"),
            Self::Http => (name("request"), name("response"), "fusebox_http"),
        }
    }
}

/// Returns the glue of a function.
///
/// All of it except the export is compiled natively as well, so every build detects types that the host cannot pass.
/// Errors about such a type point at it, since the expression that requires the trait carries its span. The name of the
/// module appears in the error about a second function in the same module; a second one elsewhere in the crate collides
/// with the name of the export.
pub(crate) fn of(kind: Kind, function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let (mut from, into, export) = kind.parts();
    let wrong_target = format!("a {} is built for the target wasm32-unknown-unknown", kind.attribute());
    let output = match &function.sig.output {
        ReturnType::Default => Ident::new("output", Span::call_site()),
        ReturnType::Type(_, ty) => Ident::new("output", ty.span()),
    };
    let call = match function.sig.inputs.first() {
        Some(FnArg::Typed(argument)) => {
            from.set_span(argument.ty.span());
            let input = quote_spanned!(argument.ty.span()=> ::fusebox_guest::glue::#from(bytes)?);
            quote!(super::#name(#input))
        }
        _ => quote!({
            let () = ::fusebox_guest::glue::#from(bytes)?;
            super::#name()
        }),
    };
    quote! {
        mod __fusebox_function_of_this_module {
            #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the export only"))]
            fn reply(bytes: &mut ::std::vec::Vec<u8>) -> ::fusebox_guest::glue::Reply {
                let #output = #call;
                ::fusebox_guest::glue::#into(#output)
            }

            #[cfg(all(target_arch = "wasm32", not(target_os = "unknown")))]
            ::core::compile_error!(#wrong_target);

            #[cfg(target_arch = "wasm32")]
            #[unsafe(export_name = #export)]
            extern "C" fn handle(_ptr: *mut u8, _len: usize) -> *const ::fusebox_guest::glue::Record {
                ::fusebox_guest::glue::handle(reply)
            }
        }
    }
}
