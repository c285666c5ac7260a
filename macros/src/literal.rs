//! Names and literals as they may stand in `#[cache(...)]`.

use syn::{Expr, Lit, LitInt, LitStr, Meta, Path, Token, punctuated::Punctuated, spanned::Spanned};

/// The name as written, also of a path that no attribute has, such as `serde::skip`.
pub(crate) fn name_of(path: &Path) -> String {
    let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    segments.join("::")
}

/// The string of `name = "..."`; `example` is how it should have been written.
pub(crate) fn string(meta: &Meta, example: &str) -> syn::Result<LitStr> {
    match value(meta) {
        Some(Lit::Str(text)) => Ok(text),
        _ => Err(expected(meta, &format!("a string: `{example}`"))),
    }
}

/// The number of `name = 10`, which must be above 0.
pub(crate) fn count(meta: &Meta, example: &str) -> syn::Result<u64> {
    let wanted = || format!("a whole number above 0: `{example}`");
    let Some(Lit::Int(number)) = value(meta) else {
        return Err(expected(meta, &wanted()));
    };
    match plain(&number) {
        Some(count) if count > 0 => Ok(count),
        _ => Err(syn::Error::new(number.span(), format!("expected {}", wanted()))),
    }
}

/// The number of `name = 1.5`, which must be above 0.
pub(crate) fn factor(meta: &Meta, example: &str) -> syn::Result<f64> {
    let wanted = || format!("a number above 0: `{example}`");
    let (number, span) = match value(meta) {
        Some(Lit::Int(number)) if number.suffix().is_empty() => (number.base10_parse(), number.span()),
        Some(Lit::Float(number)) if number.suffix().is_empty() => (number.base10_parse(), number.span()),
        _ => return Err(expected(meta, &wanted())),
    };
    match number {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err(syn::Error::new(span, format!("expected {}", wanted()))),
    }
}

/// The strings of `name("...", "...")`, of which there must be at least one.
pub(crate) fn strings(meta: &Meta, example: &str) -> syn::Result<Vec<LitStr>> {
    let Meta::List(list) = meta else {
        return Err(expected(meta, &format!("a list of strings: `{example}`")));
    };
    let strings = list
        .parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated)
        .map_err(|error| syn::Error::new(error.span(), format!("expected strings in quotes: `{example}`")))?;
    if strings.is_empty() {
        return Err(syn::Error::new_spanned(list, format!("expected at least one string: `{example}`")));
    }
    Ok(strings.into_iter().collect())
}

/// A bare word, without a value.
pub(crate) fn flag(meta: &Meta) -> syn::Result<()> {
    match meta {
        Meta::Path(_) => Ok(()),
        Meta::List(_) | Meta::NameValue(_) => Err(expected(meta, "no value")),
    }
}

fn plain(number: &LitInt) -> Option<u64> {
    number.suffix().is_empty().then(|| number.base10_parse().ok()).flatten()
}

fn value(meta: &Meta) -> Option<Lit> {
    let Meta::NameValue(pair) = meta else {
        return None;
    };
    let mut value = &pair.value;
    // What a `macro_rules!` captured as `$ttl:literal` arrives wrapped in an invisible group.
    while let Expr::Group(group) = value {
        value = &group.expr;
    }
    match value {
        Expr::Lit(literal) => Some(literal.lit.clone()),
        _ => None,
    }
}

/// Points at the value if there is one, else at the whole.
fn expected(meta: &Meta, what: &str) -> syn::Error {
    let message = format!("expected {what}");
    match meta {
        Meta::NameValue(pair) => syn::Error::new(pair.value.span(), message),
        Meta::List(_) | Meta::Path(_) => syn::Error::new_spanned(meta, message),
    }
}
