//! `#[cached_fn(...)]`: from an async function to one that asks the cache first.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Expr, FnArg, GenericParam, ItemFn, LitStr, Meta, Pat, ReturnType, Token, Type, parse::Parser,
    punctuated::Punctuated, spanned::Spanned,
};

use crate::{
    declaration::refresh_early,
    errors::Errors,
    lifetime::Lifetime,
    literal::{self, name_of},
    suggestion::{did_you_mean, quoted},
    template::{self, Piece},
};

const ALLOWED: [&str; 9] = [
    "ttl",
    "key",
    "tags",
    "tables",
    "cache",
    "skip",
    "stale_while_revalidate",
    "stale_if_error",
    "refresh_early",
];
const LISTS: [&str; 3] = ["tags", "tables", "skip"];

/// The types by which the argument with the cache is found.
const CACHES: [&str; 2] = ["Cache", "CachedConnection"];

/// The function with the cache in front of its body, or all that is wrong.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        syn::Error::new(error.span(), format!("`cached_fn` goes on an async function: {error}"))
    })?;
    let mut errors = Errors::default();
    let returned = errors.keep(returned(&function));
    let arguments = Arguments::read(&function);
    let declared = Declared::read(attribute, &mut errors);
    let cache = errors.keep(arguments.cache(&declared));
    let excepted = cache.as_ref().and_then(|(_, argument)| argument.clone());
    let key = arguments.key(&declared, excepted.as_deref(), &function, &mut errors);
    let tags = arguments.tags(&declared, &mut errors);
    errors.finish()?;
    let (Some(returned), Some((cache, _))) = (returned, cache) else { return Ok(TokenStream::new()) };
    Ok(generate(&function, &returned, &cache, &key, &tags, &declared))
}

/// The return type: something that can be stored.
fn returned(function: &ItemFn) -> syn::Result<Type> {
    if function.sig.asyncness.is_none() {
        let message = "`cached_fn` goes on an async function: it has to ask the cache";
        return Err(syn::Error::new(function.sig.fn_token.span(), message));
    }
    let ReturnType::Type(_, returned) = &function.sig.output else {
        let message = "a function that returns nothing leaves nothing to cache";
        return Err(syn::Error::new(function.sig.ident.span(), message));
    };
    match &**returned {
        Type::ImplTrait(_) => {
            let message = "the cache must know the type: name it, instead of `impl ...`";
            Err(syn::Error::new_spanned(returned, message))
        }
        Type::Reference(_) => {
            let message = "what is cached is owned: return a `String` instead of a `&str`, and so on";
            Err(syn::Error::new_spanned(returned, message))
        }
        other => Ok(other.clone()),
    }
}

/// What `#[cached_fn(...)]` says.
#[derive(Default)]
struct Declared {
    ttl: Option<Lifetime>,
    stale_while_revalidate: Option<Lifetime>,
    stale_if_error: Option<Lifetime>,
    refresh_early: Option<f64>,
    key: Option<LitStr>,
    tags: Vec<LitStr>,
    tables: Vec<LitStr>,
    cache: Option<Expr>,
    skip: Vec<LitStr>,
}

impl Declared {
    fn read(attribute: TokenStream, errors: &mut Errors) -> Self {
        let mut declared = Self::default();
        let parsed = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(attribute);
        let mut seen: Vec<String> = Vec::new();
        for meta in errors.keep(parsed).into_iter().flatten() {
            let name = name_of(meta.path());
            if seen.contains(&name) && ALLOWED.contains(&name.as_str()) && !LISTS.contains(&name.as_str()) {
                let message = format!("`{name}` is declared twice");
                errors.push(syn::Error::new_spanned(meta.path(), message));
                continue;
            }
            errors.keep(declared.declare(&name, &meta));
            seen.push(name);
        }
        declared
    }

    fn declare(&mut self, name: &str, meta: &Meta) -> syn::Result<()> {
        let lifetime = |example| Lifetime::parse(&literal::string(meta, example)?);
        match name {
            "ttl" => self.ttl = Some(lifetime("ttl = \"5m\"")?),
            "stale_while_revalidate" => {
                self.stale_while_revalidate = Some(lifetime("stale_while_revalidate = \"30s\"")?);
            }
            "stale_if_error" => self.stale_if_error = Some(lifetime("stale_if_error = \"10m\"")?),
            "refresh_early" => self.refresh_early = Some(refresh_early(meta)?),
            "key" => self.key = Some(literal::string(meta, "key = \"price:{currency}\"")?),
            "tags" => self.tags.extend(literal::strings(meta, "tags(\"currency:{currency}\")")?),
            "tables" => self.tables.extend(literal::strings(meta, "tables(\"book\")")?),
            "skip" => self.skip.extend(literal::strings(meta, "skip(\"trace_id\")")?),
            "cache" => {
                let text = literal::string(meta, "cache = \"db.cache()\"")?;
                let parsed = text.parse().map_err(|error| {
                    let message =
                        format!("expected an expression, such as `cache = \"db.cache()\"`: {error}");
                    syn::Error::new(text.span(), message)
                });
                self.cache = Some(parsed?);
            }
            _ => {
                let hint = did_you_mean(name, ALLOWED);
                let message =
                    format!("unknown attribute `{name}`{hint}; `cached_fn` takes {}", quoted(ALLOWED));
                return Err(syn::Error::new_spanned(meta.path(), message));
            }
        }
        Ok(())
    }
}

/// An argument by its name; without one it is a pattern.
struct Argument {
    name: Option<Ident>,
    /// The last word of its type, references taken off.
    kind: Option<String>,
    pattern: TokenStream,
}

struct Arguments {
    receiver: Option<TokenStream>,
    typed: Vec<Argument>,
}

impl Arguments {
    fn read(function: &ItemFn) -> Self {
        let mut all = Self { receiver: None, typed: Vec::new() };
        for input in &function.sig.inputs {
            match input {
                FnArg::Receiver(receiver) => all.receiver = Some(receiver.self_token.to_token_stream()),
                FnArg::Typed(typed) => {
                    let name = match &*typed.pat {
                        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
                            Some(pattern.ident.clone())
                        }
                        _ => None,
                    };
                    let pattern = typed.pat.to_token_stream();
                    all.typed.push(Argument { name, kind: last_word(&typed.ty), pattern });
                }
            }
        }
        all
    }

    fn named(&self, name: &str) -> Option<&Ident> {
        self.typed.iter().filter_map(|argument| argument.name.as_ref()).find(|ident| *ident == name)
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.typed.iter().filter_map(|argument| argument.name.as_ref()).collect();
        if names.is_empty() {
            return "none".to_owned();
        }
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        quoted(names.iter().map(String::as_str))
    }

    fn unknown(&self, name: &str, literal: &LitStr) -> syn::Error {
        let names: Vec<_> =
            self.typed.iter().filter_map(|argument| Some(argument.name.as_ref()?.to_string())).collect();
        let hint = did_you_mean(name, names.iter().map(String::as_str));
        let message = format!("no argument `{name}`{hint}; arguments: {}", self.names());
        syn::Error::new(literal.span(), message)
    }

    /// Where the cache is, and which argument that is, if it is one.
    fn cache(&self, declared: &Declared) -> syn::Result<(TokenStream, Option<String>)> {
        if let Some(cache) = &declared.cache {
            let argument = root(cache)
                .and_then(|root| self.typed.iter().find(|argument| argument.name.as_ref() == Some(&root)));
            // Of what only holds the cache, the answer may depend on something else.
            let is_cache = |argument: &&Argument| {
                matches!(cache, Expr::Path(_))
                    || argument.kind.as_deref().is_some_and(|kind| CACHES.contains(&kind))
            };
            let excepted = argument.filter(is_cache).and_then(|argument| argument.name.as_ref());
            return Ok((cache.to_token_stream(), excepted.map(ToString::to_string)));
        }
        let found: Vec<_> = self
            .typed
            .iter()
            .filter(|argument| argument.kind.as_deref().is_some_and(|kind| CACHES.contains(&kind)))
            .collect();
        match found[..] {
            [Argument { name: Some(name), .. }] => Ok((quote!(#name), Some(name.to_string()))),
            [Argument { pattern, .. }] => {
                Err(syn::Error::new_spanned(pattern, "the cache's argument needs a name"))
            }
            [] => Err(syn::Error::new(
                proc_macro2::Span::call_site(),
                "which cache? Take one as an argument (`cache: &Cache`, `db: &CachedConnection`), \
                 or say where it is: `cache = \"self.db.cache()\"`",
            )),
            [_, second, ..] => Err(syn::Error::new_spanned(
                &second.pattern,
                "which of the caches? Say it: `cache = \"db.cache()\"`",
            )),
        }
    }

    /// The expression that makes the key.
    fn key(
        &self,
        declared: &Declared,
        cache: Option<&str>,
        function: &ItemFn,
        errors: &mut Errors,
    ) -> TokenStream {
        for literal in &declared.skip {
            let name = literal.value();
            let known = self.named(&name).is_some()
                || (name == "self" && self.receiver.is_some())
                || type_parameters(function).any(|parameter| *parameter == name);
            if !known {
                errors.push(self.unknown(&name, literal));
            }
        }
        let skipped = |name: &str| declared.skip.iter().any(|skip| skip.value() == name);
        if let Some(receiver) = self.receiver.as_ref().filter(|_| !skipped("self")) {
            let message = "`self` is not part of the key: if what it returns depends on no more than the \
                           arguments, say `skip(\"self\")`";
            errors.push(syn::Error::new_spanned(receiver, message));
        }
        let mut counted = Vec::new();
        for argument in &self.typed {
            match &argument.name {
                Some(name) if cache.is_some_and(|cache| name == cache) || skipped(&name.to_string()) => {}
                Some(name) => counted.push(name),
                None => {
                    let message = "an argument that is part of the key needs a name";
                    errors.push(syn::Error::new_spanned(&argument.pattern, message));
                }
            }
        }
        let holder = declared.cache.as_ref().and_then(root);
        if let Some(holder) = holder.filter(|_| declared.key.is_none())
            && counted.contains(&&holder)
        {
            let message = format!(
                "`{holder}` is where the cache is: if what the function returns depends on nothing else of \
                 it, say `skip(\"{holder}\")`"
            );
            errors.push(syn::Error::new(holder.span(), message));
        }
        match &declared.key {
            Some(template) => {
                for parameter in type_parameters(function).filter(|name| !skipped(&name.to_string())) {
                    let message = format!(
                        "calls that differ in `{parameter}` would share an answer: leave `key` out, which \
                         counts it, or say `skip(\"{parameter}\")`"
                    );
                    errors.push(syn::Error::new(parameter.span(), message));
                }
                self.key_by_template(template, &counted, errors)
            }
            None => key_by_arguments(&counted, function),
        }
    }

    fn key_by_template(&self, literal: &LitStr, counted: &[&Ident], errors: &mut Errors) -> TokenStream {
        let Some(pieces) = errors.keep(template::split(literal)) else { return TokenStream::new() };
        let mut calls = TokenStream::new();
        let mut used = Vec::new();
        let mut open = false;
        for piece in &pieces {
            match piece {
                Piece::Text(text) => {
                    // What escaped values do not hold tells where one ends.
                    open &= !text.chars().any(|c| !c.is_ascii_alphanumeric() && !"_-.%".contains(c));
                    calls.extend(quote!(.text(#text)));
                }
                Piece::Field(name) => {
                    if open {
                        let message = format!(
                            "before `{{{name}}}` nobody can tell where the value before it ends: put a colon \
                             between them"
                        );
                        errors.push(syn::Error::new(literal.span(), message));
                    }
                    open = true;
                    match self.named(name) {
                        Some(ident) => calls.extend(quote!(.value(&#ident))),
                        None => errors.push(self.unknown(name, literal)),
                    }
                    used.push(name);
                }
            }
        }
        for name in counted {
            if !used.iter().any(|used| **name == used.as_str()) {
                let message = format!(
                    "`{name}` is not in the key, so calls that differ in it would share an answer: add \
                     `{{{name}}}`, or say `skip(\"{name}\")`"
                );
                errors.push(syn::Error::new(name.span(), message));
            }
        }
        quote!(::sea_orm_cache::__private::TemplateKey::new() #calls .finish())
    }

    /// The expressions of the tags. Their values stand in them as they are: they are what
    /// `invalidate_tag` is called with.
    fn tags(&self, declared: &Declared, errors: &mut Errors) -> Vec<TokenStream> {
        let mut tags = Vec::new();
        for literal in &declared.tags {
            let Some(pieces) = errors.keep(template::split(literal)) else { continue };
            let mut format = String::new();
            let mut values = Vec::new();
            for piece in &pieces {
                match piece {
                    Piece::Text(text) => format.push_str(&text.replace('{', "{{").replace('}', "}}")),
                    Piece::Field(name) => match self.named(name) {
                        Some(ident) => {
                            format.push_str("{}");
                            values.push(ident);
                        }
                        None => errors.push(self.unknown(name, literal)),
                    },
                }
            }
            tags.push(quote!(::std::format!(#format, #(#values),*)));
        }
        tags
    }
}

/// The parameters of a generic function that are no lifetimes.
fn type_parameters(function: &ItemFn) -> impl Iterator<Item = &Ident> {
    function.sig.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Const(parameter) => Some(&parameter.ident),
        GenericParam::Lifetime(_) => None,
    })
}

fn key_by_arguments(counted: &[&Ident], function: &ItemFn) -> TokenStream {
    let generics = function.sig.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => {
            let name = &parameter.ident;
            Some(quote!(.argument(::core::any::type_name::<#name>())))
        }
        GenericParam::Const(parameter) => {
            let name = &parameter.ident;
            Some(quote!(.argument(&#name)))
        }
        GenericParam::Lifetime(_) => None,
    });
    quote! {{
        fn __here() {}
        ::sea_orm_cache::__private::ArgumentKey::new(::core::any::type_name_of_val(&__here))
            #(#generics)*
            #(.argument(&#counted))*
            .finish()
    }}
}

fn generate(
    function: &ItemFn,
    returned: &Type,
    cache: &TokenStream,
    key: &TokenStream,
    tags: &[TokenStream],
    declared: &Declared,
) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    let Declared { tables, .. } = declared;
    // What is no cache is wrong where it stands.
    let cache = quote_spanned!(cache.span()=> ::sea_orm_cache::__private::cache_of(&#cache));
    let ttl = declared.ttl.as_ref().map(|ttl| quote!(.ttl(#ttl)));
    let revalidate = declared.stale_while_revalidate.as_ref();
    let revalidate = revalidate.map(|ttl| quote!(.stale_while_revalidate(#ttl)));
    let on_error = declared.stale_if_error.as_ref().map(|ttl| quote!(.stale_if_error(#ttl)));
    let refresh_early = declared.refresh_early.map(|beta| quote!(.refresh_early(#beta)));
    quote! {
        #(#attrs)*
        #vis #sig {
            #[allow(unused_imports)]
            use ::sea_orm_cache::__private::{ReturnsPlain as _, ReturnsResult as _};
            let __cache = #cache;
            let __key: ::core::option::Option<::std::string::String> = #key;
            let __options = ::sea_orm_cache::EntryOptions::new()
                #ttl #revalidate #on_error #refresh_early #(.table(#tables))* #(.tag(#tags))*;
            #[allow(unreachable_code, clippy::diverging_sub_expression, clippy::let_and_return)]
            let __body = async move {
                // Says the type of what `return` and `?` leave with.
                if let ::core::option::Option::Some(__returned) = ::core::option::Option::None::<#returned> {
                    return __returned;
                }
                let __returned: #returned = #block;
                __returned
            };
            #[allow(clippy::needless_borrow)]
            (&::sea_orm_cache::__private::Returned::<#returned>::new())
                .way()
                .fetch(__cache, __key, __options, __body)
                .await
        }
    }
}

/// `Cache` of `&sea_orm_cache::Cache`.
fn last_word(ty: &Type) -> Option<String> {
    match ty {
        Type::Reference(reference) => last_word(&reference.elem),
        Type::Group(group) => last_word(&group.elem),
        Type::Paren(paren) => last_word(&paren.elem),
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        _ => None,
    }
}

/// `db` of `db.cache()` and of `&app.db`.
fn root(expression: &Expr) -> Option<Ident> {
    match expression {
        Expr::Path(path) => path.path.get_ident().cloned(),
        Expr::Field(field) => root(&field.base),
        Expr::MethodCall(call) => root(&call.receiver),
        Expr::Reference(reference) => root(&reference.expr),
        Expr::Paren(paren) => root(&paren.expr),
        _ => None,
    }
}
