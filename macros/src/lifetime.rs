//! `ttl = "10m"` and `negative_ttl = "short"`.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::LitStr;

use crate::suggestion::did_you_mean;

/// What Redis can still expire: it counts milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);

/// Ten years of 365.25 days, as in `"10years"`. Past that a lifetime is a slip of the pen.
const LONGEST: Duration = Duration::from_secs(10 * 31_557_600);

const CLASSES: [&str; 4] = ["short", "medium", "long", "static"];

const ALLOWED: &str = "a duration from 1ms to 10years, such as \"30s\", \"10m\" or \"1h 30m\", \
     or a class: \"short\", \"medium\", \"long\", \"static\"";

/// A checked time to live.
#[derive(Debug, PartialEq)]
pub(crate) enum Lifetime {
    For(Duration),
    Short,
    Medium,
    Long,
    Static,
}

impl Lifetime {
    pub(crate) fn parse(literal: &LitStr) -> syn::Result<Self> {
        let text = literal.value();
        match text.as_str() {
            "short" => Ok(Self::Short),
            "medium" => Ok(Self::Medium),
            "long" => Ok(Self::Long),
            "static" => Ok(Self::Static),
            _ => duration(&text).map(Self::For).map_err(|why| syn::Error::new(literal.span(), why)),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    // humantime reads `M` as months: ten of them, where ten minutes were meant.
    if text.contains('M') {
        return Err(format!("`M` in {text:?} could be minutes or months, write `m` or `months`"));
    }
    let duration = match humantime::parse_duration(text) {
        Ok(duration) => duration,
        Err(humantime::DurationError::NumberOverflow) => {
            return Err(format!("{text:?} is too long, expected {ALLOWED}"));
        }
        Err(_) => {
            let hint = did_you_mean(text, CLASSES);
            return Err(format!("{text:?} is not a time to live{hint}; expected {ALLOWED}"));
        }
    };
    if duration.is_zero() {
        return Err(format!(
            "a time to live cannot be zero, expected {ALLOWED}; \
             an entity that is never cached is declared with `skip`"
        ));
    }
    if duration < SHORTEST {
        return Err(format!("{text:?} is too short, expected {ALLOWED}"));
    }
    if duration > LONGEST {
        return Err(format!("{text:?} is too long, expected {ALLOWED}"));
    }
    Ok(duration)
}

impl ToTokens for Lifetime {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let class = match self {
            Self::For(duration) => {
                let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
                tokens.extend(quote! {
                    ::sea_orm_cache::TtlSpec::For(::core::time::Duration::new(#seconds, #nanoseconds))
                });
                return;
            }
            Self::Short => quote!(Short),
            Self::Medium => quote!(Medium),
            Self::Long => quote!(Long),
            Self::Static => quote!(Static),
        };
        tokens.extend(quote!(::sea_orm_cache::TtlSpec::Class(::sea_orm_cache::TtlClass::#class)));
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn parse(text: &str) -> Result<Lifetime, String> {
        Lifetime::parse(&LitStr::new(text, Span::call_site())).map_err(|error| error.to_string())
    }

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("1h 30m", 5400), ("2 days", 172_800)] {
            assert_eq!(parse(text), Ok(Lifetime::For(Duration::from_secs(seconds))));
        }
        assert_eq!(parse("1ms"), Ok(Lifetime::For(SHORTEST)));
        assert_eq!(parse("10years"), Ok(Lifetime::For(LONGEST)));
    }

    #[test]
    fn classes_are_read() {
        assert_eq!(parse("short"), Ok(Lifetime::Short));
        assert_eq!(parse("static"), Ok(Lifetime::Static));
    }

    #[test]
    fn what_is_refused_says_what_is_allowed() {
        for (text, why) in [
            ("10", "is not a time to live; expected a duration"),
            ("", "is not a time to live"),
            ("ten minutes", "is not a time to live"),
            ("meduim", "did you mean `medium`?"),
            ("Long", "did you mean `long`?"),
            ("0", "cannot be zero"),
            ("0s", "declared with `skip`"),
            ("10us", "\"10us\" is too short"),
            ("11years", "\"11years\" is too long"),
            ("99999999999999999999s", "is too long"),
            ("10M", "minutes or months"),
            ("1M 3s", "minutes or months"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
