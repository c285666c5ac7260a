//! Random faults: readers and writers in processes of their own over one PostgreSQL and one Redis,
//! while processes are killed and frozen, Redis dies, forgets, remembers what is old, fails over, and
//! the network between breaks. Every process writes down what it read and wrote; then a checker
//! replays it all. Run by `cargo xtask chaos`; without its variables there is nothing to do.

mod field;
mod fleet;
mod journal;
mod judge;
mod plan;
mod process;
mod watched;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use sea_orm_cache::Consistency;
use tokio::time::sleep;

use crate::{
    support::{Backend, Proxy, ScratchDir},
    world::{StoreKind, World},
};

use field::Field;
use fleet::Fleet;
use journal::{Stats, Way};
use judge::{Memory, Stale, Verdict, judge};
use plan::{Fault, Plan, READERS, WRITERS};
use process::{BARRIER_LIFE, Role, Start};

const SECONDS: &str = "SEA_ORM_CACHE_CHAOS_SECONDS";
const SEED: &str = "SEA_ORM_CACHE_CHAOS_SEED";
/// `after_commit`: to see that the checker finds what that mode gives up.
const CONSISTENCY: &str = "SEA_ORM_CACHE_CHAOS_CONSISTENCY";
/// Milliseconds: the checker believes that what processes keep in memory may be behind by so much, whatever
/// they were told. To see that it finds what is behind by more.
const BELIEVED: &str = "SEA_ORM_CACHE_CHAOS_BELIEVED";
/// Set, it keeps what the processes wrote down.
const KEEP: &str = "SEA_ORM_CACHE_CHAOS_KEEP";
/// In a run of this length some process is answered from its memory, if any has one.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
/// Processes that were answered so often by the cache were answered from their memory too.
const ENOUGH_HITS: u64 = 500;
/// A step of the machine's clock by more than this would spoil the order of what was written down. (It may
/// be slowed or hastened by half a thousandth.)
const CLOCK_MAY_DRIFT: Duration = Duration::from_millis(2);

// case A8, A9, B13, B14, B15, C1, C2, C3, C4, C5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_random_faults() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    let Some(seconds) = number(SECONDS) else { return };
    let seed = number(SEED).unwrap_or(1);
    let consistency = match std::env::var(CONSISTENCY).as_deref() {
        Ok("after_commit") => Consistency::AfterCommit,
        _ => Consistency::Strict,
    };
    let Some(world) = World::new(Backend::Postgres, StoreKind::Memory).await else { return };
    let Some(mut field) = Field::new().await else { return };
    let database = Proxy::start(world.database.server_address().unwrap()).await;
    let directory = ScratchDir::create("chaos");
    let start = |place: usize, role| Start {
        role,
        database: match role {
            Role::Writer => world.database.url_through(&database.address()),
            Role::Reader => world.database.url().to_owned(),
        },
        redis: if role == Role::Writer { field.writers.redis_url() } else { field.readers.redis_url() },
        journal: directory.path().to_owned(),
        seed: seed.wrapping_mul(1 << 20) + place as u64,
        consistency,
    };
    let writers = (0..WRITERS).map(|place| start(place, Role::Writer));
    let readers = (WRITERS..WRITERS + READERS).map(|place| start(place, Role::Reader));
    let fleet = Fleet::new(directory.path(), writers.chain(readers).collect());

    let time = Duration::from_secs(seconds);
    let plan = Plan::new(seed, time);
    println!("chaos for {seconds} s with seed {seed}, {consistency:?}");
    let injected = RefCell::new(Vec::new());
    let (clock, began) = (SystemTime::now(), Instant::now());
    let processes = async {
        for (pause, fault) in &plan.processes {
            sleep(*pause).await;
            if began.elapsed() >= time {
                break;
            }
            injected.borrow_mut().push(*fault);
            match *fault {
                Fault::KillWriter(place) => fleet.kill(place),
                Fault::KillReader(place) => fleet.kill(WRITERS + place),
                Fault::FreezeWriter(place, time) => fleet.freeze(place, time).await,
                Fault::FreezeReader(place, time) => fleet.freeze(WRITERS + place, time).await,
                _ => database.cut().await,
            }
        }
    };
    let redis = async {
        for (pause, fault) in &plan.redis {
            sleep(*pause).await;
            if began.elapsed() >= time {
                break;
            }
            injected.borrow_mut().push(*fault);
            field.inflict(*fault).await;
        }
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(processes, redis) } => {}
        () = fleet.look_after() => {}
    }
    // A moment of peace, in which everything that was left has to come out right.
    tokio::select! {
        () = sleep(BARRIER_LIFE * 2) => {}
        () = fleet.look_after() => {}
    }
    let took = began.elapsed();
    let clock = clock.elapsed().expect("the machine's clock went backwards: run again");
    fleet.finish().await;
    assert!(
        clock.abs_diff(took) < CLOCK_MAY_DRIFT + took / 1000,
        "the machine's clock was stepped: run again"
    );

    let believed = number(BELIEVED).map(|millis| Duration::from_millis(millis).as_nanos() as u64);
    let verdict = judge(&fleet.journals(), &field.losses, BARRIER_LIFE.as_nanos() as u64, believed);
    println!("{} faults injected:\n{}", injected.borrow().len(), plan::counted(&injected.borrow()));
    report(&verdict, &fleet, &field, took);
    if verdict.violations() > 0 || std::env::var_os(KEEP).is_some() {
        println!("what was written down is in {}", directory.path().display());
        std::mem::forget(directory);
    }
    assert!(fleet.failed().is_empty(), "processes failed:\n{}", fleet.failed().join("\n"));
    assert_eq!(verdict.violations(), 0, "violations of the contract");
    assert_eq!(verdict.failed_reads, 0, "reads that neither the cache nor the database answered");
    assert!(verdict.stats.hits > 0 && verdict.commits > 0, "nothing was put to the test");
    let of_memory = |counted: &Stats| (counted.hits >= ENOUGH_HITS).then_some(counted.near > 0);
    for (memory, (_, counted)) in &verdict.memories {
        let may_answer = *memory != Memory::Nothing;
        assert!(may_answer || counted.near == 0, "answers from a memory that is not there");
        assert_ne!(of_memory(counted).filter(|_| may_answer), Some(false), "{memory:?} never answered");
    }
    let has_memory = verdict.memories.keys().any(|memory| *memory != Memory::Nothing);
    if has_memory && time >= LONG_ENOUGH {
        assert!(verdict.stats.near > 0, "no process was ever answered from its memory");
    }
}

fn report(verdict: &Verdict, fleet: &Fleet, field: &Field, took: Duration) {
    let ms = |nanos: u64| Duration::from_nanos(nanos).as_millis();
    let reads: BTreeMap<Way, u64> = verdict.reads.clone();
    let answered = verdict.all_reads();
    let all = answered + verdict.failed_reads;
    println!(
        "\nran for {:.1} s; {} processes in {} places",
        took.as_secs_f64(),
        fleet.started(),
        WRITERS + READERS
    );
    println!("  {:>8}  writers that killed themselves at a step of a write", fleet.died_at_a_step());
    println!("  {:>8}  keys evicted", field.evicted);
    println!("  {:>8}  feeds closed", field.killed_feeds.load(Ordering::Relaxed));
    println!("  {:>8}  writes acknowledged (rows)", verdict.commits);
    println!("  {:>8}  writes refused or failed", verdict.not_written);
    println!("  {:>8}  purges delayed", verdict.stats.delayed);
    println!("  {:>8}  barriers found gone while their COMMIT was under way", verdict.stats.lapsed);
    println!("  {:>8}  writes without a barrier", verdict.stats.unguarded);
    println!("  {answered:>8}  rows read: {reads:?}");
    println!(
        "  {:>8}  cached reads, {} of them hits, {} bypasses, {} of those with Redis away",
        verdict.stats.reads, verdict.stats.hits, verdict.stats.bypasses, verdict.stats.away
    );
    for (memory, (processes, counted)) in &verdict.memories {
        println!(
            "  {processes:>8}  processes with {}: {} cached reads, {} hits, {} of them from memory",
            match memory {
                Memory::Nothing => "nothing in memory",
                Memory::Proven => "answers in memory, asked about",
                Memory::Bounded => "answers in memory, behind by a bound",
            },
            counted.reads,
            counted.hits,
            counted.near
        );
    }
    println!("  {:>8}  reads behind within the bound of their process", verdict.within_bound);
    println!("  {:>8}  us, the farthest of these", verdict.farthest_behind / 1000);
    println!("  {:>8}  ms, the longest time of a process without a hit", verdict.stats.longest_bypass);
    println!("  {:>8}  ms, the longest read", ms(verdict.longest_read));
    println!("  {:>7.3}%  of reads answered", 100.0 * answered as f64 / all.max(1) as f64);
    println!("  {:>8}  reads behind a COMMIT that had been acknowledged (F1)", verdict.behind_a_commit.len());
    println!("  {:>8}  reads behind another read (F2, F4, F5)", verdict.behind_a_read.len());
    println!(
        "  {:>8}  reads of what was never committed (F3)",
        verdict.uncommitted.len() + verdict.torn.len()
    );
    println!(
        "  {:>8}  reads behind in a double fault: a standing barrier was lost",
        verdict.double_faults.len()
    );
    let show = |what: &str, stale: &[Stale]| {
        for it in stale.iter().take(20) {
            println!(
                "{what}: {:?} of row {} began {} and ended {} (as of {}): version {}, {}; version {} was known since {}, by {}",
                it.way,
                it.row.id,
                it.began,
                it.ended,
                it.as_of,
                it.row.version,
                it.row.title,
                it.known,
                it.known_at,
                if it.by_commit { "its COMMIT" } else { "a read" },
            );
            if let Some(excuse) = &it.excuse {
                println!("    {excuse}");
            }
        }
    };
    show("F1", &verdict.behind_a_commit);
    show("F2", &verdict.behind_a_read);
    show("double fault", &verdict.double_faults);
    println!("{} violations", verdict.violations());
}
