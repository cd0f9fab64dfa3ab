//! The module that is put beside a function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, ItemFn, ReturnType, spanned::Spanned};

/// The glue of a function.
///
/// All of it but the export is compiled natively too, so that a type the host could not hand over is found by every
/// build. Errors about such a type point at it, since the expression that needs the trait has its span. The name of the
/// module is what a second function beside the first is told about; one elsewhere in the crate meets the export's name.
pub(crate) fn of(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let output = match &function.sig.output {
        ReturnType::Default => Ident::new("output", Span::call_site()),
        ReturnType::Type(_, ty) => Ident::new("output", ty.span()),
    };
    let call = match function.sig.inputs.first() {
        Some(FnArg::Typed(argument)) => {
            let input = quote_spanned!(argument.ty.span()=> ::fusebox_guest::glue::input(bytes)?);
            quote!(super::#name(#input))
        }
        _ => quote!({
            let () = ::fusebox_guest::glue::input(bytes)?;
            super::#name()
        }),
    };
    quote! {
        mod __fusebox_function_of_this_module {
            #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the export only"))]
            fn reply(bytes: &mut ::std::vec::Vec<u8>) -> ::fusebox_guest::glue::Reply {
                let #output = #call;
                ::fusebox_guest::glue::output(#output)
            }

            #[cfg(all(target_arch = "wasm32", not(target_os = "unknown")))]
            ::core::compile_error!("a #[function] is built for the target wasm32-unknown-unknown");

            #[cfg(target_arch = "wasm32")]
            #[unsafe(export_name = "fusebox_handle")]
            extern "C" fn handle(_ptr: *mut u8, _len: usize) -> *const ::fusebox_guest::glue::Record {
                ::fusebox_guest::glue::handle(reply)
            }
        }
    }
}
