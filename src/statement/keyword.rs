//! The words that the scan looks at, found by one hash probe.

/// Longer than any keyword below; longer words are names.
const LONGEST: usize = 17;
/// A power of two, several times the number of keywords.
const SLOTS: usize = 1024;

macro_rules! keywords {
    ($($name:ident = $text:literal,)*) => {
        /// An unquoted word that means something to the scan. [`Kw::None`] is any other token.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub(super) enum Kw { None, $($name,)* }

        const WORDS: &[(&str, Kw)] = &[$(($text, Kw::$name),)*];
    };
}

keywords! {
    Abort = "abort", All = "all", Alter = "alter", Analyse = "analyse", Analyze = "analyze", And = "and",
    As = "as", Atomic = "atomic", Attach = "attach", Autocommit = "autocommit", Begin = "begin",
    Between = "between", By = "by", Call = "call", Cascade = "cascade", Case = "case", Check = "check",
    Checkpoint = "checkpoint", Checksum = "checksum", Close = "close", Cluster = "cluster",
    Columns = "columns", Comment = "comment", Commit = "commit", Concurrently = "concurrently",
    Conflict = "conflict", Connection = "connection", Constraint = "constraint", Constraints = "constraints",
    Copy = "copy", Create = "create", Cross = "cross", Current = "current", Cursor = "cursor",
    Cycle = "cycle", Database = "database", Deallocate = "deallocate", Declare = "declare",
    Default = "default", Deferred = "deferred", Delayed = "delayed", Delete = "delete", Desc = "desc",
    Describe = "describe", Detach = "detach", Discard = "discard", Distinct = "distinct", Do = "do",
    Drop = "drop", Dual = "dual", Dumpfile = "dumpfile", Duplicate = "duplicate", Else = "else", End = "end",
    Event = "event", Except = "except", Exchange = "exchange", Exclusive = "exclusive",
    Execute = "execute", Exists = "exists", Explain = "explain", Extended = "extended",
    Fail = "fail", Fetch = "fetch", First = "first", Flush = "flush", For = "for",
    Force = "force", Foreign = "foreign", Format = "format", From = "from", Full = "full",
    Function = "function", Global = "global", Grant = "grant", Group = "group", Handler = "handler",
    Having = "having", HighPriority = "high_priority", If = "if", Ignore = "ignore",
    Immediate = "immediate", In = "in", Index = "index", Indexed = "indexed", Inherit = "inherit",
    Inherits = "inherits", Inner = "inner", Insert = "insert", Intersect = "intersect", Into = "into",
    Is = "is", Isolation = "isolation", Join = "join", Key = "key", Kill = "kill", Lateral = "lateral",
    Left = "left", Like = "like", Limit = "limit", Listen = "listen", Load = "load", Local = "local",
    Lock = "lock", LowPriority = "low_priority", Matched = "matched", Materialized = "materialized",
    Merge = "merge", Minus = "minus", Move = "move", Names = "names", Natural = "natural", Next = "next",
    No = "no", Not = "not", Nothing = "nothing", Notify = "notify", Null = "null", Of = "of",
    Offset = "offset", On = "on", Only = "only", Optimize = "optimize", Or = "or", Order = "order",
    Ordinality = "ordinality", Outer = "outer", Outfile = "outfile", Overriding = "overriding",
    Owned = "owned", Partition = "partition", Partitions = "partitions", Plan = "plan", Policy = "policy",
    Pragma = "pragma", Prepare = "prepare", Prepared = "prepared", Procedure = "procedure",
    Program = "program", Query = "query", Quick = "quick", Read = "read", Recover = "recover",
    Recursive = "recursive", Refresh = "refresh", Reindex = "reindex", Release = "release",
    Rename = "rename", Repair = "repair", Repeatable = "repeatable", Replace = "replace",
    Reset = "reset", Resume = "resume", Returning = "returning", Revoke = "revoke", Right = "right",
    Role = "role", Rollback = "rollback", Row = "row", Rows = "rows", Rule = "rule", Savepoint = "savepoint",
    Schema = "schema", Search = "search", Security = "security", Select = "select", Sequence = "sequence",
    Session = "session", Set = "set", Share = "share", Show = "show", SqlCache = "sql_cache",
    SqlNoCache = "sql_no_cache", Start = "start", Statement = "statement", Stdin = "stdin",
    StraightJoin = "straight_join", System = "system", SystemTime = "system_time", Table = "table",
    Tables = "tables", TableSample = "tablesample", Temp = "temp", Temporary = "temporary", Then = "then",
    To = "to", Transaction = "transaction", Trigger = "trigger", Truncate = "truncate",
    Unique = "unique", Unlisten = "unlisten", Unlock = "unlock", Unlogged = "unlogged", Union = "union",
    Update = "update", Use = "use", User = "user", Using = "using", Vacuum = "vacuum", Value = "value",
    Values = "values", Verbose = "verbose", View = "view", Virtual = "virtual", When = "when",
    Where = "where", Window = "window", With = "with", Work = "work", Xa = "xa", Xor = "xor",
    CurrentCatalog = "current_catalog", CurrentDate = "current_date", CurrentRole = "current_role",
    CurrentSchema = "current_schema", CurrentTime = "current_time",
    CurrentTimestamp = "current_timestamp", CurrentUser = "current_user", Localtime = "localtime",
    Localtimestamp = "localtimestamp", SessionUser = "session_user", SystemUser = "system_user",
    UtcDate = "utc_date", UtcTime = "utc_time", UtcTimestamp = "utc_timestamp", Sysdate = "sysdate",
}

/// Spreads words by length and three of their letters; collisions go to the next slot.
const fn slot(word: &[u8]) -> usize {
    let n = word.len();
    let first = (word[0] | 0x20) as usize;
    let middle = (word[n / 2] | 0x20) as usize;
    let last = (word[n - 1] | 0x20) as usize;
    first.wrapping_mul(31).wrapping_add(middle.wrapping_mul(257)).wrapping_add(last.wrapping_mul(7)) + n * 59
}

static TABLE: [u8; SLOTS] = {
    let mut table = [0u8; SLOTS];
    let mut at = 0;
    while at < WORDS.len() {
        let mut place = slot(WORDS[at].0.as_bytes()) % SLOTS;
        while table[place] != 0 {
            place = (place + 1) % SLOTS;
        }
        table[place] = at as u8 + 1;
        at += 1;
    }
    table
};

const _: () = assert!(WORDS.len() < 255);

/// The keyword that this word is, in any case.
pub(super) fn lookup(word: &[u8]) -> Kw {
    if word.is_empty() || word.len() > LONGEST {
        return Kw::None;
    }
    let mut place = slot(word) % SLOTS;
    loop {
        match TABLE[place] {
            0 => return Kw::None,
            at => {
                let (text, kw) = WORDS[at as usize - 1];
                if text.as_bytes().eq_ignore_ascii_case(word) {
                    return kw;
                }
            }
        }
        place = (place + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found_in_any_case_and_nothing_else_is() {
        for (text, kw) in WORDS {
            assert_eq!(lookup(text.as_bytes()), *kw);
            assert_eq!(lookup(text.to_ascii_uppercase().as_bytes()), *kw);
            assert_eq!(lookup(format!("{text}x").as_bytes()), Kw::None);
        }
        assert_eq!(lookup(b"cake"), Kw::None);
    }
}
