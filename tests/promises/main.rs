//! What the crate promises, each promise a test, on real databases and both stores.
//!
//! One binary, because linking three database drivers is what costs. Tests that need a server which
//! is not configured say so and pass; `cargo xtask test` starts the servers and sets
//! `SEA_ORM_CACHE_TEST_REQUIRE`, which makes them fail instead.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/selftest.rs"]
mod support_selftest;

#[path = "../../examples/bookshop/entity.rs"]
mod entity;

mod gate;
mod linked;
mod question;
mod world;

mod application;
mod barriers;
mod cache_api;
mod cancelled;
mod chaos;
#[cfg(feature = "cli")]
mod command_line;
mod crash;
mod dependents;
mod differential;
mod early_refresh;
mod explained;
mod grace;
mod index_tags;
mod keys_and_formats;
mod late_fills;
mod leases;
mod lost_data;
mod near;
mod near_published;
mod observed;
mod outages;
mod packed;
mod processes;
mod race;
mod read_forms;
mod read_shapes;
mod redis_forms;
mod round_trips;
#[cfg(feature = "axum")]
mod status;
mod tampered;
mod transactions;
mod unknown_schema;
mod values;
mod verification;
mod warm_up;
mod write_forms;
mod write_shapes;
mod write_through;
