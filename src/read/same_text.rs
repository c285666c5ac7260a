//! Does a value that was read back look like the one that was written? By what their `Debug` writes.

use std::fmt::Write;

/// What a value writes down of itself.
pub(super) fn text_of(room: usize, debug: impl FnOnce(&mut dyn Write)) -> String {
    let mut text = String::with_capacity(room);
    debug(&mut text);
    text
}

/// Does a value write this text? Compared while it is written, so that only one of two texts is kept.
pub(super) fn writes(text: &str, debug: impl FnOnce(&mut dyn Write)) -> bool {
    let mut out = Compared { rest: text, same: true };
    debug(&mut out);
    out.same && out.rest.is_empty()
}

struct Compared<'a> {
    rest: &'a str,
    same: bool,
}

impl Write for Compared<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        match self.rest.strip_prefix(text) {
            Some(rest) => self.rest = rest,
            None => self.same = false,
        }
        // Never an error: a `Debug` of the user's own need not expect one.
        Ok(())
    }
}

/// Texts that differ: are they of the same bytes in another order, and is the order one that changes from one
/// decoding to the next, as in a hash map? `writes_back` decodes again, and says whether that is `back` again.
pub(super) fn differ_in_order<E>(
    text: &str,
    back: &str,
    writes_back: impl Fn() -> Result<bool, E>,
) -> Result<bool, E> {
    /// Two entries of a hash map change places every other time.
    const TRIES: usize = 8;
    let counts = |text: &str| {
        let mut counts = [0_usize; 256];
        text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
        counts
    };
    if counts(text) != counts(back) {
        return Ok(false);
    }
    for _ in 0..TRIES {
        if !writes_back()? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debug(value: &impl std::fmt::Debug) -> impl FnOnce(&mut dyn Write) {
        move |out| {
            let _ = write!(out, "{value:?}");
        }
    }

    #[test]
    fn a_text_is_the_same_only_from_its_beginning_to_its_end() {
        let text = text_of(0, debug(&["one", "two"]));
        assert_eq!(text, r#"["one", "two"]"#);
        assert!(writes(&text, debug(&["one", "two"])));
        assert!(!writes(&text, debug(&["one", "tow"])));
        assert!(!writes(&text[..text.len() - 1], debug(&["one", "two"])), "it goes on");
        assert!(!writes(&(text.clone() + " "), debug(&["one", "two"])), "it ends before");
        assert!(!writes("", debug(&0)) && writes("", |_| ()));
    }

    #[test]
    fn another_order_counts_only_if_it_changes_by_itself() {
        let ask = |text: &str, back: &str, same: bool| differ_in_order(text, back, || Ok::<_, ()>(same));
        assert_eq!(ask("{1, 2}", "{2, 1}", false), Ok(true));
        assert_eq!(ask("{1, 2}", "{2, 1}", true), Ok(false));
        assert_eq!(ask("{1, 2}", "{1, 3}", false), Ok(false));
    }
}
