//! The attribute `#[fusebox_guest::function]`. It leaves the function unchanged and adds the glue beside it, which
//! calls ordinary code in `fusebox_guest::glue`.

mod check;
mod glue;

use proc_macro::TokenStream;
use quote::quote;

/// Makes this function the module's entry point. It takes at most one argument; see the documentation of
/// `fusebox_guest` for the supported types.
#[proc_macro_attribute]
pub fn function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let beside = match check::function(arguments.into(), item.clone()) {
        Ok(function) => glue::of(&function),
        Err(error) => error.into_compile_error(),
    };
    quote!(#item #beside).into()
}
