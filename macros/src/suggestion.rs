//! "Did you mean": the known name that is closest to a misspelt one.

/// `` `a`, `b`, `c` ``
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `` (did you mean `ttl`?)`` to append to a message, or nothing if no name is close.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: more, and the suggestion is a guess that misleads.
    let tolerated = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= tolerated && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters to insert, delete, replace or swap with their neighbour. A swap counts once, because
/// it is the commonest slip in a word as short as `ttl`.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<_>, Vec<_>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    rows[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        rows[i][0] = i;
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["ttl", "negative_ttl", "warmup", "skip"];

    #[test]
    fn a_slip_is_recognised() {
        for (word, name) in [
            ("tll", "ttl"),
            ("tlt", "ttl"),
            ("TTL", "ttl"),
            ("warm_up", "warmup"),
            ("negativ_tl", "negative_ttl"),
        ] {
            assert_eq!(closest(word, KNOWN), Some(name), "{word}");
        }
    }

    #[test]
    fn a_different_word_gets_no_suggestion() {
        for word in ["expire", "x", "", "codec", "max_age"] {
            assert_eq!(closest(word, KNOWN), None, "{word}");
        }
    }
}
