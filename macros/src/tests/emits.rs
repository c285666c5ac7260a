use quote::quote;

use super::{book, expanded, policy};

#[test]
fn nothing_declared_is_all_defaults() {
    let plain = expanded(book(quote!()));
    let wanted = quote! {
        #[automatically_derived]
        impl ::sea_orm_cache::CacheEntity for Entity {
            fn cache_policy() -> ::sea_orm_cache::EntityPolicy {
                ::sea_orm_cache::EntityPolicy::new()
            }
        }

        ::sea_orm_cache::__private::inventory::submit! {
            ::sea_orm_cache::EntityRegistration::new(::sea_orm_cache::EntityDescriptor::of::<Entity>)
        }
    };
    assert_eq!(plain, wanted.to_string());
    assert_eq!(expanded(book(quote!(#[cache()]))), plain);
    assert_eq!(expanded(book(quote!(#[cache]))), plain);
}

#[test]
fn lifetimes_are_durations_or_classes() {
    let calls = policy(
        quote!(#[cache(ttl = "1m 500ms", negative_ttl = "short", stale_while_revalidate = "1s", stale_if_error = "long")]),
    );
    let wanted = quote! {
        .ttl(::sea_orm_cache::TtlSpec::For(::core::time::Duration::new(60u64, 500000000u32)))
        .negative_ttl(::sea_orm_cache::TtlSpec::Class(::sea_orm_cache::TtlClass::Short))
        .stale_while_revalidate(::sea_orm_cache::TtlSpec::For(::core::time::Duration::new(1u64, 0u32)))
        .stale_if_error(::sea_orm_cache::TtlSpec::Class(::sea_orm_cache::TtlClass::Long))
    };
    assert_eq!(calls, wanted.to_string());
}

#[test]
fn how_eagerly_entries_are_refreshed_is_a_number_or_left_to_the_crate() {
    assert_eq!(policy(quote!(#[cache(refresh_early)])), quote!(.refresh_early(1f64)).to_string());
    assert_eq!(policy(quote!(#[cache(refresh_early = 1.5)])), quote!(.refresh_early(1.5f64)).to_string());
    assert_eq!(policy(quote!(#[cache(refresh_early = 2)])), quote!(.refresh_early(2f64)).to_string());
}

#[test]
fn several_attributes_add_up() {
    let calls = policy(quote! {
        #[cache(namespace = "catalog-2", purges("report", "top_{{10}}"))]
        #[cache(purges("front page"))]
    });
    let wanted = quote! {
        .namespace("catalog-2")
        .purges("report")
        .purges("top_{10}")
        .purges("front page")
    };
    assert_eq!(calls, wanted.to_string());
}

#[test]
fn fields_are_named_by_their_column() {
    let calls =
        policy(quote!(#[cache(tags("p:{publisher_id}", "all"), index("shelf_id", "type", "r#title"))]));
    let wanted = quote! {
        .tag(::std::vec![
            ::sea_orm_cache::TagPart::Text("p:"),
            ::sea_orm_cache::TagPart::Column(
                ::sea_orm::IdenStatic::as_str(&<Entity as ::sea_orm::EntityTrait>::Column::PublisherId)
            )
        ])
        .tag(::std::vec![::sea_orm_cache::TagPart::Text("all")])
        .index(::sea_orm::IdenStatic::as_str(&<Entity as ::sea_orm::EntityTrait>::Column::ShelfId))
        .index(::sea_orm::IdenStatic::as_str(&<Entity as ::sea_orm::EntityTrait>::Column::Genre))
        .index(::sea_orm::IdenStatic::as_str(&<Entity as ::sea_orm::EntityTrait>::Column::Title))
    };
    assert_eq!(calls, wanted.to_string());
}

#[test]
fn a_raw_field_without_enum_name_is_its_name_in_camel_case() {
    let code = expanded(quote! {
        #[cache(index("type", "_hidden", "isbn_13"))]
        struct Model { r#type: String, _hidden: bool, isbn_13: String }
    });
    for variant in ["Type", "Hidden", "Isbn13"] {
        assert!(code.contains(&format!(":: Column :: {variant})")), "{variant}: {code}");
    }
}

#[test]
fn warm_up_leaves_to_the_library_what_it_does_not_say() {
    assert_eq!(
        policy(quote!(#[cache(warmup)])),
        policy(quote!(#[cache(warmup())])),
        "an empty list is no list"
    );
    let wanted = quote! {
        .warm_up(::sea_orm_cache::WarmUpPolicy {
            limit: ::core::option::Option::Some(1000u64),
            ..::core::default::Default::default()
        })
    };
    let calls = expanded(book(quote!(#[cache(warmup(limit = 1_000))])));
    assert!(calls.contains(&wanted.to_string()), "{calls}");
}

#[test]
fn warm_up_says_all() {
    let code = expanded(book(quote!(#[cache(warmup(limit = 9, batch = 2, order = "title desc"))])));
    let wanted = quote! {
        .warm_up(::sea_orm_cache::WarmUpPolicy {
            limit: ::core::option::Option::Some(9u64),
            batch: 2u64,
            order: ::core::option::Option::Some((
                ::sea_orm::IdenStatic::as_str(&<Entity as ::sea_orm::EntityTrait>::Column::Title),
                true
            )),
        })
    };
    assert!(code.contains(&wanted.to_string()), "{code}");
}

#[test]
fn a_skipped_entity_may_purge() {
    let calls = policy(quote!(#[cache(skip, purges("report"))]));
    assert_eq!(calls, quote!(.purges("report").skip()).to_string());
}

#[test]
fn literals_from_a_macro_rules_capture_are_read() {
    let captured = proc_macro2::Group::new(proc_macro2::Delimiter::None, quote!("10m"));
    assert_eq!(policy(quote!(#[cache(ttl = #captured)])), policy(quote!(#[cache(ttl = "10m")])));
}

#[test]
fn the_generated_model_ex_is_left_alone() {
    let input = quote! {
        #[cache(index("shelf_id"), nonsense)]
        struct ModelEx { shelf_id: i64, publisher: HasOne<super::publisher::Entity> }
    };
    assert_eq!(expanded(input), "");
}
