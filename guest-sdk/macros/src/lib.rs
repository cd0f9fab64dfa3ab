//! The attribute `#[fusebox_guest::function]`. It keeps the function as written and puts the glue beside it; what the
//! glue calls is ordinary code, in `fusebox_guest::glue`.

mod check;
mod glue;

use proc_macro::TokenStream;
use quote::quote;

/// Makes this the function that the module is. It takes nothing or one argument; the documentation of `fusebox_guest`
/// says which types it may take and return.
#[proc_macro_attribute]
pub fn function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let beside = match check::function(arguments.into(), item.clone()) {
        Ok(function) => glue::of(&function),
        Err(error) => error.into_compile_error(),
    };
    quote!(#item #beside).into()
}
