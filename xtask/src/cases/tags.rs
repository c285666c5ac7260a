//! Where cases are named: in comments of the code, and in the text of the contract.

use std::fmt;

/// The name of a case, such as `D5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaseId {
    /// `D`
    pub section: char,
    /// `5`
    pub number: u32,
}

impl CaseId {
    /// The id that `word` is.
    pub fn parse(word: &str) -> Option<Self> {
        let mut rest = word.chars();
        let section = rest.next().filter(char::is_ascii_uppercase)?;
        let number = rest.as_str();
        // No `D05`: a name is spelled in one way.
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        Some(Self { section, number: number.parse().ok().filter(|_| is_number)? })
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.section, self.number)
    }
}

/// A word that stands where an id is to stand, and the line on which it does, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The id, or the word if it is none.
    pub id: Result<CaseId, String>,
    /// The line of the text.
    pub line: usize,
}

/// What the text names after a word such as "case", or more of it: `case D5`, `case D5, D6`, `cases D5 and D6`,
/// `case D5 case D6`.
pub fn named(word: &str, text: &str) -> Vec<Named> {
    let keyword = word;
    let mut found = Vec::new();
    let mut in_list = false;
    let words = text
        .lines()
        .enumerate()
        .flat_map(|(at, line)| line.split_whitespace().map(move |word| (at + 1, word)));
    for (line, word) in words {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_keyword = bare.strip_suffix('s').unwrap_or(bare) == keyword;
        if is_keyword && word.ends_with(bare) {
            in_list = true;
        } else if in_list && looks_like_id(bare) {
            found.push(Named { id: CaseId::parse(bare).ok_or_else(|| bare.to_owned()), line });
            // `case D5: what it is about` has one id; a list goes on after a comma or a space.
            in_list = word.ends_with(bare) || word.ends_with(',');
        } else {
            in_list = in_list && bare == "and";
        }
    }
    found
}

/// A letter and a digit: an id, or somebody's idea of one (`d5`, `D5/D6`).
fn looks_like_id(word: &str) -> bool {
    let mut bytes = word.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.next().is_some_and(|byte| byte.is_ascii_digit())
}

/// What the contract names: in its sentences, and in the first column of its tables.
pub fn named_in_contract(text: &str) -> Vec<Named> {
    let mut found = named("case", text);
    for (at, line) in text.lines().enumerate() {
        let Some((cell, _)) = line.strip_prefix('|').and_then(|row| row.split_once('|')) else { continue };
        found.extend(
            named("case", &format!("case {cell}")).into_iter().map(|it| Named { line: at + 1, ..it }),
        );
    }
    found
}

/// A case that a comment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What is named.
    pub named: Named,
    /// The function that follows the comment, or in which it stands.
    pub function: Option<Function>,
}

/// A function in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Has it a test's attribute, or is it in a list that a macro makes tests of?
    pub is_test: bool,
}

/// What the comments of a file name after the word. It is formatted by rustfmt, so that indentation tells what
/// encloses what.
pub fn tags(word: &str, source: &str) -> Vec<Tag> {
    let lines: Vec<&str> = source.lines().collect();
    let mut tags = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
        let names = named(word, comment);
        if names.is_empty() {
            continue;
        }
        let function = following(&lines, at).or_else(|| enclosing(&lines, at)).map(|at| Function {
            name: function_name(lines[at]).unwrap_or_default().to_owned(),
            is_test: is_test(&lines, at),
        });
        tags.extend(
            names
                .into_iter()
                .map(|named| Tag { named: Named { line: at + 1, ..named }, function: function.clone() }),
        );
    }
    tags
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_comment_or_attribute(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("#[")
}

fn function_name(line: &str) -> Option<&str> {
    const BEFORE: [&str; 8] = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "fn"];
    let mut rest = line.trim_start();
    loop {
        let (word, after) = rest.split_once(' ')?;
        if !BEFORE.contains(&word) {
            return None;
        }
        if word == "fn" {
            return after.split(['(', '<']).next();
        }
        rest = after;
    }
}

fn following(lines: &[&str], at: usize) -> Option<usize> {
    let next = (at..lines.len()).find(|line| !is_comment_or_attribute(lines[*line]))?;
    function_name(lines[next]).map(|_| next)
}

fn enclosing(lines: &[&str], at: usize) -> Option<usize> {
    let mut limit = indentation(lines[at]);
    for above in (0..at).rev().filter(|line| !lines[*line].trim().is_empty()) {
        if indentation(lines[above]) < limit {
            limit = indentation(lines[above]);
            if function_name(lines[above]).is_some() {
                return Some(above);
            }
        }
    }
    None
}

fn is_test(lines: &[&str], function: usize) -> bool {
    let attributes =
        (0..function).rev().map(|line| lines[line].trim()).take_while(|line| is_comment_or_attribute(line));
    let has_attribute = attributes.filter(|line| line.starts_with("#[")).any(|line| {
        let path = line.trim_start_matches("#[").split(['(', ']']).next().unwrap_or_default();
        path.rsplit("::").next() == Some("test")
    });
    let name = function_name(lines[function]).unwrap_or_default();
    has_attribute
        || (0..lines.len())
            .any(|at| lines[at].trim().strip_suffix(',') == Some(name) && is_in_macro(lines, at))
}

/// The line stands between the braces of a macro's call.
fn is_in_macro(lines: &[&str], at: usize) -> bool {
    let encloses = |above: &&str| !above.trim().is_empty() && indentation(above) < indentation(lines[at]);
    lines[..at].iter().copied().rfind(encloses).is_some_and(|line| line.ends_with("! {"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(found: &[Named]) -> Vec<String> {
        let spelled = |it: &Named| it.id.clone().map_or_else(|word| format!("?{word}"), |id| id.to_string());
        found.iter().map(spelled).collect()
    }

    #[test]
    fn ids_are_a_letter_and_a_number() {
        let id = CaseId::parse("D12").unwrap();
        assert_eq!((id.section, id.number, id.to_string().as_str()), ('D', 12, "D12"));
        for word in ["", "D", "12", "d1", "D1a", "D-1", "D+1", "D01", "DD1", "D99999999999"] {
            assert_eq!(CaseId::parse(word), None, "{word}");
        }
    }

    #[test]
    fn every_spelling_of_a_list_is_read() {
        for text in [
            " case D5, E6",
            " case D5 E6",
            " case D5 case E6",
            " cases D5 and E6.",
            "/ what it does. case D5, E6",
            " (cases D5, E6), and case",
            " case\nD5,\nE6",
        ] {
            assert_eq!(ids(&named("case", text)), ["D5", "E6"], "{text:?}");
        }
        assert_eq!(ids(&named("case", "case A11, A13: a read in T1 sees E5")), ["A11", "A13"]);
        assert_eq!(ids(&named("case", "case A28, inside a transaction of C3")), ["A28"]);
        assert_eq!(
            ids(&named("case", "a case. D5 is none, in no case, D6; caseD7 case folding")),
            Vec::<String>::new()
        );
        assert_eq!(named("case", "\n\ncase D5")[0].line, 3);
    }

    #[test]
    fn what_is_meant_as_an_id_and_is_none_is_told() {
        assert_eq!(ids(&named("case", "case d5")), ["?d5"]);
        assert_eq!(ids(&named("case", "case D5/D6")), ["?D5/D6"]);
        assert_eq!(ids(&named("case", "case D5, E6b, D7")), ["D5", "?E6b", "D7"]);
    }

    #[test]
    fn the_contract_names_cases_in_sentences_and_tables() {
        let table = "| case | what |\n|---|---|\n| B21, cluster-wide | case B1 |\n| C1, C2 | x |";
        let text = &format!("a hole (case A28).\n\n{table}");
        let found = named_in_contract(text);
        let mut lines: Vec<_> = found.iter().map(|it| it.line).collect();
        lines.sort_unstable();
        let mut ids = ids(&found);
        ids.sort();
        assert_eq!(ids, ["A28", "B1", "B21", "C1", "C2"]);
        assert_eq!(lines, [1, 5, 5, 6, 6]);
    }

    const SOURCE: &str = r#"
// case A1
/// More.
#[tokio::test(flavor = "multi_thread")]
async fn follows() {
    let x = [
        // case A2, A3
        1,
    ];
    let y = "case A9";
}

// case A4
pub(crate) fn is_none() {
    // case A5
}

// case A6

mod inner {
    // case A7
    #[test]
    fn in_a_module<T>() {}
}

// case A8
async fn by_a_macro(store: Store) {}

// case A10
fn bound() {}

tests! {
    by_a_macro,
}

let x = X {
    bound,
};
"#;

    #[test]
    fn a_tag_belongs_to_the_function_that_follows_or_encloses_it() {
        let found: Vec<_> = tags("case", SOURCE)
            .into_iter()
            .map(|tag| {
                let function = tag.function.map(|it| (it.name, it.is_test));
                (tag.named.id.unwrap().to_string(), tag.named.line, function)
            })
            .collect();
        let of = |name: &str, is_test| Some((name.to_owned(), is_test));
        let expected = [
            ("A1", 2, of("follows", true)),
            ("A2", 7, of("follows", true)),
            ("A3", 7, of("follows", true)),
            ("A4", 13, of("is_none", false)),
            ("A5", 15, of("is_none", false)),
            ("A6", 18, None),
            ("A7", 21, of("in_a_module", true)),
            ("A8", 26, of("by_a_macro", true)),
            ("A10", 29, of("bound", false)),
        ];
        assert_eq!(found, expected.map(|(id, line, function)| (id.to_owned(), line, function)));
    }
}
