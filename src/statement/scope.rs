//! Which rows of a table a statement can touch, as far as its text says.

/// The most keys that [`Scope::keys`] names. Above it, purging the table is cheaper.
pub const KEYS_LIMIT: usize = 1000;

/// A value in a key position.
///
/// The text does not know the column's type, so equality is the caller's business. Take a value as
/// a key only where it has the column's own type: an [`Integer`](Operand::Integer) against a text
/// column, or a [`Text`](Operand::Text) against an integer column, compares by the server's rules
/// (in MySQL `k = 5` also finds `'05'`), and a text key under a case-insensitive collation finds
/// other spellings. In those cases treat the scope as unknown. A bound `NULL`, in MySQL also a `0`,
/// for a column that the server numbers means "the next number", in the rows of an insert or upsert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The value bound at this zero-based position.
    Bound(usize),
    /// An integer literal.
    Integer(i64),
    /// A string literal, decoded.
    Text(Box<str>),
    /// An expression, or a literal of another type.
    Other,
}

/// A condition that every touched row fulfils: `(columns) IN (alternatives)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conjunct {
    /// The columns, without qualifiers.
    pub columns: Vec<Box<str>>,
    /// Each as long as `columns`.
    pub alternatives: Vec<Vec<Operand>>,
}

/// What is known of the rows that a statement touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing: any row.
    Unknown,
    /// Every touched row fulfils all of these. There may be more conditions that are not here.
    Where(Vec<Conjunct>),
    /// The rows that an `INSERT ... VALUES` with a column list adds.
    Rows {
        /// The columns listed.
        columns: Vec<Box<str>>,
        /// One list of values for each row, as long as `columns`.
        rows: Vec<Vec<Operand>>,
    },
}

impl Scope {
    /// The keys of the rows that can be touched, one tuple for each row, in the order of
    /// `key_columns`; `None` when the scope does not pin them (or pins more than [`KEYS_LIMIT`]).
    ///
    /// The columns may be those of the primary key or of any index: the tuples are all the values
    /// that the touched rows can have in these columns. Column names compare without case.
    pub fn keys(&self, key_columns: &[&str]) -> Option<Vec<Vec<&Operand>>> {
        if key_columns.is_empty() {
            return None;
        }
        let keys = match self {
            Scope::Unknown => None,
            Scope::Where(conjuncts) => keys_of_conjuncts(conjuncts, key_columns),
            Scope::Rows { columns, rows } => keys_of_rows(columns, rows, key_columns),
        }?;
        let plain = keys.iter().flatten().all(|o| **o != Operand::Other);
        plain.then_some(keys)
    }
}

/// May both name one column? MySQL compares names by a collation that leaves out case and accents, one
/// character for one.
pub(crate) fn may_be_same_column(a: &str, b: &str) -> bool {
    let may_be = |(x, y): (char, char)| x.eq_ignore_ascii_case(&y) || !x.is_ascii() || !y.is_ascii();
    a.eq_ignore_ascii_case(b)
        || !(a.is_ascii() && b.is_ascii())
            && a.chars().count() == b.chars().count()
            && a.chars().zip(b.chars()).all(may_be)
}

fn position(columns: &[Box<str>], column: &str) -> Option<usize> {
    columns.iter().position(|c| c.eq_ignore_ascii_case(column))
}

fn keys_of_rows<'a>(
    columns: &[Box<str>],
    rows: &'a [Vec<Operand>],
    key_columns: &[&str],
) -> Option<Vec<Vec<&'a Operand>>> {
    if rows.len() > KEYS_LIMIT {
        return None;
    }
    let places: Vec<usize> = key_columns.iter().map(|k| position(columns, k)).collect::<Option<_>>()?;
    rows.iter().map(|row| places.iter().map(|p| row.get(*p)).collect()).collect()
}

/// Covers the key columns with conjuncts, the most selective first, and multiplies them out.
fn keys_of_conjuncts<'a>(conjuncts: &'a [Conjunct], key_columns: &[&str]) -> Option<Vec<Vec<&'a Operand>>> {
    // A conjunct that names the whole key keeps its tuples together, so it wins over a product.
    let whole = |c: &&Conjunct| key_columns.iter().all(|k| position(&c.columns, k).is_some());
    if let Some(whole) = conjuncts.iter().filter(whole).min_by_key(|c| c.alternatives.len()) {
        return keys_of_rows(&whole.columns, &whole.alternatives, key_columns);
    }
    let mut chosen: Vec<&Conjunct> = Vec::new();
    for key in key_columns {
        if chosen.iter().any(|c| position(&c.columns, key).is_some()) {
            continue;
        }
        let covers = conjuncts.iter().filter(|c| position(&c.columns, key).is_some());
        chosen.push(covers.min_by_key(|c| c.alternatives.len())?);
    }
    let count = chosen.iter().try_fold(1usize, |n, c| n.checked_mul(c.alternatives.len()))?;
    if count > KEYS_LIMIT {
        return None;
    }
    // Where each key column gets its value: which chosen conjunct, which place in its tuple.
    let sources: Vec<(usize, usize)> = key_columns
        .iter()
        .map(|k| chosen.iter().enumerate().find_map(|(at, c)| position(&c.columns, k).map(|p| (at, p))))
        .collect::<Option<_>>()?;
    let mut keys = Vec::with_capacity(count);
    let mut picks = vec![0usize; chosen.len()];
    for _ in 0..count {
        let tuple = |&(at, place): &(usize, usize)| chosen[at].alternatives[picks[at]].get(place);
        keys.push(sources.iter().map(tuple).collect::<Option<Vec<_>>>()?);
        // The last conjunct turns fastest, so that keys come in the order in which they are written.
        for at in (0..picks.len()).rev() {
            picks[at] += 1;
            if picks[at] < chosen[at].alternatives.len() {
                break;
            }
            picks[at] = 0;
        }
    }
    Some(keys)
}
