//! Which texts of a column the database may hold equal, by the column's collation.

/// Which texts a column may hold equal, as far as the catalogue says: each more than those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TextEquality {
    /// Each to itself alone, but for spaces at its end.
    ToTheLetter,
    /// Also those that differ in case and accents, by no language's rules.
    IgnoresAccents,
    /// Also those that differ in case; and what is not plain ASCII, to anything. So it is where nothing is known.
    #[default]
    IgnoresCase,
    /// Any to any other.
    Unforeseen,
}

impl TextEquality {
    /// By the name of a collation of MySQL or MariaDB. Measured on all that MariaDB 10.11 has
    /// (`collation_test.rs`); of MySQL's own, those that follow a language are not known.
    pub(super) fn of_mysql(collation: &str) -> Self {
        let collation = collation.to_ascii_lowercase();
        let (charset, rules) = collation.split_once('_').unwrap_or((&collation, ""));
        let rules: Vec<_> = rules.split('_').filter(|word| *word != "nopad").collect();
        let is_of_no_language = matches!(
            rules[..],
            ["general" | "unicode", "ci"]
                | ["general", "mysql500", "ci"]
                | ["unicode", "520", "ci"]
                | ["uca1400" | "0900", "ai" | "as", "ci" | "cs"]
        );
        match charset {
            // Of other character sets, a text that has characters of its own would be compared by the collation
            // of the connection.
            "utf8mb4" if rules.last() == Some(&"bin") => Self::ToTheLetter,
            // The characters without whose accents texts are named are all in the smaller one.
            "utf8mb4" | "utf8mb3" | "utf8" if is_of_no_language => Self::IgnoresAccents,
            _ if rules.last() == Some(&"bin") => Self::IgnoresCase,
            // Signs or letters of plain ASCII that are equal to each other, or to nothing.
            "koi8u" | "macce" | "geostd8" => Self::Unforeseen,
            _ if rules
                .iter()
                .any(|rule| matches!(*rule, "lithuanian" | "roman" | "chinese" | "ukrainian")) =>
            {
                Self::Unforeseen
            }
            _ if rules.contains(&"0900") => Self::Unforeseen,
            _ => Self::IgnoresCase,
        }
    }

    /// Of the text columns of a table of SQLite, by its definition. Collations beyond SQLite's own are the
    /// program's, and virtual tables compare as they please.
    pub(super) fn of_sqlite(definition: &str) -> Self {
        let definition = definition.to_ascii_lowercase();
        if definition.trim_start().starts_with("create virtual") {
            return Self::Unforeseen;
        }
        let mut named = definition.split("collate").skip(1).map(str::trim_start);
        if !named.all(is_sqlites_own) {
            Self::Unforeseen
        } else if definition.contains("collate") || definition.contains("virtual") {
            Self::IgnoresCase
        } else {
            Self::ToTheLetter
        }
    }
}

/// Does the name of one of SQLite's own collations stand here?
fn is_sqlites_own(text: &str) -> bool {
    let quoted = [('"', '"'), ('\'', '\''), ('`', '`'), ('[', ']')]
        .iter()
        .find_map(|(open, close)| text.strip_prefix(*open)?.split_once(*close).map(|(name, _)| name));
    let name = quoted.unwrap_or_else(|| {
        let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
        text.split(|c| !goes_on(c)).next().unwrap_or_default()
    });
    matches!(name, "binary" | "nocase" | "rtrim")
}

#[cfg(test)]
mod tests {
    use super::TextEquality;

    #[test]
    fn a_collation_is_exact_if_it_compares_numbers_of_all_characters() {
        for exact in ["utf8mb4_bin", "utf8mb4_nopad_bin", "utf8mb4_0900_bin"] {
            assert_eq!(TextEquality::of_mysql(exact), TextEquality::ToTheLetter, "{exact}");
        }
        for not in ["utf8mb4_uca1400_ai_ci", "utf8mb4_0900_as_cs", "latin1_bin", "utf8mb3_bin", "binary"] {
            assert_ne!(TextEquality::of_mysql(not), TextEquality::ToTheLetter, "{not}");
        }
    }

    #[test]
    fn accents_are_left_out_only_by_collations_that_follow_no_language() {
        for known in [
            "utf8mb4_general_ci",
            "utf8mb3_unicode_ci",
            "utf8_general_mysql500_ci",
            "utf8mb4_unicode_520_nopad_ci",
            "utf8mb4_uca1400_nopad_as_cs",
            "utf8mb4_0900_ai_ci",
            "UTF8MB4_0900_AS_CI",
        ] {
            assert_eq!(TextEquality::of_mysql(known), TextEquality::IgnoresAccents, "{known}");
        }
        for language in
            ["utf8mb4_german2_ci", "utf8mb4_uca1400_swedish_ai_ci", "latin1_swedish_ci", "ucs2_general_ci"]
        {
            assert_eq!(TextEquality::of_mysql(language), TextEquality::IgnoresCase, "{language}");
        }
        for odd in [
            "utf8mb4_lithuanian_ci",
            "utf8mb4_uca1400_roman_nopad_ai_cs",
            "gbk_chinese_ci",
            "cp1251_ukrainian_ci",
            "koi8u_general_ci",
            "utf8mb4_la_0900_ai_ci",
            "utf8mb4_ja_0900_as_cs_ks",
        ] {
            assert_eq!(TextEquality::of_mysql(odd), TextEquality::Unforeseen, "{odd}");
        }
        assert_eq!(TextEquality::of_mysql("utf8mb4_romanian_ci"), TextEquality::IgnoresCase);
    }

    #[test]
    fn a_collation_of_the_programs_own_may_hold_any_texts_equal() {
        for (definition, equality) in [
            ("CREATE TABLE a (b TEXT)", TextEquality::ToTheLetter),
            ("CREATE TABLE a (b TEXT COLLATE NOCASE, c TEXT collate \"rtrim\")", TextEquality::IgnoresCase),
            ("CREATE TABLE a (b TEXT COLLATE\n[binary])", TextEquality::IgnoresCase),
            ("CREATE VIRTUAL TABLE a USING fts5(b)", TextEquality::Unforeseen),
            ("CREATE TABLE a (b TEXT AS (lower(c)) VIRTUAL)", TextEquality::IgnoresCase),
            ("CREATE TABLE a (b TEXT COLLATE german)", TextEquality::Unforeseen),
            ("CREATE TABLE a (b TEXT COLLATE NOCASE_2)", TextEquality::Unforeseen),
            ("CREATE TABLE a (b TEXT COLLATE nocase$2)", TextEquality::Unforeseen),
            ("CREATE TABLE a (b TEXT COLLATE \"nocase de\")", TextEquality::Unforeseen),
            ("CREATE TABLE a (b TEXT COLLATE /* */ NOCASE)", TextEquality::Unforeseen),
        ] {
            assert_eq!(TextEquality::of_sqlite(definition), equality, "{definition}");
        }
    }
}
