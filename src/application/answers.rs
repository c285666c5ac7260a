//! Answers that are dear: completions of a language model, reports of a service that bills by the call.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::fingerprint::push_canonical;
use crate::{Cache, CacheError, EntryOptions};

/// What is asked: of whom, what, with which options, and after which conversation.
///
/// Two that say the same are the same question, in whatever order options and the members of JSON
/// objects were given, and however a number is written (`1`, `1.0`). What was said before counts, and
/// its order does.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Asked {
    provider: String,
    prompt: Value,
    options: serde_json::Map<String, Value>,
    said: Vec<Value>,
}

impl Asked {
    /// A prompt (a text, or what the provider takes), for a provider and model such as `acme/large-3`.
    pub fn new(provider: impl Into<String>, prompt: impl Into<Value>) -> Self {
        Self {
            provider: provider.into(),
            prompt: prompt.into(),
            options: serde_json::Map::new(),
            said: Vec::new(),
        }
    }

    /// An option that has to do with the answer, such as the temperature. The last one of a name counts.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    /// What was said before, by whom; in the order of the calls.
    pub fn said(mut self, role: impl Into<String>, text: impl Into<Value>) -> Self {
        self.said.push(Value::Array(vec![Value::String(role.into()), text.into()]));
        self
    }

    /// The question as 64 hexadecimal digits: BLAKE3 of its canonical JSON (RFC 8785 in spirit). The same
    /// in every process; it says nothing of the prompt.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::from("[");
        push_canonical(&mut text, &Value::String(self.provider.clone()));
        for part in [&self.prompt, &Value::Object(self.options.clone()), &Value::Array(self.said.clone())] {
            text.push(',');
            push_canonical(&mut text, part);
        }
        text.push(']');
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }
}

/// What became of the questions, since the start; see [`Answers::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerStats {
    /// Questions; each is one of the next three.
    pub asked: u64,
    /// Answered without generating: from the store, or together with somebody who asked at the same
    /// time.
    pub hits: u64,
    /// Answered by generating.
    pub generated: u64,
    /// Generating failed.
    pub failed: u64,
    /// How long it took to generate what was then a hit, once for each hit.
    pub time_saved: Duration,
}

impl AnswerStats {
    /// Hits of a hundred questions; `None` before the first.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.hits as f64 / self.asked as f64)
    }
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    generated: AtomicU64,
    failed: AtomicU64,
    saved_micros: AtomicU64,
}

/// An answer, and how long it took.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    answer: T,
    micros: u64,
}

/// Answers that are generated once and kept: entries of the cache under the fingerprint of the question,
/// with statistics of their own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sea_orm_cache::{Answers, Asked, Cache, EntryOptions};
///
/// let cache = Cache::builder().namespace("docs").build().await?;
/// let answers = Answers::new(&cache, "support");
/// let asked = Asked::new("acme/large-3", "How do I return a book?").option("temperature", 0);
/// for _ in 0..3 {
///     let answer: String = answers
///         .get_or_generate(&asked, EntryOptions::new().tag("returns"), || async {
///             Ok::<_, std::io::Error>("Bring it back.".to_owned()) // two seconds and two cents
///         })
///         .await?;
///     assert_eq!(answer, "Bring it back.");
/// }
/// assert_eq!((answers.stats().hits, answers.stats().generated), (2, 1));
/// cache.invalidate_tag("returns").await; // the shop has changed its mind
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Answers {
    cache: Cache,
    name: Arc<str>,
    counters: Arc<Counters>,
}

impl Answers {
    /// Answers of this name in the cache's namespace.
    pub fn new(cache: &Cache, name: impl Into<Arc<str>>) -> Self {
        Self { cache: cache.clone(), name: name.into(), counters: Arc::default() }
    }

    /// The answer, from the store or generated and stored, under the tags and for the time that the
    /// options say. Round trips and promises are those of
    /// [`Cache::get_or_load`](crate::Cache::get_or_load): one generates for all who ask the same at a
    /// time, in this process, and across processes with
    /// [`lease`](crate::CacheBuilder::lease).
    ///
    /// # Errors
    /// Those of `generate`, which are not stored. Trouble with the store means that it generates.
    pub async fn get_or_generate<T, E, G, F>(
        &self,
        asked: &Asked,
        options: EntryOptions,
        generate: G,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        G: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let mut made = false;
        let load = || async {
            let began = Instant::now();
            let answer = generate().await?;
            made = true;
            Ok(Kept { answer, micros: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX) })
        };
        let kept: Result<Kept<T>, E> = self.cache.get_or_load(&self.key(asked), options, load).await;
        let counter = match (&kept, made) {
            (Ok(kept), false) => {
                self.counters.saved_micros.fetch_add(kept.micros, Ordering::Relaxed);
                &self.counters.hits
            }
            (Ok(_), true) => &self.counters.generated,
            (Err(_), _) => &self.counters.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(kept?.answer)
    }

    /// The answer, if there is one. Not counted.
    ///
    /// # Errors
    /// As [`Cache::get`](crate::Cache::get).
    pub async fn get<T: DeserializeOwned>(&self, asked: &Asked) -> Result<Option<T>, CacheError> {
        Ok(self.cache.get::<Kept<T>>(&self.key(asked)).await?.map(|kept| kept.answer))
    }

    /// Drops an answer that was no good; true if there was one.
    ///
    /// # Errors
    /// The store did not answer; it may still be there.
    pub async fn forget(&self, asked: &Asked) -> Result<bool, CacheError> {
        self.cache.delete(&self.key(asked)).await
    }

    /// Drops all answers of this name. One round trip.
    pub async fn forget_all(&self) {
        self.cache.invalidate_tag(&format!("{}:*", self.stem())).await;
    }

    /// What became of the questions to this handle and its clones.
    #[must_use]
    pub fn stats(&self) -> AnswerStats {
        let Counters { hits, generated, failed, saved_micros } = &*self.counters;
        let [hits, generated, failed, saved] =
            [hits, generated, failed, saved_micros].map(|counter| counter.load(Ordering::Relaxed));
        let time_saved = Duration::from_micros(saved);
        AnswerStats { asked: hits + generated + failed, hits, generated, failed, time_saved }
    }

    /// What stands before the colon of a key is what they are dropped by, so it has none.
    fn stem(&self) -> String {
        format!("answers {}", self.name.replace('%', "%25").replace(':', "%3A"))
    }

    fn key(&self, asked: &Asked) -> String {
        format!("{}:{}", self.stem(), asked.fingerprint())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("name", &self.name).field("stats", &self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked() -> Asked {
        Asked::new("acme/large-3", "hello").option("temperature", 0.5).option("top", 3)
    }

    #[test]
    fn what_is_the_same_question_has_one_fingerprint_and_it_stays_what_it_is() {
        let other = Asked::new("acme/large-3", "hello").option("top", 3.0).option("temperature", 5e-1);
        assert_eq!(asked().fingerprint(), other.fingerprint());
        assert_eq!(other.option("top", 3).fingerprint(), asked().fingerprint());
        let nested = |value| Asked::new("p", "q").option("o", value).fingerprint();
        assert_eq!(nested(json!({ "a": 1, "b": [2] })), nested(json!({ "b": [2.0], "a": 1e0 })));
    }

    #[test]
    fn whatever_differs_is_another_question() {
        let all = [
            asked(),
            asked().option("seed", 1),
            asked().option("seed", Value::Null),
            asked().option("temperature", "0.5"),
            asked().said("user", "a").said("assistant", "b"),
            asked().said("assistant", "b").said("user", "a"),
            asked().said("user", "a"),
            asked().said("usera", ""),
            asked().said("user", "ab"),
            Asked::new("acme/large-2", "hello").option("temperature", 0.5).option("top", 3),
            Asked::new("acme/large-3", "hello ").option("temperature", 0.5).option("top", 3),
            Asked::new("acme/large-3", json!(["hello"])).option("temperature", 0.5).option("top", 3),
            Asked::new("acme/large-3\",\"hello", "").option("temperature", 0.5).option("top", 3),
            Asked::new("", "acme/large-3hello").option("temperature", 0.5).option("top", 3),
        ];
        let fingerprints: std::collections::HashSet<_> = all.iter().map(Asked::fingerprint).collect();
        assert_eq!(fingerprints.len(), all.len());
    }
}
