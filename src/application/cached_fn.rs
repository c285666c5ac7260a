//! What the code that `#[cached_fn]` writes calls.

use std::{convert::Infallible, fmt::Display, future::Future, marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Cache, CachedConnection, EntryOptions};

/// Where a function's cache is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a cache",
    label = "expected a `Cache` or a `CachedConnection`",
    note = "say where the cache is: `#[cached_fn(cache = \"self.db.cache()\")]`"
)]
pub trait HasCache {
    /// The cache.
    fn its_cache(&self) -> &Cache;
}

impl HasCache for Cache {
    fn its_cache(&self) -> &Cache {
        self
    }
}

impl HasCache for CachedConnection {
    fn its_cache(&self) -> &Cache {
        self.cache()
    }
}

impl<C: HasCache + ?Sized> HasCache for &C {
    fn its_cache(&self) -> &Cache {
        (**self).its_cache()
    }
}

impl<C: HasCache + ?Sized> HasCache for Arc<C> {
    fn its_cache(&self) -> &Cache {
        (**self).its_cache()
    }
}

/// The cache, as a handle of its own: what holds it may move into the function's body.
pub fn cache_of(from: &(impl HasCache + ?Sized)) -> Cache {
    from.its_cache().clone()
}

/// The key made of a function's place and all its arguments.
pub struct ArgumentKey {
    path: String,
    hasher: blake3::Hasher,
    writable: bool,
}

impl ArgumentKey {
    /// `marker` is the type name of a function `__here` inside of the one that is cached.
    pub fn new(marker: &str) -> Self {
        let path = marker.replace("::{{closure}}", "");
        let path = path.strip_suffix("::__here").unwrap_or(&path);
        // The part before the colon is what answers are dropped by.
        Self { path: path.replace("::", "."), hasher: blake3::Hasher::new(), writable: true }
    }

    /// One more argument. MessagePack says of what kind a value is and where it ends; so no two lists of
    /// arguments are written alike.
    #[must_use]
    pub fn argument<T: Serialize + ?Sized>(mut self, argument: &T) -> Self {
        match rmp_serde::to_vec_named(argument) {
            Ok(bytes) => {
                self.hasher.update(&(bytes.len() as u64).to_le_bytes());
                self.hasher.update(&bytes);
            }
            Err(error) => {
                tracing::warn!(function = self.path, %error, "an argument cannot be part of a key");
                self.writable = false;
            }
        }
        self
    }

    /// `None` if an argument could not be written: then the function runs.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        let hash = self.hasher.finalize().to_hex();
        self.writable.then(|| format!("{}:{}", self.path, &hash[..32]))
    }
}

/// The key by a template.
#[derive(Default)]
pub struct TemplateKey(String);

impl TemplateKey {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Text of the template.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.push_str(text);
        self
    }

    /// What a placeholder stands for: letters, digits, `_`, `-` and `.` as they are, the rest as `%XX`,
    /// so that no value is taken for the text around it.
    #[must_use]
    pub fn value(mut self, value: &(impl Display + ?Sized)) -> Self {
        use std::fmt::Write as _;
        for byte in value.to_string().bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') {
                self.0.push(char::from(byte));
            } else {
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
        self
    }

    /// The key; there is always one.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        Some(self.0)
    }
}

/// A function's return type, asked whether it is a `Result`, by whatever name.
pub struct Returned<R>(PhantomData<fn() -> R>);

impl<R> Returned<R> {
    /// Asks.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "nobody needs one")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// How to fetch what is a `Result`: its errors are not stored.
pub struct Fallible;

/// How to fetch anything else.
pub struct Plain;

/// The first choice of the compiler.
pub trait ReturnsResult {
    /// It is a `Result`.
    fn way(&self) -> Fallible;
}

/// The second choice of the compiler: it takes one reference more.
pub trait ReturnsPlain {
    /// It is none.
    fn way(&self) -> Plain;
}

impl<T, E> ReturnsResult for Returned<Result<T, E>> {
    fn way(&self) -> Fallible {
        Fallible
    }
}

impl<R> ReturnsPlain for &Returned<R> {
    fn way(&self) -> Plain {
        Plain
    }
}

impl Fallible {
    /// What the cache has, or the body's `Ok`, stored.
    pub async fn fetch<T, E>(
        self,
        cache: Cache,
        key: Option<String>,
        options: EntryOptions,
        body: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        match key {
            Some(key) => cache.get_or_load(&key, options, || body).await,
            None => body.await,
        }
    }
}

impl Plain {
    /// What the cache has, or what the body returns, stored.
    pub async fn fetch<T>(
        self,
        cache: Cache,
        key: Option<String>,
        options: EntryOptions,
        body: impl Future<Output = T>,
    ) -> T
    where
        T: Serialize + DeserializeOwned,
    {
        let body = async { Ok::<T, Infallible>(body.await) };
        let Ok(value) = Fallible.fetch(cache, key, options, body).await;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(arguments: &[&str]) -> String {
        let key = ArgumentKey::new("shop::prices::price::{{closure}}::__here");
        arguments.iter().fold(key, |key, argument| key.argument(argument)).finish().unwrap()
    }

    #[test]
    fn no_two_lists_of_arguments_are_one_key() {
        let lists: [&[&str]; 6] = [&[], &[""], &["", ""], &["ab", "c"], &["a", "bc"], &["abc"]];
        let keys: std::collections::HashSet<_> = lists.iter().map(|list| key(list)).collect();
        assert_eq!(keys.len(), lists.len());
        assert!(keys.iter().all(|key| key.starts_with("shop.prices.price:")), "{keys:?}");
        let of = |key: ArgumentKey| key.finish().unwrap();
        assert_ne!(of(ArgumentKey::new("f").argument(&1)), of(ArgumentKey::new("f").argument("1")));
        assert_ne!(
            of(ArgumentKey::new("f").argument(&Some(1))),
            of(ArgumentKey::new("f").argument(&None::<u8>))
        );
    }

    #[test]
    fn no_value_is_taken_for_the_text_around_it() {
        let of =
            |a: &str, b: &str| TemplateKey::new().text("p:").value(a).text(":").value(b).finish().unwrap();
        assert_eq!(of("EUR", "2026-01-31"), "p:EUR:2026-01-31");
        assert_ne!(of("x:y", "z"), of("x", "y:z"));
        assert_ne!(of("x%3Ay", "z"), of("x:y", "z"));
    }

    #[test]
    #[expect(clippy::needless_borrow, reason = "as the macro writes it, for both kinds")]
    fn a_result_by_any_name_is_one() {
        type Answer = Result<u8, String>;
        let _: Fallible = (&Returned::<Answer>::new()).way();
        let _: Plain = (&Returned::<Option<u8>>::new()).way();
    }
}
