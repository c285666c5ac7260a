use quote::quote;

use super::{book, messages};

/// The single message that `#[cache($($declaration)*)]` gets on the book.
macro_rules! message {
    ($($declaration:tt)*) => {{
        let messages = messages(book(quote!(#[cache($($declaration)*)])));
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.into_iter().next().unwrap_or_default()
    }};
}

const COLUMNS: &str = "fields with a column: `id`, `shelf_id`, `publisher_id`, `title`, `type`";

#[test]
fn unknown_attributes() {
    let allowed = "`ttl`, `negative_ttl`, `stale_while_revalidate`, `stale_if_error`, `refresh_early`, \
                   `namespace`, `tags`, `index`, `purges`, `purges_on_insert`, `purges_on_update`, `purges_on_delete`, `also_writes`, `harmless_triggers`, `precise`, \
                   `warmup`, `write_through`, `compress_above`, `encrypted`, `skip`";
    assert_eq!(message!(expire = "1m"), format!("unknown attribute `expire`; `cache` takes {allowed}"));
    assert_eq!(
        message!(warm_up(limit = 1)),
        format!("unknown attribute `warm_up` (did you mean `warmup`?); `cache` takes {allowed}")
    );
    assert!(message!(serde::skip).starts_with("unknown attribute `serde::skip`"));
}

#[test]
fn wrong_shapes_say_the_right_one() {
    assert_eq!(message!(ttl = 600), "expected a string: `ttl = \"10m\"`");
    assert_eq!(message!(ttl("10m")), "expected a string: `ttl = \"10m\"`");
    assert_eq!(message!(ttl), "expected a string: `ttl = \"10m\"`");
    assert_eq!(message!(index = "shelf_id"), "expected a list of strings: `index(\"shelf_id\")`");
    assert_eq!(message!(index(shelf_id)), "expected strings in quotes: `index(\"shelf_id\")`");
    assert_eq!(message!(tags()), "expected at least one string: `tags(\"publisher:{publisher_id}\")`");
    assert_eq!(message!(skip = true), "expected no value");
    for message in
        [message!(refresh_early = 0), message!(refresh_early = "1"), message!(refresh_early = 1.5f32)]
    {
        assert_eq!(message, "expected a number above 0: `refresh_early = 1.5`");
    }
    assert!(message!(warmup = 10).contains("`warmup(limit = 1000"));
    assert!(messages(book(quote!(#[cache = "10m"])))[0].starts_with("expected `#[cache(...)]`"));
}

#[test]
fn fields_that_cannot_be_named() {
    assert_eq!(
        message!(tags("p:{publisherid}")),
        format!("no field `publisherid` (did you mean `publisher_id`?); {COLUMNS}")
    );
    assert_eq!(message!(index("author")), format!("no field `author`; {COLUMNS}"));
    assert_eq!(message!(index("cover")), format!("field `cover` has no column in the table; {COLUMNS}"));
    assert_eq!(
        message!(warmup(order = "titel")),
        format!("no field `titel` (did you mean `title`?); {COLUMNS}")
    );
}

#[test]
fn relations_have_no_column() {
    let messages = messages(quote! {
        #[cache(index("author"))]
        struct Model { id: i64, author: sea_orm::entity::prelude::HasOne<super::author::Entity> }
    });
    assert_eq!(messages, ["field `author` has no column in the table; fields with a column: `id`"]);
}

#[test]
fn templates_among_fixed_tags() {
    assert!(
        message!(purges("shelf:{shelf_id}")).starts_with("`{shelf_id}` makes this a template, but `purges`")
    );
    assert!(message!(purges("shelf:{")).contains("is not closed"));
}

#[test]
fn namespaces_that_would_not_fit_in_a_key() {
    assert!(message!(namespace = "").starts_with("a namespace cannot be empty"));
    assert!(message!(namespace = "a:b").starts_with("':' cannot stand in a namespace"));
}

#[test]
fn warm_up_options() {
    assert_eq!(
        message!(warmup(limits = 10)),
        "unknown option `limits` (did you mean `limit`?); `warmup` takes `limit`, `batch`, `order`"
    );
    assert_eq!(message!(warmup(limit = 1, limit = 2)), "`limit` is declared twice");
    assert!(message!(warmup(order = "title, id")).contains("is not an order"));
    assert!(message!(warmup(order = "title down")).contains("is not an order"));
    assert!(message!(warmup(order = "")).contains("is not an order"));
    let count = "expected a whole number above 0: `batch = 200`";
    assert_eq!(message!(warmup(batch = 0)), count);
    assert_eq!(message!(warmup(batch = -1)), count);
    assert_eq!(message!(warmup(batch = "200")), count);
    assert_eq!(message!(warmup(batch = 200i8)), count);
    assert_eq!(message!(warmup(batch = 99999999999999999999)), count);
}

#[test]
fn repetitions() {
    assert_eq!(message!(ttl = "1m", ttl = "2m"), "`ttl` is declared twice");
    assert_eq!(messages(book(quote!(#[cache(skip)] #[cache(skip)]))), ["`skip` is declared twice"]);
    assert_eq!(
        messages(book(quote!(#[cache(index("shelf_id"))] #[cache(index("title", "shelf_id"))]))),
        ["\"shelf_id\" is declared twice in `index`"]
    );
}

#[test]
fn skip_beside_what_it_makes_void() {
    let messages = messages(book(quote!(#[cache(ttl = "1m", skip, warmup, purges("report"))])));
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].starts_with("`ttl` has no effect beside `skip`"));
    assert!(messages[1].starts_with("`warmup` has no effect beside `skip`"));
}

#[test]
fn all_errors_are_reported_together() {
    let messages = messages(book(quote! {
        #[cache(tll = "1m", negative_ttl = "0s", tags("{a}", "{b", "{title}"))]
        #[cache(index("a", "shelf_id"), warmup(limit = 0, order = "a"))]
    }));
    assert_eq!(messages.len(), 7, "{messages:#?}");
}

#[test]
fn a_policy_on_a_field() {
    let messages = messages(quote!(
        struct Model {
            #[cache(skip)]
            id: i64,
        }
    ));
    assert!(messages[0].starts_with("`#[cache(...)]` goes on the struct"), "{messages:?}");
}

#[test]
fn what_is_no_model() {
    for (input, what) in [
        (
            quote!(
                enum Model {
                    A,
                }
            ),
            "not on an enum",
        ),
        (quote!(union Model { a: u8 }), "not on a union"),
        (
            quote!(
                struct Model(i64);
            ),
            "not on a struct without named fields",
        ),
        (
            quote!(
                struct Model;
            ),
            "not on a struct without named fields",
        ),
        (
            quote!(
                struct Model<T> {
                    id: T,
                }
            ),
            "cannot be generic",
        ),
    ] {
        let messages = messages(input);
        assert_eq!(messages.len(), 1);
        assert!(messages[0].ends_with(what), "{messages:?}");
    }
}
