//! What the `#[cache(...)]` attributes of a struct declare, merged and checked.

use proc_macro2::Ident;
use syn::{Attribute, LitStr, Meta, Path, Token, punctuated::Punctuated};

use crate::{
    errors::Errors,
    field::Fields,
    lifetime::Lifetime,
    literal::{self, name_of},
    suggestion::{did_you_mean, quoted},
    template::{self, Template},
    warm_up::WarmUp,
};

const ALLOWED: [&str; 20] = [
    "ttl",
    "negative_ttl",
    "stale_while_revalidate",
    "stale_if_error",
    "refresh_early",
    "namespace",
    "tags",
    "index",
    "purges",
    "purges_on_insert",
    "purges_on_update",
    "purges_on_delete",
    "also_writes",
    "harmless_triggers",
    "precise",
    "warmup",
    "write_through",
    "compress_above",
    "encrypted",
    "skip",
];

/// Attributes that add up when they are repeated; the others are declared once.
const LISTS: [&str; 7] =
    ["tags", "index", "purges", "purges_on_insert", "purges_on_update", "purges_on_delete", "also_writes"];

/// Attributes that may stand beside `skip`: a skipped entity has writes but no entries.
const WITH_SKIP: [&str; 7] = [
    "skip",
    "purges",
    "purges_on_insert",
    "purges_on_update",
    "purges_on_delete",
    "also_writes",
    "harmless_triggers",
];

/// Rows that `precise` without a number selects before a write, at most.
const PRECISE_ROWS: u64 = 1000;

/// The declared policy.
#[derive(Default)]
pub(crate) struct Declaration {
    pub(crate) ttl: Option<Lifetime>,
    pub(crate) negative_ttl: Option<Lifetime>,
    pub(crate) stale_while_revalidate: Option<Lifetime>,
    pub(crate) stale_if_error: Option<Lifetime>,
    pub(crate) refresh_early: Option<f64>,
    pub(crate) namespace: Option<String>,
    pub(crate) tags: Vec<Template>,
    pub(crate) index: Vec<Ident>,
    /// The tags, and on which writes; `None` is any.
    pub(crate) purges: Vec<(Option<&'static str>, String)>,
    pub(crate) also_writes: Vec<String>,
    pub(crate) harmless_triggers: bool,
    pub(crate) precise: Option<u64>,
    pub(crate) warm_up: Option<WarmUp>,
    pub(crate) write_through: bool,
    pub(crate) compress_above: Option<u64>,
    pub(crate) encrypted: bool,
    pub(crate) skip: bool,
}

impl Declaration {
    pub(crate) fn read(attributes: &[Attribute], fields: &Fields, errors: &mut Errors) -> Self {
        let mut reader =
            Reader { fields, errors, seen: Vec::new(), literals: Vec::new(), declared: Self::default() };
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("cache")) {
            reader.attribute(attribute);
        }
        reader.refuse_what_skip_makes_void();
        reader.declared
    }
}

struct Reader<'a> {
    fields: &'a Fields,
    errors: &'a mut Errors,
    /// Attributes so far, where they stand.
    seen: Vec<(String, Path)>,
    /// List entries so far: attribute and text.
    literals: Vec<(String, String)>,
    declared: Declaration,
}

impl Reader<'_> {
    fn attribute(&mut self, attribute: &Attribute) {
        let list = match &attribute.meta {
            Meta::Path(_) => return,
            Meta::List(list) => list,
            Meta::NameValue(_) => {
                let message = "expected `#[cache(...)]`, such as `#[cache(ttl = \"10m\")]`";
                return self.errors.push(syn::Error::new_spanned(attribute, message));
            }
        };
        let parsed = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        for meta in self.errors.keep(parsed).into_iter().flatten() {
            let name = name_of(meta.path());
            let again = self.seen.iter().any(|(seen, _)| *seen == name);
            if again && ALLOWED.contains(&name.as_str()) && !LISTS.contains(&name.as_str()) {
                let message = format!("`{name}` is declared twice");
                self.errors.push(syn::Error::new_spanned(meta.path(), message));
                continue;
            }
            if let Err(error) = self.declare(&name, &meta) {
                self.errors.push(error);
            }
            self.seen.push((name, meta.path().clone()));
        }
    }

    fn declare(&mut self, name: &str, meta: &Meta) -> syn::Result<()> {
        match name {
            "ttl" => {
                let text = literal::string(meta, "ttl = \"10m\"")?;
                self.declared.ttl = Some(Lifetime::parse(&text)?);
            }
            "negative_ttl" => {
                let text = literal::string(meta, "negative_ttl = \"30s\"")?;
                self.declared.negative_ttl = Some(Lifetime::parse(&text)?);
            }
            "stale_while_revalidate" => {
                let text = literal::string(meta, "stale_while_revalidate = \"30s\"")?;
                self.declared.stale_while_revalidate = Some(Lifetime::parse(&text)?);
            }
            "stale_if_error" => {
                let text = literal::string(meta, "stale_if_error = \"10m\"")?;
                self.declared.stale_if_error = Some(Lifetime::parse(&text)?);
            }
            "refresh_early" => self.declared.refresh_early = Some(refresh_early(meta)?),
            "namespace" => {
                let text = literal::string(meta, "namespace = \"catalog\"")?;
                self.declared.namespace = Some(namespace(&text)?);
            }
            "tags" => {
                for text in self.list(meta, "tags(\"publisher:{publisher_id}\")")? {
                    let template = Template::parse(&text, self.fields);
                    self.declared.tags.extend(self.errors.keep(template));
                }
            }
            "index" => {
                for text in self.list(meta, "index(\"shelf_id\")")? {
                    let column = self.fields.column(&text.value(), &text);
                    self.declared.index.extend(self.errors.keep(column));
                }
            }
            "purges" => self.purges(meta, None, "purges(\"report\")")?,
            "purges_on_insert" => self.purges(meta, Some("Insert"), "purges_on_insert(\"report\")")?,
            "purges_on_update" => self.purges(meta, Some("Update"), "purges_on_update(\"report\")")?,
            "purges_on_delete" => self.purges(meta, Some("Delete"), "purges_on_delete(\"report\")")?,
            "also_writes" => {
                for text in self.list(meta, "also_writes(\"audit_log\")")? {
                    let table = table_name(&text);
                    self.declared.also_writes.extend(self.errors.keep(table));
                }
            }
            "harmless_triggers" => {
                literal::flag(meta)?;
                self.declared.harmless_triggers = true;
            }
            "precise" => {
                self.declared.precise = Some(match meta {
                    Meta::Path(_) => PRECISE_ROWS,
                    _ => literal::count(meta, "precise = 1000")?,
                });
            }
            "warmup" => self.declared.warm_up = Some(WarmUp::parse(meta, self.fields, self.errors)),
            "write_through" => {
                literal::flag(meta)?;
                self.declared.write_through = true;
            }
            "compress_above" => {
                self.declared.compress_above = Some(literal::count(meta, "compress_above = 4096")?);
            }
            "encrypted" => {
                literal::flag(meta)?;
                self.declared.encrypted = true;
            }
            "skip" => {
                literal::flag(meta)?;
                self.declared.skip = true;
            }
            _ => {
                let hint = did_you_mean(name, ALLOWED);
                let message = format!("unknown attribute `{name}`{hint}; `cache` takes {}", quoted(ALLOWED));
                return Err(syn::Error::new_spanned(meta.path(), message));
            }
        }
        Ok(())
    }

    fn purges(&mut self, meta: &Meta, kind: Option<&'static str>, example: &str) -> syn::Result<()> {
        for text in self.list(meta, example)? {
            let tag = template::fixed(&text).and_then(|tag| template::check_pattern(tag, &text));
            self.declared.purges.extend(self.errors.keep(tag).map(|tag| (kind, tag)));
        }
        Ok(())
    }

    /// The strings of a list attribute, without those that an earlier one already declared.
    fn list(&mut self, meta: &Meta, example: &str) -> syn::Result<Vec<LitStr>> {
        let name = name_of(meta.path());
        let mut fresh = Vec::new();
        for text in literal::strings(meta, example)? {
            let entry = (name.clone(), text.value());
            if self.literals.contains(&entry) {
                let message = format!("{:?} is declared twice in `{name}`", entry.1);
                self.errors.push(syn::Error::new(text.span(), message));
                continue;
            }
            self.literals.push(entry);
            fresh.push(text);
        }
        Ok(fresh)
    }

    fn refuse_what_skip_makes_void(&mut self) {
        if !self.declared.skip {
            return;
        }
        for (name, path) in &self.seen {
            // An unknown attribute has its error already.
            if ALLOWED.contains(&name.as_str()) && !WITH_SKIP.contains(&name.as_str()) {
                let message = format!(
                    "`{name}` has no effect beside `skip`: a skipped entity is never cached; \
                     only what its writes set off may stand beside `skip`"
                );
                self.errors.push(syn::Error::new_spanned(path, message));
            }
        }
    }
}

/// How eager: alone, as eager as is right nearly always.
pub(crate) fn refresh_early(meta: &Meta) -> syn::Result<f64> {
    match meta {
        Meta::Path(_) => Ok(1.0),
        _ => literal::factor(meta, "refresh_early = 1.5"),
    }
}

fn table_name(literal: &LitStr) -> syn::Result<String> {
    let name = literal.value();
    if name.is_empty() || name.chars().any(|c| matches!(c, '.' | '"' | '`' | '*') || c.is_whitespace()) {
        let message = "expected the bare name of a table: no schema, no quotes, no pattern";
        return Err(syn::Error::new(literal.span(), message));
    }
    Ok(name)
}

fn namespace(literal: &LitStr) -> syn::Result<String> {
    let text = literal.value();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let message = if text.is_empty() {
        "a namespace cannot be empty, expected letters, digits, `_` and `-`".to_owned()
    } else if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        format!("{c:?} cannot stand in a namespace, expected letters (a-z, A-Z), digits, `_` and `-`")
    } else {
        return Ok(text);
    };
    Err(syn::Error::new(literal.span(), message))
}
