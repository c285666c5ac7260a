//! Tag templates: `publisher:{publisher_id}`, with `{{` and `}}` for the braces themselves.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::LitStr;

use crate::field::{Fields, column_name};

/// A tag of which each placeholder is a column of the entity.
pub(crate) struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Column(Ident),
}

/// A piece of the text, before anyone asked which fields there are.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Field(String),
}

impl Template {
    pub(crate) fn parse(literal: &LitStr, fields: &Fields) -> syn::Result<Self> {
        let parts = split(literal)?
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => Ok(Part::Text(text)),
                Piece::Field(field) => fields.column(&field, literal).map(Part::Column),
            })
            .collect::<syn::Result<_>>()?;
        Ok(Self { parts })
    }
}

/// The text of a tag without placeholders.
pub(crate) fn fixed(literal: &LitStr) -> syn::Result<String> {
    split(literal)?
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => Ok(text),
            // A bulk or raw write purges without having seen the rows, so no value is at hand.
            Piece::Field(field) => Err(syn::Error::new(
                literal.span(),
                format!(
                    "`{{{field}}}` makes this a template, but `purges` takes fixed tag names: \
                     any write to the table purges them, whichever rows it touched"
                ),
            )),
        })
        .collect()
}

/// A `*` stands for all tags that begin alike, and only at the end of a part.
pub(crate) fn check_pattern(tag: String, literal: &LitStr) -> syn::Result<String> {
    let stem = tag.strip_suffix(":*");
    let fine = match stem {
        Some(stem) => !stem.is_empty() && !stem.contains('*'),
        None => !tag.contains('*'),
    };
    if fine {
        return Ok(tag);
    }
    let message = format!(
        "{tag:?}: `*` can only stand for all names behind a colon, at the end: `purges(\"analytics:*\")`"
    );
    Err(syn::Error::new(literal.span(), message))
}

pub(crate) fn split(literal: &LitStr) -> syn::Result<Vec<Piece>> {
    let source = literal.value();
    pieces(&source).map_err(|why| syn::Error::new(literal.span(), why))
}

fn pieces(source: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = source.chars();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.as_str().starts_with(c) => {
                rest.next();
                text.push(c);
            }
            '{' => {
                let (field, after) = rest.as_str().split_once('}').ok_or_else(|| unclosed(source))?;
                if field.contains('{') {
                    return Err(unclosed(source));
                }
                if field.is_empty() {
                    return Err(format!(
                        "`{{}}` in {source:?} names no field; a brace itself is written `{{{{` or `}}}}`"
                    ));
                }
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Field(field.to_owned()));
                rest = after.chars();
            }
            '}' => {
                return Err(format!("`}}` in {source:?} closes nothing; a brace itself is written `}}}}`"));
            }
            _ => text.push(c),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    if pieces.is_empty() {
        return Err("a tag cannot be empty".to_owned());
    }
    Ok(pieces)
}

fn unclosed(source: &str) -> String {
    format!("`{{` in {source:?} is not closed: expected `{{field}}`; a brace itself is written `{{{{`")
}

impl ToTokens for Template {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => quote!(::sea_orm_cache::TagPart::Text(#text)),
            Part::Column(column) => {
                let name = column_name(column);
                quote!(::sea_orm_cache::TagPart::Column(#name))
            }
        });
        tokens.extend(quote!(::std::vec![#(#parts),*]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn field(field: &str) -> Piece {
        Piece::Field(field.to_owned())
    }

    #[test]
    fn text_and_fields_are_told_apart() {
        assert_eq!(pieces("catalog"), Ok(vec![text("catalog")]));
        assert_eq!(pieces("{id}"), Ok(vec![field("id")]));
        assert_eq!(pieces("p:{a}/{b}!"), Ok(vec![text("p:"), field("a"), text("/"), field("b"), text("!")]));
        assert_eq!(pieces("größe:{größe}"), Ok(vec![text("größe:"), field("größe")]));
    }

    #[test]
    fn doubled_braces_are_text() {
        assert_eq!(pieces("{{a}}"), Ok(vec![text("{a}")]));
        assert_eq!(pieces("{{{a}}}"), Ok(vec![text("{"), field("a"), text("}")]));
    }

    #[test]
    fn bad_braces_are_refused() {
        for (source, why) in [
            ("p:{id", "is not closed"),
            ("p:{a{b}", "is not closed"),
            ("{", "is not closed"),
            ("p:id}", "closes nothing"),
            ("p:{}", "names no field"),
            ("", "cannot be empty"),
        ] {
            let error = pieces(source).expect_err(source);
            assert!(error.contains(why), "{source}: {error}");
        }
    }
}
