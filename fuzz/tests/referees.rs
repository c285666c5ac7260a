//! The referees' opinions of the corpus, and of texts made of it: none sees what the analysis does not.

use std::collections::BTreeMap;

use sea_orm_cache_fuzz::{Verdict, check, mutate, seeds};

/// Mutations of each text, one on top of the other.
const MUTATIONS: u32 = 40;

#[test]
fn no_referee_sees_a_table_that_the_analysis_does_not() {
    let mut counts: BTreeMap<(&str, char, Verdict), usize> = BTreeMap::new();
    for (at, seed) in seeds().iter().enumerate() {
        let dialect = seed.chars().next().unwrap_or(' ');
        *counts.entry(("corpus", dialect, check(seed.as_bytes()))).or_default() += 1;
        let mut text = seed.clone().into_bytes();
        for step in 0..MUTATIONS {
            // From time to time from the start, or nothing would be left that a server takes.
            if step % 4 == 0 {
                text = seed.clone().into_bytes();
            }
            text = mutate(&text, 2000, at as u32 * MUTATIONS + step);
            let dialect = text.first().map_or(' ', |letter| *letter as char);
            *counts.entry(("mutated", dialect, check(&text))).or_default() += 1;
        }
    }
    println!("texts    dialect  verdict      count");
    for ((texts, dialect, verdict), count) in &counts {
        println!("{texts:8} {dialect:8} {:10} {count:7}", format!("{verdict:?}"));
    }
    let agreed = counts.iter().filter(|((_, _, verdict), _)| *verdict == Verdict::Same);
    assert!(agreed.map(|(_, count)| count).sum::<usize>() > 1000, "the referees were asked");
}
