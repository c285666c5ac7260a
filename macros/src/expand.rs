//! From the struct to the code that the derive emits.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{Data, DeriveInput, FieldsNamed};

use crate::{
    declaration::Declaration,
    errors::Errors,
    field::{Fields, column_name},
};

/// The implementation of `CacheEntity` and the registration, or all that is wrong.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    // `#[sea_orm::model]` copies the derives and attributes of `Model` to the `ModelEx` that it
    // generates. The entity is the same one, so the declaration on `Model` has said it all.
    if input.ident == "ModelEx" {
        return Ok(TokenStream::new());
    }
    let named = model_fields(input)?;
    let mut errors = Errors::default();
    refuse_attributes_on_fields(named, &mut errors);
    let fields = Fields::read(named);
    let declaration = Declaration::read(&input.attrs, &fields, &mut errors);
    errors.finish()?;
    Ok(generate(&declaration, &fields))
}

fn model_fields(input: &DeriveInput) -> syn::Result<&FieldsNamed> {
    let named = match &input.data {
        Data::Struct(data) => match &data.fields {
            syn::Fields::Named(named) => Ok(named),
            syn::Fields::Unnamed(_) | syn::Fields::Unit => Err("a struct without named fields"),
        },
        Data::Enum(_) => Err("an enum"),
        Data::Union(_) => Err("a union"),
    };
    let named = named.map_err(|what| {
        let message =
            format!("CacheEntity goes on an entity's `Model`, a struct with named fields, not on {what}");
        syn::Error::new_spanned(&input.ident, message)
    })?;
    if input.generics.params.is_empty() {
        return Ok(named);
    }
    let message = "CacheEntity goes on an entity's `Model`, which cannot be generic";
    Err(syn::Error::new_spanned(&input.generics, message))
}

/// The compiler lets a derive's attribute stand on a field; a policy there would be lost silently.
fn refuse_attributes_on_fields(named: &FieldsNamed, errors: &mut Errors) {
    let attributes = named.named.iter().flat_map(|field| &field.attrs);
    for attribute in attributes.filter(|attribute| attribute.path().is_ident("cache")) {
        let message = "`#[cache(...)]` goes on the struct, where attributes name fields: \
                       `#[cache(index(\"shelf_id\"))]`";
        errors.push(syn::Error::new_spanned(attribute, message));
    }
}

fn generate(declaration: &Declaration, fields: &Fields) -> TokenStream {
    let ttl = declaration.ttl.as_ref().map(|ttl| quote!(.ttl(#ttl)));
    let negative_ttl = declaration.negative_ttl.as_ref().map(|ttl| quote!(.negative_ttl(#ttl)));
    let revalidate = declaration.stale_while_revalidate.as_ref();
    let revalidate = revalidate.map(|ttl| quote!(.stale_while_revalidate(#ttl)));
    let on_error = declaration.stale_if_error.as_ref().map(|ttl| quote!(.stale_if_error(#ttl)));
    let refresh_early = declaration.refresh_early.map(|beta| quote!(.refresh_early(#beta)));
    let namespace = declaration.namespace.as_ref().map(|name| quote!(.namespace(#name)));
    let tags = declaration.tags.iter().map(|template| quote!(.tag(#template)));
    let index = declaration.index.iter().map(column_name).map(|name| quote!(.index(#name)));
    let purges = declaration.purges.iter().map(|(kind, tag)| match kind {
        None => quote!(.purges(#tag)),
        Some(kind) => {
            let kind = Ident::new(kind, Span::call_site());
            quote!(.purges_on(::sea_orm_cache::WriteKind::#kind, #tag))
        }
    });
    let also_writes = declaration.also_writes.iter().map(|table| quote!(.also_writes(#table)));
    let harmless_triggers = declaration.harmless_triggers.then(|| quote!(.harmless_triggers()));
    let precise = declaration.precise.map(|limit| quote!(.precise(#limit)));
    let warm_up = declaration.warm_up.as_ref().map(|warm_up| quote!(.warm_up(#warm_up)));
    let write_through = declaration.write_through.then(|| quote!(.write_through()));
    let compress_above = declaration.compress_above.map(|bytes| quote!(.compress_above(#bytes as usize)));
    let encrypted = declaration.encrypted.then(|| quote!(.encrypted()));
    let skip = declaration.skip.then(|| quote!(.skip()));
    // Asked of every type that may be a document of the user's own; a type that serde does not read
    // answers nothing.
    let documents: Vec<_> = fields
        .documents()
        .map(|(variant, ty)| {
            let column = column_name(variant);
            quote!(.document(#column, &(&::sea_orm_cache::__private::TypeProbe::<#ty>::new()).fields()))
        })
        .collect();
    let probes = (!documents.is_empty()).then(|| {
        quote! {
            // A type answers by one of the two; the other import is then unused.
            #[allow(unused_imports)]
            use ::sea_orm_cache::__private::{NoFields as _, SerdeFields as _};
        }
    });
    quote! {
        #[automatically_derived]
        impl ::sea_orm_cache::CacheEntity for Entity {
            fn cache_policy() -> ::sea_orm_cache::EntityPolicy {
                #probes
                ::sea_orm_cache::EntityPolicy::new()
                    #ttl #negative_ttl #revalidate #on_error #refresh_early #namespace #(#tags)* #(#index)*
                    #(#purges)*
                    #(#also_writes)* #harmless_triggers #precise #warm_up #write_through
                    #compress_above #encrypted #skip
                    #(#documents)*
            }
        }

        ::sea_orm_cache::__private::inventory::submit! {
            ::sea_orm_cache::EntityRegistration::new(::sea_orm_cache::EntityDescriptor::of::<Entity>)
        }
    }
}
