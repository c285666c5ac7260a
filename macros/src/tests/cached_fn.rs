use proc_macro2::TokenStream;
use quote::quote;

use crate::cached_fn::expand;

fn messages(attribute: TokenStream, function: TokenStream) -> Vec<String> {
    let error = expand(attribute, function).expect_err("the declaration is bad");
    error.into_iter().map(|error| error.to_string()).collect()
}

fn price() -> TokenStream {
    quote! { async fn price(db: &CachedConnection, currency: &str, day: u32) -> Result<u8, Error> { todo!() } }
}

/// The single message for this attribute on a function that is right.
macro_rules! message {
    ($($attribute:tt)*) => {{
        let messages = messages(quote!($($attribute)*), price());
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.into_iter().next().unwrap_or_default()
    }};
}

/// The single message for this function without attributes.
macro_rules! on {
    ($($function:tt)*) => {{
        let messages = messages(TokenStream::new(), quote!($($function)*));
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.into_iter().next().unwrap_or_default()
    }};
}

fn emitted(attribute: TokenStream) -> String {
    expand(attribute, price()).expect("the declaration is good").to_string()
}

#[test]
fn what_is_declared_is_what_is_asked_with() {
    let code = emitted(quote! {
        ttl = "5m", key = "price:{currency}:{day}", tags("currency:{currency}", "{{x}}"), tables("rate")
    });
    for part in [
        quote!(::sea_orm_cache::__private::cache_of(&db)),
        quote!(
            ::sea_orm_cache::__private::TemplateKey::new()
                .text("price:")
                .value(&currency)
                .text(":")
                .value(&day)
                .finish()
        ),
        quote!(.ttl(::sea_orm_cache::TtlSpec::For(::core::time::Duration::new(300u64, 0u32)))),
        quote!(.table("rate")),
        quote!(.tag(::std::format!("currency:{}", currency))),
        quote!(.tag(::std::format!("{{x}}",))),
    ] {
        assert!(code.contains(&part.to_string()), "{part}\nin {code}");
    }
}

#[test]
fn without_a_key_all_arguments_but_the_cache_are_in_it() {
    let code = emitted(quote!());
    assert!(code.contains(&quote!(.argument(&currency).argument(&day).finish()).to_string()), "{code}");
    let code = emitted(quote!(skip("day")));
    assert!(code.contains(&quote!(.argument(&currency).finish()).to_string()), "{code}");
    let code = emitted(quote!(cache = "crate::CACHE", skip("db")));
    assert!(code.contains(&quote!(cache_of(&crate::CACHE)).to_string()), "{code}");
}

#[test]
fn wrong_attributes_say_what_is_allowed() {
    let allowed = "`ttl`, `key`, `tags`, `tables`, `cache`, `skip`, `stale_while_revalidate`, `stale_if_error`, `refresh_early`";
    assert_eq!(message!(expire = "1m"), format!("unknown attribute `expire`; `cached_fn` takes {allowed}"));
    assert_eq!(
        message!(tag("a")),
        format!("unknown attribute `tag` (did you mean `tags`?); `cached_fn` takes {allowed}")
    );
    assert!(message!(ttl = "10").starts_with("\"10\" is not a time to live"));
    assert_eq!(message!(ttl = "5m", ttl = "6m"), "`ttl` is declared twice");
    assert_eq!(message!(key("a")), "expected a string: `key = \"price:{currency}\"`");
    assert!(message!(cache = "db.").starts_with("expected an expression, such as"));
}

#[test]
fn a_key_that_would_give_one_call_the_answer_of_another_is_refused() {
    assert!(message!(key = "price:{currency}").starts_with("`day` is not in the key, so calls that differ"));
    for template in ["{currency}{day}", "{currency}x{day}", "{currency}-{day}", "{currency}%{day}"] {
        let messages = messages(quote!(key = #template), price());
        assert!(messages.len() == 1 && messages[0].contains("put a colon between them"), "{messages:?}");
    }
    assert_eq!(
        message!(key = "price:{curency}:{day}", skip("currency")),
        "no argument `curency` (did you mean `currency`?); arguments: `db`, `currency`, `day`"
    );
    assert!(message!(tags("{month}")).starts_with("no argument `month`; arguments:"));
    assert!(message!(skip("month")).starts_with("no argument `month`; arguments:"));
    assert!(message!(key = "{currency").contains("is not closed"));
}

#[test]
fn what_an_answer_may_depend_on_without_an_argument_is_asked_about() {
    let generic = quote!(
        async fn f<T: Entity, const N: usize>(cache: &Cache, id: u32) -> u8 {
            1
        }
    );
    let messages = messages(quote!(key = "one:{id}"), generic.clone());
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].starts_with("calls that differ in `T` would share an answer"), "{messages:?}");
    assert!(expand(quote!(key = "one:{id}", skip("T", "N")), generic.clone()).is_ok());
    assert!(expand(quote!(), generic).is_ok());

    let held = quote!(
        async fn f(app: &App, id: u32) -> u8 {
            1
        }
    );
    let messages = self::messages(quote!(cache = "app.cache"), held.clone());
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].starts_with("`app` is where the cache is"), "{messages:?}");
    let messages = self::messages(quote!(cache = "app.cache", key = "one:{id}"), held.clone());
    assert!(messages[0].starts_with("`app` is not in the key"), "{messages:?}");
    assert!(expand(quote!(cache = "app.cache", skip("app")), held.clone()).is_ok());
    assert!(expand(quote!(cache = "app"), held).is_ok(), "it is the cache, by a name of its own");
}

#[test]
fn functions_that_cannot_be_cached() {
    assert!(
        on!(
            fn f(cache: &Cache) -> u8 {
                1
            }
        )
        .starts_with("`cached_fn` goes on an async function")
    );
    assert!(
        on!(
            struct Price;
        )
        .starts_with("`cached_fn` goes on an async function")
    );
    assert!(
        on!(
            async fn f(cache: &Cache) {}
        )
        .starts_with("a function that returns nothing")
    );
    assert!(
        on!(
            async fn f(cache: &Cache) -> &str {
                ""
            }
        )
        .starts_with("what is cached is owned")
    );
    assert!(
        on!(
            async fn f(cache: &Cache) -> impl Display {
                ""
            }
        )
        .starts_with("the cache must know the type")
    );
    assert!(
        on!(
            async fn f(n: u8) -> u8 {
                n
            }
        )
        .starts_with("which cache? Take one as an argument")
    );
    assert!(
        on!(
            async fn f(a: &Cache, b: Cache) -> u8 {
                1
            }
        )
        .starts_with("which of the caches?")
    );
    assert!(
        on!(
            async fn f(cache: &Cache, (a, b): (u8, u8)) -> u8 {
                1
            }
        )
        .contains("needs a name")
    );
    assert!(
        on!(
            async fn f(&self, cache: &Cache) -> u8 {
                1
            }
        )
        .starts_with("`self` is not part of the key")
    );
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let messages = messages(quote!(ttl = "0s", key = "a{x}", tags("{y}")), price());
    assert_eq!(messages.len(), 5, "{messages:?}");
}
