//! `warmup` and `warmup(limit = 1000, batch = 200, order = "title desc")`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{Meta, Token, punctuated::Punctuated};

use crate::{
    errors::Errors,
    field::{Fields, column_name},
    literal::{self, name_of},
    suggestion::{did_you_mean, quoted},
};

const ALLOWED: [&str; 3] = ["limit", "batch", "order"];

/// Rows to load at start-up. What is `None` is left to the library's default.
#[derive(Default)]
pub(crate) struct WarmUp {
    limit: Option<u64>,
    batch: Option<u64>,
    order: Option<Order>,
}

struct Order {
    column: Ident,
    descending: bool,
}

impl WarmUp {
    pub(crate) fn parse(meta: &Meta, fields: &Fields, errors: &mut Errors) -> Self {
        let mut warm_up = Self::default();
        let list = match meta {
            Meta::Path(_) => return warm_up,
            Meta::List(list) => list,
            Meta::NameValue(_) => {
                let message = "expected `warmup` or `warmup(limit = 1000, batch = 200, order = \"title\")`";
                errors.push(syn::Error::new_spanned(meta, message));
                return warm_up;
            }
        };
        let parsed = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        let mut seen = Vec::new();
        for option in errors.keep(parsed).into_iter().flatten() {
            let name = name_of(option.path());
            if seen.contains(&name) {
                errors.push(syn::Error::new_spanned(option.path(), format!("`{name}` is declared twice")));
                continue;
            }
            errors.keep(warm_up.set(&name, &option, fields));
            seen.push(name);
        }
        warm_up
    }

    fn set(&mut self, name: &str, option: &Meta, fields: &Fields) -> syn::Result<()> {
        match name {
            "limit" => self.limit = Some(literal::count(option, "limit = 1000")?),
            "batch" => self.batch = Some(literal::count(option, "batch = 200")?),
            "order" => self.order = Some(Order::parse(option, fields)?),
            _ => {
                let hint = did_you_mean(name, ALLOWED);
                let message = format!("unknown option `{name}`{hint}; `warmup` takes {}", quoted(ALLOWED));
                return Err(syn::Error::new_spanned(option.path(), message));
            }
        }
        Ok(())
    }
}

impl Order {
    fn parse(option: &Meta, fields: &Fields) -> syn::Result<Self> {
        let text = literal::string(option, "order = \"title desc\"")?;
        let value = text.value();
        let words: Vec<&str> = value.split_whitespace().collect();
        let (field, descending) = match words[..] {
            [field] | [field, "asc"] => (field, false),
            [field, "desc"] => (field, true),
            _ => {
                let message = format!(
                    "{value:?} is not an order, expected one field with or without a direction: \
                     \"title\", \"title asc\" or \"title desc\""
                );
                return Err(syn::Error::new(text.span(), message));
            }
        };
        Ok(Self { column: fields.column(field, &text)?, descending })
    }
}

impl ToTokens for WarmUp {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let limit = self.limit.map(|limit| quote!(limit: ::core::option::Option::Some(#limit),));
        let batch = self.batch.map(|batch| quote!(batch: #batch,));
        let order = self.order.as_ref().map(|Order { column, descending }| {
            let name = column_name(column);
            quote!(order: ::core::option::Option::Some((#name, #descending)),)
        });
        // With all three given, "and the rest" would be a clippy warning in the user's crate.
        let rest = (limit.is_none() || batch.is_none() || order.is_none())
            .then(|| quote!(..::core::default::Default::default()));
        tokens.extend(quote!(::sea_orm_cache::WarmUpPolicy { #limit #batch #order #rest }));
    }
}
