//! A warm-up that an operator starts: one at a time, in the background, and how far it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};

use super::{Problem, Shared, actions::unreadable, report::since_1970};
use crate::{CachedConnection, observe::millis};

/// The warm-ups of one router.
pub(super) struct WarmUps {
    db: Option<CachedConnection>,
    // A std lock: held for a copy or a number, never across an await.
    last: Arc<Mutex<Progress>>,
}

/// The last warm-up that was started here.
#[derive(Clone, Default, Serialize)]
pub(super) struct Progress {
    running: bool,
    /// Milliseconds since 1970.
    started_at: Option<u64>,
    loaders: BTreeMap<String, Loader>,
    took_ms: Option<f64>,
    /// Why nothing was loaded, if so.
    skipped: Option<&'static str>,
}

#[derive(Clone, Default, Serialize)]
struct Loader {
    entries: u64,
    bytes: u64,
    done: bool,
    /// It ended with an error, whose text may hold values and is in the log alone.
    failed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhatToLoad {
    /// Tables and registered names; all if there are none.
    #[serde(default)]
    only: Vec<String>,
}

impl WarmUps {
    pub(super) fn new(db: Option<CachedConnection>) -> Self {
        Self { db, last: Arc::default() }
    }

    pub(super) fn are_possible(&self) -> bool {
        self.db.is_some()
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that it is over, however it ends.
struct Running(Arc<Mutex<Progress>>);

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.0).running = false;
    }
}

pub(super) async fn progress(State(shared): State<Arc<Shared>>) -> Json<Progress> {
    Json(lock(&shared.warm_ups.last).clone())
}

pub(super) async fn start(
    State(shared): State<Arc<Shared>>,
    request: Result<Json<WhatToLoad>, JsonRejection>,
) -> Result<(StatusCode, Json<Progress>), Problem> {
    let Json(WhatToLoad { only }) = request.map_err(unreadable)?;
    let Some(db) = &shared.warm_ups.db else {
        let message = "The application has given these routes no connection to warm up with.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-connection", message));
    };
    let last = shared.warm_ups.last.clone();
    let begun = {
        let mut progress = lock(&last);
        if progress.running {
            let message = "A warm-up is under way.";
            return Err(Problem::new(StatusCode::CONFLICT, "running", message));
        }
        let started_at = Some(since_1970(SystemTime::now()));
        *progress = Progress { running: true, started_at, ..Progress::default() };
        progress.clone()
    };
    let running = Running(last.clone());
    let steps = last.clone();
    let mut warm_up = db.warm_up().on_progress(move |step| {
        let mut progress = lock(&steps);
        let loader = progress.loaders.entry(step.loader.clone()).or_default();
        (loader.entries, loader.bytes) = (step.entries, step.bytes);
    });
    if !only.is_empty() {
        warm_up = warm_up.only(only);
    }
    // It goes on when whoever asked has gone.
    db.cache().inner.freshness.runtime().spawn(async move {
        let report = warm_up.await;
        let mut progress = lock(&last);
        for done in report.loaders {
            let failed = done.error.is_some();
            let loader = Loader { entries: done.entries, bytes: done.bytes, done: true, failed };
            progress.loaders.insert(done.loader, loader);
        }
        (progress.took_ms, progress.skipped) = (Some(millis(report.took)), report.skipped);
        drop(progress);
        drop(running);
    });
    Ok((StatusCode::ACCEPTED, Json(begun)))
}
