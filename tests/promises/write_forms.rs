//! Every way to write, on every database and store: the entries that it made wrong are gone, and no
//! other.
//!
//! Each form is run on a stocked bookshop whose every entry is cached. What the database itself says
//! before and after tells which rows the form changed, and each form declares the same, so that a
//! declaration that is not true fails too. An entry that is gone although nothing of it was written
//! fails the test, unless the form declares that its text does not say which rows it touches.
//!
//! With `SEA_ORM_CACHE_WRITE_TABLE=<path>` the table that this test stands for is written there.

mod bookshop;
mod form;
mod read;
mod relations;
mod rows;
mod texts;

use std::{collections::BTreeSet, fmt::Write as _};

use futures_util::future::join_all;

use crate::{
    support::eventually,
    world::{StoreKind, World},
};

use self::{bookshop::*, form::*, read::*};

fn forms() -> Vec<Form> {
    [rows::forms(), relations::forms(), texts::forms()].into_iter().flatten().collect()
}

/// Runs every form in one world: what the cells of its column say, and what went wrong.
async fn try_all(world: World) -> (String, Vec<String>, Vec<String>) {
    let mut cells = Vec::new();
    let mut wrong = Vec::new();
    advance_keys(&world).await;
    for form in forms() {
        cells.push(match (form.lacks)(world.database.backend()) {
            Some(why) => format!("n/a: {why}"),
            None => {
                let mut failures = Vec::new();
                let cell = try_one(&world, &form, &mut failures).await;
                wrong.extend(failures.iter().map(|failure| format!("{world}: {}: {failure}", form.name)));
                if failures.is_empty() { cell.to_owned() } else { "**wrong**".to_owned() }
            }
        });
    }
    let store = match world.store {
        StoreKind::Memory => "memory",
        StoreKind::Redis => "Redis",
    };
    (format!("{}, {store}", world.database.backend()), cells, wrong)
}

async fn try_one(world: &World, form: &Form, wrong: &mut Vec<String>) -> &'static str {
    let backend = world.database.backend();
    let reads = Read::all(&restock(world).await);
    let mut before = Vec::new();
    for read in &reads {
        before.push(read.from(world, How::Cached).await);
        eventually("what was read is cached", SOON, async || {
            world.is_hit(read.from(world, How::Cached)).await.1
        })
        .await;
    }
    if let Err(error) = (form.run)(world).await {
        wrong.push(error.to_string());
    }
    let mut cell = "exact";
    let mut found = BTreeSet::new();
    for (read, before) in reads.into_iter().zip(before) {
        let (cached, hit) = world.is_hit(read.from(world, How::Cached)).await;
        let truth = read.from(world, How::Plain).await;
        if cached != truth {
            wrong.push(format!("{read:?} is stale: {cached}, and the database says {truth}"));
        }
        let was_missing = before == "None";
        let changed = before != truth;
        if let Some((table, _)) = read.row().filter(|_| was_missing && changed) {
            found.insert(table);
        }
        if !was_missing && read.row().is_some() && changed != form.touches(read) {
            wrong.push(format!("{read:?}: declared {}, {before} became {truth}", form.touches(read)));
        }
        let purges = form.purges(read, was_missing, changed, backend);
        if form.refused {
            // Nothing was written. Where it was sent on its own nobody knows, and it is purged.
            continue;
        }
        match (purges, hit) {
            (true, true) => wrong.push(format!("{read:?} was to be purged and is a hit")),
            (false, false) => wrong.push(format!("{read:?} was purged without need")),
            (true, false) if !was_missing && read.row().is_some() && !form.touches(read) => cell = "wide",
            _ => {}
        }
    }
    // A declaration that no read could prove wrong would be worth nothing.
    for table in form.adds.iter().filter(|table| ["book", "review", "author", "book_author"].contains(table))
    {
        if !found.contains(table) {
            wrong.push(format!("no read saw what was added to {table}"));
        }
    }
    if (form.everything)(backend) { "everything" } else { cell }
}

fn markdown(columns: &[(String, Vec<String>)]) -> String {
    let mut out = String::from("| form |");
    columns.iter().for_each(|(title, _)| write!(out, " {title} |").unwrap());
    out.push_str("\n|---|");
    columns.iter().for_each(|_| out.push_str("---|"));
    out.push('\n');
    for (row, form) in forms().iter().enumerate() {
        write!(out, "| {} |", form.name).unwrap();
        columns.iter().for_each(|(_, cells)| write!(out, " {} |", cells[row]).unwrap());
        out.push('\n');
    }
    out
}

const PREFACE: &str = "\
# Every way to write, and what it purges

Written by the test `every_write_form_purges_what_it_made_wrong` (`tests/promises/write_forms.rs`) from \
what it saw. Lists, counts, joins and entries that say \"no such row\" of a table go with any write to it; \
what the cells tell is which *row entries* go:

* **exact**: those of the rows that the statement touched, and no other.
* **wide**: those of all rows of the table, because the text does not say which it touches.
* **everything**: all entries of the namespace, because the statement says nothing of what it touches.
* **n/a**: the database, or SeaORM for it, has no such form.

";

// case D1, D2, D3, D4, D5, D6, D7, D8, D9, D10, D11, D12, D13, D18, D21, D23, D24, D25, D27, D28, D29, D30, D31, D32
#[tokio::test]
async fn every_write_form_purges_what_it_made_wrong() {
    let trials = join_all(World::all().await.into_iter().map(try_all)).await;
    let mut columns = Vec::new();
    let mut wrong = Vec::new();
    for (title, cells, failures) in trials {
        columns.push((title, cells));
        wrong.extend(failures);
    }
    let table = markdown(&columns);
    println!("{table}");
    if let Some(path) = std::env::var_os("SEA_ORM_CACHE_WRITE_TABLE") {
        assert_eq!(columns.len(), 6, "the table is of all databases and stores, and some are not there");
        std::fs::write(path, format!("{PREFACE}{table}")).unwrap();
    }
    assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
}
