//! The variables through which `cargo xtask test` tells the tests where their servers are.

use std::env;

/// URL of a Redis that the tests share; each test keeps to a namespace of its own in it.
pub const REDIS: &str = "SEA_ORM_CACHE_TEST_REDIS";
/// Path of a `redis-server`, for tests that start one of their own.
pub const REDIS_SERVER: &str = "SEA_ORM_CACHE_TEST_REDIS_SERVER";
/// PostgreSQL URL of a user who may create databases.
pub const POSTGRES: &str = "SEA_ORM_CACHE_TEST_POSTGRES";
/// MariaDB (or MySQL) URL of a user who may create databases.
pub const MARIADB: &str = "SEA_ORM_CACHE_TEST_MARIADB";
/// `1` turns a test that would be skipped into one that fails.
pub const REQUIRE: &str = "SEA_ORM_CACHE_TEST_REQUIRE";

/// The value of `variable`, unless it is unset or empty.
pub fn variable(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Says that the running test is skipped because `what` is not there, or fails it when nothing may be skipped.
pub fn skip<T>(what: &str, variable: &str) -> Option<T> {
    let advice = format!("{what} (set {variable} or run cargo xtask test)");
    assert!(self::variable(REQUIRE).as_deref() != Some("1"), "{REQUIRE}=1 and there is no {advice}");
    eprintln!("skipped: {advice}");
    None
}
