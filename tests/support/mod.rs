//! What the integration tests stand on: fresh databases, a Redis to break, a proxy between the two, and a
//! way to wait for something without sleeping for a fixed time.
//!
//! A test binary says `mod support;` and takes what it needs. Where the servers are comes from the
//! environment (`cargo xtask test` starts them and sets it); a test that lacks its server prints a line and
//! passes, unless `SEA_ORM_CACHE_TEST_REQUIRE=1`, which makes it fail.

// Every test binary compiles this module and no binary uses all of it.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::print_stderr)]

mod databases;
mod environment;
mod names;
mod ports;
mod proxy;
mod redis_cluster;
mod redis_server;
mod resp;
mod scratch;
mod sentinels;
mod wait;

pub use databases::{Backend, TestDatabase};
pub use environment::{MARIADB, POSTGRES, REDIS, REDIS_SERVER, REQUIRE};
pub use names::{unique_name, unique_namespace};
pub use ports::free_port;
pub use proxy::Proxy;
pub use redis_cluster::PrivateCluster;
pub use redis_server::{PrivateRedis, Restart, commandstats, redis_command, shared_redis_url};
pub use scratch::ScratchDir;
pub use sentinels::Watched;
pub use wait::eventually;
