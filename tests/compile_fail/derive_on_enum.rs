//! The derive goes on the model of an entity, which is a struct.

use sea_orm_cache::CacheEntity;

#[derive(CacheEntity)]
#[cache(ttl = "10m")]
pub enum Genre {
    Crime,
    Poetry,
}

fn main() {}
