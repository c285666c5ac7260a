//! [`Cache::explain`] and [`CachedSelect::explain`]: the analysis says what it makes of a statement.

use std::{sync::Arc, time::Duration};

use sea_orm::{QueryTrait, Select, SelectTwo, SelectTwoMany, Selector, SelectorTrait, Statement};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    CachedSelect,
    codec::{AllModels, AllPairs, Codec, Custom, Families, OneModel},
    question::{ReadOptions, Reader, Request, entity_of},
    select::{by_key_statement, one_request},
};
use crate::{
    Cache, ReadThrough,
    connection::{change_in_words, scope_in_words},
    entity::Rebuild,
    freshness::{Bypass, Question},
    observe::{ExplainedRead, ExplainedWrite, Explanation},
    schema::{Knowledge, Schema},
    statement::{Analysis, Kind},
};

impl Cache {
    /// What the cache makes of a statement: what it reads and writes, whether it may be cached, and
    /// what it would purge. For people; nothing is sent to the database or the store.
    ///
    /// Of a select it says what a cached selector (`into_json`, `into_model`) of this text depends on, and how
    /// long its answer lives; not under which key, which depends on what the rows are read into. What is read
    /// as an entity may depend on less, such as one row alone: [`CachedSelect::explain`] says it.
    ///
    /// Foreign keys, views and triggers count as far as a connection with this cache has learned them
    /// ([`learn_schema`](crate::CachedConnection::learn_schema), or its first write or cached read).
    #[must_use]
    pub fn explain(&self, statement: &Statement) -> Explanation {
        let schema = self.inner.schema();
        let analysis = schema.informed(self.inner.analyse(statement.db_backend, &statement.sql));
        let mut explained = self.explain_analysis(statement, &analysis, &schema);
        let options = ReadOptions::default();
        let request = Request { statement, row: None, entity: None, joined: None, options: &options };
        let entity = entity_of(self, &analysis);
        let reader = Reader::with(self, schema);
        // The codec is part of the key alone.
        let question =
            reader.and_then(|reader| reader.question::<Custom<()>>(&request, entity.as_ref(), &analysis));
        explained.answer(&question, &analysis);
        explained.key = None;
        explained
    }

    fn explain_analysis(
        &self,
        statement: &Statement,
        analysis: &Arc<Analysis>,
        schema: &Arc<Schema>,
    ) -> Explanation {
        let values = statement.values.as_ref().map_or(&[][..], |values| &values.0);
        let mut explained = Explanation {
            kind: match analysis.kind {
                Kind::Read if analysis.is_read_only() => "read",
                Kind::Read | Kind::Other => "other",
                Kind::Write => "write",
                Kind::Ddl => "ddl",
                Kind::Transaction(_) => "transaction",
            },
            reads: Vec::new(),
            writes: Vec::new(),
            bypass: None,
            key: None,
            tags: Vec::new(),
            ttl: None,
            purges: Vec::new(),
            purges_unless_labelled: Vec::new(),
            preceded_by: None,
            returns_rows: false,
            purges_everything: None,
        };
        for read in &analysis.reads {
            let table = read.table.fold().into_owned();
            let behind = schema.behind(&table).into_iter().flat_map(|view| view.reads);
            explained.reads.push(ExplainedRead {
                scope: scope_in_words(&read.scope, values),
                behind: behind.map(String::from).collect(),
                table,
            });
        }
        let known = Knowledge::Known(schema.clone());
        let Some(plan) = self.inner.plan(statement.db_backend, analysis.clone(), values, &known) else {
            return explained;
        };
        for write in &analysis.writes {
            let table = write.table.fold().into_owned();
            for (reached, change) in self.inner.reached(write, schema).changes {
                let itself = *reached == *table;
                explained.writes.push(ExplainedWrite {
                    what: change_in_words(&change),
                    scope: match itself {
                        true => scope_in_words(&write.scope, values),
                        false => format!("by the database, because of {table}"),
                    },
                    table: reached.into(),
                });
            }
        }
        explained.preceded_by = plan.pre_select().map(|select| select.statement.sql.clone());
        explained.returns_rows = plan.returns_rows();
        let everything = self.inner.keys.everything();
        let purge = plan.writes.into_purge();
        if purge.tags.contains(&everything) {
            let why = analysis.why_anything.as_deref().unwrap_or("what it makes visible is not known");
            explained.purges_everything = Some(why.to_owned());
        }
        explained.purges = purge.tags.iter().map(|tag| tag.as_str().to_owned()).collect();
        explained.purges.extend(purge.entries.iter().map(|entry| entry.as_str().to_owned()));
        explained.purges_unless_labelled = purge.unless.keys().map(|tag| tag.as_str().to_owned()).collect();
        explained
    }

    async fn explain_read<C: Codec>(&self, db: &impl ReadThrough, request: &Request<'_>) -> Explanation {
        let reader = Reader::of(db).await;
        let schema = match &reader {
            Ok(reader) => reader.schema().clone(),
            Err(_) => self.inner.schema(),
        };
        let analysis = self.inner.analyse(request.statement.db_backend, &request.statement.sql);
        let analysis = schema.informed(analysis);
        let mut explained = self.explain_analysis(request.statement, &analysis, &schema);
        let entity = request.entity.clone().or_else(|| entity_of(self, &analysis));
        let question = reader.and_then(|reader| reader.question::<C>(request, entity.as_ref(), &analysis));
        explained.answer(&question, &analysis);
        explained
    }

    async fn explain_join<E: Rebuild, F: Rebuild, C: Codec>(
        &self,
        db: &impl ReadThrough,
        statement: &Statement,
        options: &ReadOptions,
    ) -> Explanation {
        let (entity, joined) =
            (Some(self.inner.registry.entity::<E>()), Some(self.inner.registry.entity::<F>()));
        self.explain_read::<C>(db, &Request { statement, row: None, entity, joined, options }).await
    }
}

impl Explanation {
    /// What the read would ask of the cache, or why it would not.
    fn answer(&mut self, question: &Result<Question, Bypass>, analysis: &Analysis) {
        let question = match (question, &analysis.cacheable) {
            (Ok(question), _) => question,
            // The text's own reason says more, and no setting would change it.
            (Err(_), Err(why)) => return self.bypass = Some(why.to_string()),
            (Err(why), Ok(_)) => return self.bypass = Some(why.to_string()),
        };
        self.key = Some(question.key.as_str().to_owned());
        self.ttl = Some(question.ttl.max(Duration::from_millis(1)));
        self.tags = question.tags.iter().chain(&question.also).map(|tag| tag.as_str().to_owned()).collect();
    }
}

impl<E: Rebuild> CachedSelect<Select<E>> {
    /// What the cache makes of this query, read with [`all`](Self::all): whether and why (not) it is
    /// cached, under which key, what it depends on. Sends nothing to the store, and to the database
    /// only what it takes to learn its schema.
    pub async fn explain<C: ReadThrough>(&self, db: &C) -> Explanation {
        let statement = self.query.build(db.get_database_backend());
        let entity = Some(db.cache().inner.registry.entity::<E>());
        let request =
            Request { statement: &statement, row: None, entity, joined: None, options: &self.options };
        db.cache().explain_read::<AllModels<E>>(db, &request).await
    }

    /// The same, read with [`one`](Self::one).
    pub async fn explain_one<C: ReadThrough>(&self, db: &C) -> Explanation {
        let (statement, entity) = one_request::<E, C>(self.query.clone(), db);
        let by_key = entity.selects_by_key(&statement, || by_key_statement::<E>(db));
        let request = Request {
            statement: &statement,
            row: by_key,
            entity: Some(entity),
            joined: None,
            options: &self.options,
        };
        db.cache().explain_read::<OneModel<E>>(db, &request).await
    }
}

impl<E: Rebuild, F: Rebuild> CachedSelect<SelectTwo<E, F>> {
    /// What the cache makes of this join, read with [`all`](Self::all). Read with [`one`](Self::one) it
    /// depends on the same, under another key.
    pub async fn explain<C: ReadThrough>(&self, db: &C) -> Explanation {
        let statement = self.query.build(db.get_database_backend());
        db.cache().explain_join::<E, F, AllPairs<E, F>>(db, &statement, &self.options).await
    }
}

impl<E: Rebuild, F: Rebuild> CachedSelect<SelectTwoMany<E, F>> {
    /// What the cache makes of these parents and their children, read with [`all`](Self::all).
    pub async fn explain<C: ReadThrough>(&self, db: &C) -> Explanation {
        let statement = self.query.build(db.get_database_backend());
        db.cache().explain_join::<E, F, Families<E, F>>(db, &statement, &self.options).await
    }
}

impl<S> CachedSelect<Selector<S>>
where
    S: SelectorTrait,
    S::Item: Serialize + DeserializeOwned + Send + 'static,
{
    /// What the cache makes of this query, read with [`all`](Self::all). Read with [`one`](Self::one) it
    /// depends on the same, under another key.
    pub async fn explain<C: ReadThrough>(self, db: &C) -> Explanation {
        let statement = self.query.into_statement(db.get_database_backend());
        let request =
            Request { statement: &statement, row: None, entity: None, joined: None, options: &self.options };
        db.cache().explain_read::<Custom<Vec<S::Item>>>(db, &request).await
    }
}
