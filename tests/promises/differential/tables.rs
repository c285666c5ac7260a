//! The entities that the differential test reads and writes: fixed columns, random constraints.

use std::str::FromStr;

use sea_orm::{
    ActiveModelTrait, EntityTrait, IntoActiveModel, PrimaryKeyTrait, Related, TryIntoModel, Value,
};

/// The tables of every schema. Five have an integer key, one a text key, one a key of two columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `index("group_id")`
    Node0,
    /// `index("group_id", "owner")`
    Node1,
    /// No index, `precise`.
    Node2,
    /// No policy at all: tracked all the same.
    Node3,
    /// An index on a text column, tags made of a row, `precise`.
    Node4,
    /// A text key.
    Label,
    /// A key of two columns, `precise`.
    Link,
    /// A view of one or two of the nodes, which a schema may have.
    View,
}

impl Table {
    pub const ALL: [Self; 7] =
        [Self::Node0, Self::Node1, Self::Node2, Self::Node3, Self::Node4, Self::Label, Self::Link];
    pub const NODES: [Self; 5] = [Self::Node0, Self::Node1, Self::Node2, Self::Node3, Self::Node4];

    pub fn name(self) -> &'static str {
        match self {
            Self::Node0 => "node0",
            Self::Node1 => "node1",
            Self::Node2 => "node2",
            Self::Node3 => "node3",
            Self::Node4 => "node4",
            Self::Label => "label",
            Self::Link => "link",
            Self::View => "overview",
        }
    }

    pub fn is_node(self) -> bool {
        Self::NODES.contains(&self)
    }

    /// The columns that a list of this table can be declared to depend on.
    pub fn indexes(self) -> &'static [&'static str] {
        match self {
            Self::Node0 | Self::Label => &["group_id"],
            Self::Node1 => &["group_id", "owner"],
            Self::Node4 => &["code"],
            Self::Node2 | Self::Node3 | Self::Link | Self::View => &[],
        }
    }

    pub fn key_columns(self) -> &'static [&'static str] {
        match self {
            Self::Label => &["name"],
            Self::Link => &["a_id", "b_id"],
            _ => &["id"],
        }
    }

    /// All columns, in the order of the entity.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Label => &["name", "owner", "group_id", "amount", "title"],
            Self::Link => &["a_id", "b_id", "group_id", "amount", "title"],
            _ => &["id", "parent", "owner", "label", "group_id", "code", "amount", "title"],
        }
    }

    /// The table that its joins lead to, and by which columns.
    pub fn next(self) -> (&'static str, Self, &'static str) {
        match self {
            Self::Node0 => ("owner", Self::Node1, "id"),
            Self::Node1 => ("owner", Self::Node2, "id"),
            Self::Node2 => ("owner", Self::Node3, "id"),
            Self::Node3 => ("parent", Self::Node4, "id"),
            Self::Node4 => ("label", Self::Label, "name"),
            Self::Label => ("owner", Self::Node0, "id"),
            Self::Link => ("a_id", Self::Node1, "id"),
            Self::View => ("owner", Self::Node2, "id"),
        }
    }
}

/// The key of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Id(i64),
    Name(String),
    Pair(i64, i64),
}

impl Key {
    /// With the names of the columns of [`Table::key_columns`], in their order.
    pub fn values(&self) -> Vec<Value> {
        match self {
            Self::Id(id) => vec![(*id).into()],
            Self::Name(name) => vec![name.clone().into()],
            Self::Pair(a, b) => vec![(*a).into(), (*b).into()],
        }
    }
}

pub type KeyOf<E> = <<E as EntityTrait>::PrimaryKey as PrimaryKeyTrait>::ValueType;

/// Where an entity's joins lead.
pub trait Chained: EntityTrait {
    type Next: Tracked;
}

/// An entity of this test.
pub trait Tracked:
    Chained
    + Related<<Self as Chained>::Next>
    + EntityTrait<
        Model: IntoActiveModel<<Self as EntityTrait>::ActiveModel> + Send + Sync,
        ActiveModel: TryIntoModel<<Self as EntityTrait>::Model> + Send,
        Column: FromStr,
    >
{
    fn key(key: &Key) -> KeyOf<Self>;
}

/// The column of this name, which the table has.
pub fn column<E: Tracked>(name: &str) -> E::Column {
    E::Column::from_str(name).unwrap_or_else(|_| panic!("a column {name} was to be there"))
}

/// A model in which these columns are set.
pub fn active<E: Tracked>(values: &[(&'static str, Value)]) -> E::ActiveModel {
    let mut model = <E::ActiveModel as ActiveModelTrait>::default();
    for (name, value) in values {
        model.set(column::<E>(name), value.clone());
    }
    model
}

/// Runs a block with `$entity` being the table's entity.
macro_rules! with_entity {
    ($table:expr, $entity:ident => $body:expr) => {{
        use $crate::differential::tables;
        match $table {
            tables::Table::Node0 => {
                type $entity = tables::node0::Entity;
                $body
            }
            tables::Table::Node1 => {
                type $entity = tables::node1::Entity;
                $body
            }
            tables::Table::Node2 => {
                type $entity = tables::node2::Entity;
                $body
            }
            tables::Table::Node3 => {
                type $entity = tables::node3::Entity;
                $body
            }
            tables::Table::Node4 => {
                type $entity = tables::node4::Entity;
                $body
            }
            tables::Table::Label => {
                type $entity = tables::label::Entity;
                $body
            }
            tables::Table::Link => {
                type $entity = tables::link::Entity;
                $body
            }
            tables::Table::View => {
                type $entity = tables::overview::Entity;
                $body
            }
        }
    }};
}
pub(super) use with_entity;

macro_rules! node {
    ($name:ident $text:tt, $next:ident by $column:ident to $key:ident $(, $policy:meta)*) => {
        pub mod $name {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $text)]
            $(#[$policy])*
            pub struct Model {
                #[sea_orm(primary_key)]
                pub id: i64,
                pub parent: Option<i64>,
                pub owner: Option<i64>,
                pub label: Option<String>,
                pub group_id: i64,
                pub code: String,
                pub amount: i64,
                pub title: String,
            }

            impl super::Tracked for Entity {
                fn key(key: &super::Key) -> i64 {
                    let super::Key::Id(id) = key else { panic!("{key:?} is no key of a node") };
                    *id
                }
            }
            chain!($next by $column to $key);
        }
    };
}

macro_rules! chain {
    ($next:ident by $column:ident to $key:ident) => {
        #[derive(Copy, Clone, Debug, EnumIter)]
        pub enum Relation {
            Next,
        }

        impl RelationTrait for Relation {
            fn def(&self) -> RelationDef {
                Entity::belongs_to(super::$next::Entity)
                    .from(Column::$column)
                    .to(super::$next::Column::$key)
                    .into()
            }
        }

        impl super::Chained for Entity {
            type Next = super::$next::Entity;
        }

        impl Related<super::$next::Entity> for Entity {
            fn to() -> RelationDef {
                Relation::Next.def()
            }
        }

        impl ActiveModelBehavior for ActiveModel {}
    };
}

node!(node0 "node0", node1 by Owner to Id,
    derive(sea_orm_cache::CacheEntity), cache(ttl = "1h", index("group_id"), write_through));
node!(node1 "node1", node2 by Owner to Id,
    derive(sea_orm_cache::CacheEntity), cache(ttl = "1h", index("group_id", "owner")));
node!(node2 "node2", node3 by Owner to Id,
    derive(sea_orm_cache::CacheEntity), cache(ttl = "1h", write_through, precise = 20));
node!(node3 "node3", node4 by Parent to Id);
node!(node4 "node4", label by Label to Name,
    derive(sea_orm_cache::CacheEntity), cache(ttl = "1h", index("code"), tags("amount:{amount}"), precise,
        write_through));

node!(overview "overview", node2 by Owner to Id, derive(sea_orm_cache::CacheEntity), cache(ttl = "1h"));

pub mod label {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "label")]
    #[cache(ttl = "1h", index("group_id"), write_through)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub owner: Option<i64>,
        pub group_id: i64,
        pub amount: i64,
        pub title: String,
    }

    impl super::Tracked for Entity {
        fn key(key: &super::Key) -> String {
            let super::Key::Name(name) = key else { panic!("{key:?} is no key of a label") };
            name.clone()
        }
    }
    chain!(node0 by Owner to Id);
}

pub mod link {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "link")]
    #[cache(ttl = "1h", write_through, precise)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub a_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub b_id: i64,
        pub group_id: i64,
        pub amount: i64,
        pub title: String,
    }

    impl super::Tracked for Entity {
        fn key(key: &super::Key) -> (i64, i64) {
            let super::Key::Pair(a, b) = key else { panic!("{key:?} is no key of a link") };
            (*a, *b)
        }
    }
    chain!(node1 by AId to Id);
}
