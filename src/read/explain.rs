//! [`Cache::explain`] and [`CachedSelect::explain`]: the analysis says what it makes of a statement.

use std::{sync::Arc, time::Duration};

use sea_orm::{QueryTrait, Select, Statement};

use super::{
    CachedSelect,
    codec::{AllModels, Codec, OneModel},
    question::{Reader, Request, entity_of},
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
    /// Foreign keys, views and triggers count as far as a connection with this cache has learned them
    /// ([`learn_schema`](crate::CachedConnection::learn_schema), or its first write or cached read).
    #[must_use]
    pub fn explain(&self, statement: &Statement) -> Explanation {
        let schema = self.inner.schema();
        let analysis = self.inner.analyse(statement.db_backend, &statement.sql);
        let mut explained = self.explain_analysis(statement, &analysis, &schema);
        if let Err(why) = &analysis.cacheable {
            explained.bypass = Some(why.to_string());
        } else if explained.kind == "read" {
            let reader = Reader::with(self, schema);
            let tags = analysis.reads.iter().map(|read| reader.tables_behind(&read.table.fold()).err());
            explained.bypass = tags.flatten().next().map(|why| why.to_string());
        }
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
        let mut explained = self.explain_analysis(request.statement, &analysis, &schema);
        let entity = request.entity.clone().or_else(|| entity_of(self, &analysis));
        match reader.and_then(|reader| reader.question::<C>(request, entity.as_ref(), &analysis)) {
            Ok(question) => explained.describe(&question),
            Err(Bypass::Uncacheable) => {
                let why = analysis.cacheable.as_ref().err().map(ToString::to_string);
                explained.bypass = Some(why.unwrap_or_else(|| Bypass::Uncacheable.to_string()));
            }
            Err(why) => explained.bypass = Some(why.to_string()),
        }
        explained
    }
}

impl Explanation {
    fn describe(&mut self, question: &Question) {
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
