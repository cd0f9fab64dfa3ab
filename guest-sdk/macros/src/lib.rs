//! The attributes `#[fusebox_guest::function]` and `#[fusebox_guest::http]`. They leave the function unchanged and add
//! the glue beside it, which calls ordinary code in `fusebox_guest::glue`.

mod check;
mod glue;

use proc_macro::TokenStream;
use quote::quote;

use glue::Kind;

/// Makes this function the module's entry point. It takes at most one argument; see the documentation of
/// `fusebox_guest` for the supported types.
#[proc_macro_attribute]
pub fn function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry(Kind::Bytes, arguments, item)
}

/// Makes this function the module's entry point for HTTP requests. It takes a `fusebox_guest::http::Request` or nothing,
/// and returns a `fusebox_guest::http::Response`, or something that becomes one.
#[proc_macro_attribute]
pub fn http(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry(Kind::Http, arguments, item)
}

fn entry(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let beside = match check::function(kind, arguments.into(), item.clone()) {
        Ok(function) => glue::of(kind, &function),
        Err(error) => error.into_compile_error(),
    };
    quote!(#item #beside).into()
}
