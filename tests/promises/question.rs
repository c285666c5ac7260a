//! Questions that are asked of the cache and of the database: both must give the same answer, whatever
//! was written in between.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use sea_orm::DbErr;

use crate::support::eventually;
use crate::world::World;

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Cached,
    Plain,
}

/// Something to ask, and the name by which a test speaks of it.
pub struct Question {
    pub name: &'static str,
    pub ask: for<'w> fn(&'w World, How) -> LocalBoxFuture<'w, String>,
}

/// An answer as text, to be compared.
pub fn show<T: Debug>(read: Result<T, DbErr>) -> String {
    format!("{:?}", read.unwrap())
}

/// A select that is read in both ways; they differ by `.cached()` alone.
macro_rules! question {
    ($name:literal, $select:expr, $end:ident) => {
        $crate::question::Question {
            name: $name,
            ask: |world, how| {
                Box::pin(async move {
                    use $crate::question::{How, show};
                    match how {
                        How::Cached => show($select.cached().$end(&world.db).await),
                        How::Plain => show($select.$end(world.plain()).await),
                    }
                })
            },
        }
    };
}

pub(crate) use question;

/// Questions whose answers are in the cache.
pub struct Asked<'w> {
    world: &'w World,
    questions: Vec<Question>,
}

impl<'w> Asked<'w> {
    /// Asks them all.
    pub async fn new(world: &'w World, questions: Vec<Question>) -> Self {
        let asked = Self { world, questions };
        asked.until_cached().await;
        asked
    }

    async fn until_cached(&self) {
        for question in &self.questions {
            eventually(question.name, SOON, async || self.ask(question).await.1).await;
        }
    }

    /// The answer through the cache, and whether all of it was there.
    async fn ask(&self, question: &Question) -> (String, bool) {
        let before = self.world.cache().stats().total;
        let answer = (question.ask)(self.world, How::Cached).await;
        let after = self.world.cache().stats().total;
        assert!(after.reads > before.reads, "{} is no cached read", question.name);
        (answer, after.hits - before.hits == after.reads - before.reads)
    }

    /// Does what is called `what`. Afterwards every question is answered as the database answers it, now and
    /// when it is asked again. The answers that are others than before are those of `changed`, so that a
    /// write that did not happen is noticed. Gives the names of the questions that were purged.
    pub async fn after<T>(
        &self,
        what: &str,
        changed: &[&str],
        write: impl Future<Output = Result<T, DbErr>>,
    ) -> Vec<&'static str> {
        let world = self.world;
        self.until_cached().await;
        let mut before = Vec::new();
        for question in &self.questions {
            before.push((question.ask)(world, How::Plain).await);
        }
        if let Err(error) = write.await {
            panic!("{world}: {what}: {error}");
        }
        let (mut wrong, mut purged, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (question, before) in self.questions.iter().zip(before) {
            let name = question.name;
            let (cached, hit) = self.ask(question).await;
            let truth = (question.ask)(world, How::Plain).await;
            if cached != truth {
                wrong.push(format!("{name}: {cached}, and the database says {truth}"));
            }
            if !hit {
                purged.push(name);
            }
            if truth != before {
                others.push(name);
            }
            let again = self.ask(question).await.0;
            if again != truth {
                wrong.push(format!("{name}, asked again: {again}, and the database says {truth}"));
            }
        }
        assert!(wrong.is_empty(), "{world}: after {what}:\n{}", wrong.join("\n"));
        assert_eq!(others, changed, "{world}: what {what} changed");
        purged
    }
}
