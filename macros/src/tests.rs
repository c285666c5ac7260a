//! What the macros make of whole items: the code they emit, and the errors they report.

mod cached_fn;
mod emits;
mod refuses;

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::expand;

/// A model with these struct attributes, and each kind of field that matters here.
fn book(attributes: TokenStream) -> TokenStream {
    quote! {
        #[derive(Clone)]
        #[sea_orm(table_name = "book")]
        #attributes
        pub struct Model {
            #[sea_orm(primary_key)]
            pub id: i64,
            pub shelf_id: i64,
            #[sea_orm(column_name = "published_by", indexed)]
            pub publisher_id: i64,
            pub title: String,
            #[sea_orm(column_type = "Text", enum_name = "Genre")]
            pub r#type: String,
            #[sea_orm(ignore)]
            pub cover: String,
        }
    }
}

fn expanded(input: TokenStream) -> String {
    let input = syn::parse2(input).expect("the test's struct parses");
    expand(&input).expect("the declaration is good").to_string()
}

fn messages(input: TokenStream) -> Vec<String> {
    let input = syn::parse2(input).expect("the test's struct parses");
    let error = expand(&input).expect_err("the declaration is bad");
    error.into_iter().map(|error| error.to_string()).collect()
}

/// The emitted policy, as the calls that follow `EntityPolicy::new()`.
fn policy(attributes: TokenStream) -> String {
    let code = expanded(book(attributes));
    let new = quote!(::sea_orm_cache::EntityPolicy::new()).to_string();
    let (_, calls) = code.split_once(&new).expect("a policy is built");
    let registration = quote!(::sea_orm_cache::__private::inventory::submit!).to_string();
    let (calls, _) = calls.split_once(&registration).expect("the entity is registered");
    let calls = calls.trim_end().strip_suffix("} }").expect("the function and the implementation end");
    calls.trim().to_owned()
}
