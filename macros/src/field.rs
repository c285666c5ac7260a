//! The fields of the model, and the `Column` variants that SeaORM makes of them.

use heck::ToUpperCamelCase;
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::{Field, FieldsNamed, LitStr, Token, Type, ext::IdentExt};

use crate::suggestion::{did_you_mean, quoted};

/// Field names as a user writes them (without `r#`), each with its variant if it has a column.
pub(crate) struct Fields {
    fields: Vec<(String, Option<Ident>)>,
    documents: Vec<(Ident, Type)>,
}

impl Fields {
    pub(crate) fn read(fields: &FieldsNamed) -> Self {
        let documents = fields
            .named
            .iter()
            .filter(|field| !is_plain(&field.ty))
            .filter_map(|field| {
                let name = field.ident.as_ref()?.unraw().to_string();
                Some((variant(field, &name)?, field.ty.clone()))
            })
            .collect();
        let fields = fields
            .named
            .iter()
            .filter_map(|field| {
                let name = field.ident.as_ref()?.unraw().to_string();
                let variant = variant(field, &name);
                Some((name, variant))
            })
            .collect();
        Self { fields, documents }
    }

    /// Columns whose type may be a document of the user's own.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (&Ident, &Type)> {
        self.documents.iter().map(|(variant, ty)| (variant, ty))
    }

    /// The `Column` variant of the field called `name`, which stands in the literal `at`. The
    /// variant takes the literal's span, so that an error in generated code lands there too.
    pub(crate) fn column(&self, name: &str, at: &LitStr) -> syn::Result<Ident> {
        let plain = name.strip_prefix("r#").unwrap_or(name);
        let message = match self.fields.iter().find(|(field, _)| field == plain) {
            Some((_, Some(variant))) => {
                let mut variant = variant.clone();
                variant.set_span(at.span());
                return Ok(variant);
            }
            Some((_, None)) => format!(
                "field `{plain}` has no column in the table; fields with a column: {}",
                quoted(self.names())
            ),
            None => {
                let hint = did_you_mean(name, self.names());
                format!("no field `{name}`{hint}; fields with a column: {}", quoted(self.names()))
            }
        };
        Err(syn::Error::new(at.span(), message))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|(_, variant)| variant.is_some()).map(|(name, _)| name.as_str())
    }
}

/// The SQL name of a column, asked of the column itself: only SeaORM knows what `rename_all`,
/// `column_name` and its own case rules make of a field.
pub(crate) fn column_name(variant: &Ident) -> TokenStream {
    quote! {
        ::sea_orm::IdenStatic::as_str(&<Entity as ::sea_orm::EntityTrait>::Column::#variant)
    }
}

/// Follows `DeriveEntityModel`: upper camel case of the name unless `enum_name` overrides it, and
/// no column for ignored fields and for relations.
fn variant(field: &Field, name: &str) -> Option<Ident> {
    let mut ignored = is_relation(&field.ty);
    let mut enum_name = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("sea_orm")) {
        // What does not parse here is SeaORM's to report: the attribute is its own.
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("ignore") {
                ignored = true;
            } else if meta.path.is_ident("enum_name") {
                enum_name = Some(meta.value()?.parse::<LitStr>()?.parse::<Ident>()?);
            }
            while !meta.input.is_empty() && !meta.input.peek(Token![,]) {
                meta.input.parse::<TokenTree>()?;
            }
            Ok(())
        });
    }
    (!ignored).then(|| enum_name.unwrap_or_else(|| upper_camel(name)))
}

fn upper_camel(name: &str) -> Ident {
    let name = name.to_upper_camel_case();
    // The only keywords in upper camel case, and SeaORM's way round it.
    if name == "Self" { format_ident!("Self_") } else { Ident::new(&name, Span::call_site()) }
}

/// Types that hold no fields of their own, by name: only to keep the generated code short.
fn is_plain(ty: &Type) -> bool {
    const PLAIN: [&str; 14] = [
        "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64", "char", "String", "Uuid",
    ];
    matches!(ty, Type::Path(path) if path.path.get_ident().is_some_and(|name| PLAIN.iter().any(|p| name == p)))
}

fn is_relation(field: &Type) -> bool {
    let Type::Path(path) = field else {
        return false;
    };
    path.path
        .segments
        .last()
        .is_some_and(|last| ["BelongsTo", "HasOne", "HasMany"].iter().any(|relation| last.ident == relation))
}
