//! The benchmark suite: ours beside its limits and beside its peers, in one run, as ratios.
//!
//! `cargo xtask bench` builds it, starts the servers and runs it.

mod allocations;
mod arguments;
mod book;
mod bounds;
mod chart;
mod contest;
mod drive;
mod monitor;
mod near;
mod page;
mod place;
mod proxy;
mod scenario;
mod sheet;

use std::thread;

use anyhow::{Context, Result};

use crate::{
    arguments::{Arguments, Task},
    place::Place,
    scenario::{NAMES, Plan, mixed::worker},
    sheet::Sheet,
};

#[global_allocator]
static ALLOCATOR: allocations::Counted = allocations::Counted;

#[tokio::main]
async fn main() -> Result<()> {
    match arguments::parse()? {
        Task::Worker(role) => worker::serve(&role).await,
        Task::Run(arguments) => run(arguments).await,
        Task::Help => {
            println!("{}", arguments::usage());
            Ok(())
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let mut sheet = Sheet::read(&arguments.json)?;
    if !arguments.render {
        let place = Place::from_env()?;
        describe(&place, &mut sheet).await?;
        let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
        for name in NAMES {
            if arguments.only.is_empty() || arguments.only.iter().any(|it| it == name) {
                scenario::run(name, &place, &plan, &mut sheet)
                    .await
                    .with_context(|| format!("scenario {name}"))?;
                // After each: a later one that fails does not cost the figures of those before.
                sheet.write(&arguments.json)?;
            }
        }
    }
    println!("\nbounds");
    for bound in bounds::bounds(&sheet) {
        let figure = bound.figure.as_ref().map_or_else(Clone::clone, Clone::clone);
        println!("  {:<72} | {:<17} | {figure:<44} | {}", bound.what, bound.bound, bound.verdict());
    }
    println!("\nfigures: {}", arguments.json.display());
    if let Some(path) = &arguments.table {
        page::write(&sheet, path)?;
        println!("tables: {}", path.display());
    }
    if let Some(path) = &arguments.chart {
        chart::draw(&sheet, path)?;
        println!("chart: {}", path.display());
    }
    Ok(())
}

/// What a figure has to be read with.
async fn describe(place: &Place, sheet: &mut Sheet) -> Result<()> {
    let (redis, postgres) = place.versions().await?;
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let pool = place::POOL;
    for (name, value) in [
        ("cores", cores.to_string()),
        (
            "Redis",
            format!(
                "{redis}, on the same machine, over loopback; one connection for each system and process"
            ),
        ),
        (
            "PostgreSQL",
            format!("{postgres}, likewise, without fsync; {pool} connections for each system and process"),
        ),
        ("allocator", "mimalloc, for all".to_owned()),
        ("build", "release, one binary for all".to_owned()),
    ] {
        sheet.machine.insert(name.to_owned(), value);
    }
    Ok(())
}
