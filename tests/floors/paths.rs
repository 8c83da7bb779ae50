//! Every path that a source file mentions, made absolute: `crate::engine::journal::Journal`, `std::time::Instant::now`.
//!
//! It sees through `use` trees with groups, renames and globs, through `self` and `super`, re-exports and type aliases,
//! qualified types, attributes, and the tokens of macros. Where a name could mean several things it takes all of them:
//! for rules about what must not be there, too many readings are better than one too few.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, File, Ident, Item, ItemMod, Meta, Type, UseTree};

/// How often one name is followed to what it stands for: more than any re-export of a re-export.
const HOPS_MAX: usize = 12;

/// An absolute path, segment by segment; the first is `crate` or the name of another crate.
pub type Segments = Vec<String>;

/// A path that a file mentions.
#[derive(Clone, Debug)]
pub struct Mention {
    pub file: String,
    pub line: usize,
    /// The module it stands in, from the crate's root: `["engine", "outbox"]`.
    pub module: Segments,
    /// Whether that module, or one around it, is there for tests only.
    pub in_tests: bool,
    pub path: Segments,
    /// The part of the path that is a module of this crate, without `crate`; empty for other crates.
    pub target: Segments,
}

/// What a module whose file is named by hand is recorded as.
pub const NAMED_BY_HAND: &str = "#[path]";
/// What source that is pasted from another file is recorded as.
pub const PASTED: &str = "include!";

/// All paths that these files mention: pairs of a place under `src/` and the source.
pub fn mentions(sources: &[(String, String)]) -> Vec<Mention> {
    let mut house = House::default();
    let mut files = Vec::new();
    for (place, source) in sources {
        let syntax = syn::parse_file(source).unwrap_or_else(|error| panic!("{place}:{}: {error}", error.span().start().line));
        let module = module_of(place);
        Collector { house: &mut house, module: module.clone() }.visit_file(&syntax);
        files.push((place, module, syntax));
    }
    files.into_iter().flat_map(|(place, module, syntax)| read(&house, place, module, &syntax)).collect()
}

fn read(house: &House, place: &str, module: Segments, syntax: &File) -> Vec<Mention> {
    let mut reader = Reader { house, file: place.to_owned(), module, found: Vec::new() };
    reader.visit_file(syntax);
    reader.found
}

/// The module that a file is: `engine/outbox/mod.rs` is `engine::outbox`.
fn module_of(place: &str) -> Segments {
    let mut module: Segments = place.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

/// A path as it is written.
#[derive(Clone, Debug)]
struct Written {
    /// Whether it begins with `::`.
    global: bool,
    segments: Segments,
}

/// What a module's names stand for.
#[derive(Default)]
struct Names {
    children: BTreeSet<String>,
    aliases: BTreeMap<String, Vec<Written>>,
    globs: Vec<Written>,
}

/// All modules.
#[derive(Default)]
struct House {
    modules: BTreeMap<Segments, Names>,
    test_modules: BTreeSet<Segments>,
}

impl House {
    /// Everything a path can mean; first as it is written, then what its names stand for.
    fn meanings(&self, module: &[String], written: &Written) -> Vec<Segments> {
        let mut found = Vec::new();
        self.follow(module, written, &mut found, HOPS_MAX);
        found
    }

    fn follow(&self, module: &[String], written: &Written, found: &mut Vec<Segments>, hops: usize) {
        let (Some(first), Some(hops)) = (written.segments.first(), hops.checked_sub(1)) else { return };
        if written.global {
            return self.keep(&written.segments, found, hops);
        }
        let rest = &written.segments[1..];
        match first.as_str() {
            "crate" | "tminus" => self.keep(&inside(&[], rest), found, hops),
            "self" => self.keep(&inside(module, rest), found, hops),
            "super" => {
                let Some((_, parent)) = module.split_last() else { return };
                let mut segments = vec!["self".to_owned()];
                segments.extend_from_slice(rest);
                // `super::super` goes on from the parent.
                if rest.first().is_some_and(|next| next == "super") {
                    segments.remove(0);
                }
                self.follow(parent, &Written { global: false, segments }, found, hops);
            }
            _ => self.follow_name(module, first, rest, found, hops),
        }
    }

    /// A path that begins with a name: a child module, an import, something from a glob, or else another crate.
    fn follow_name(&self, module: &[String], name: &str, rest: &[String], found: &mut Vec<Segments>, hops: usize) {
        let Some(hops) = hops.checked_sub(1) else { return };
        let names = self.modules.get(module);
        let is_child = names.is_some_and(|names| names.children.contains(name));
        let aliases = names.and_then(|names| names.aliases.get(name));
        if is_child {
            self.keep(&inside(module, &joined(name, rest)), found, hops);
        }
        for alias in aliases.into_iter().flatten() {
            let mut target = alias.clone();
            // `use sled;` means the crate, not itself.
            target.global |= target.segments.first().is_some_and(|first| first == name);
            target.segments.extend_from_slice(rest);
            self.follow(module, &target, found, hops);
        }
        if is_child || aliases.is_some() {
            return;
        }
        for glob in names.into_iter().flat_map(|names| &names.globs) {
            for target in self.meanings_of_glob(module, glob, hops) {
                match target.split_first() {
                    // `use super::*` brings the names that stand there, imports among them.
                    Some((first, inner)) if first == "crate" => {
                        let known = self.modules.get(inner);
                        let has = known
                            .is_some_and(|n| n.children.contains(name) || n.aliases.contains_key(name) || !n.globs.is_empty());
                        if has && inner != module {
                            self.follow_name(inner, name, rest, found, hops);
                        }
                    }
                    _ => found.push([target.as_slice(), &joined(name, rest)].concat()),
                }
            }
        }
        if !rest.is_empty() {
            found.push(joined(name, rest));
        }
    }

    /// What `use …::*` brings names from. Its own first name is no name that a glob brought.
    fn meanings_of_glob(&self, module: &[String], glob: &Written, hops: usize) -> Vec<Segments> {
        let first = glob.segments.first().map_or("", String::as_str);
        let names = self.modules.get(module);
        let is_known = matches!(first, "crate" | "self" | "super" | "tminus")
            || names.is_some_and(|names| names.children.contains(first) || names.aliases.contains_key(first));
        if !is_known {
            return vec![glob.segments.clone()];
        }
        let mut targets = Vec::new();
        self.follow(module, glob, &mut targets, hops);
        targets
    }

    /// Keeps an absolute path, and follows it through re-exports.
    fn keep(&self, path: &[String], found: &mut Vec<Segments>, hops: usize) {
        if found.iter().any(|known| known == path) {
            return;
        }
        found.push(path.to_vec());
        let Some((first, inner)) = path.split_first() else { return };
        if first != "crate" {
            return;
        }
        let module = self.module_in(path);
        let (Some(names), Some((name, rest))) = (self.modules.get(module), inner[module.len()..].split_first()) else { return };
        if names.aliases.contains_key(name) || (!names.globs.is_empty() && !names.children.contains(name)) {
            self.follow_name(module, name, rest, found, hops);
        }
    }

    /// The longest part of an absolute path that is a module of this crate.
    fn module_in<'p>(&self, path: &'p [String]) -> &'p [String] {
        match path.split_first() {
            Some((first, inner)) if first == "crate" => {
                let known = (0..=inner.len()).rev().find(|length| self.modules.contains_key(&inner[..*length]));
                &inner[..known.unwrap_or_default()]
            }
            _ => &[],
        }
    }

    fn is_test(&self, module: &[String]) -> bool {
        (0..=module.len()).any(|length| self.test_modules.contains(&module[..length]))
    }
}

fn joined(name: &str, rest: &[String]) -> Segments {
    std::iter::once(name.to_owned()).chain(rest.iter().cloned()).collect()
}

/// A path within this crate.
fn inside(module: &[String], rest: &[String]) -> Segments {
    let own = module.iter().chain(rest).filter(|segment| *segment != "self").cloned();
    std::iter::once("crate".to_owned()).chain(own).collect()
}

/// The leaves of a `use` tree: the path, what it is called here (nothing for a glob), and where it stands.
fn leaves(tree: &UseTree, before: &Written, leaf: &mut impl FnMut(Written, Option<String>, Span)) {
    let with = |ident: &Ident| {
        let mut written = before.clone();
        // `use std::{self}` is `use std`.
        if ident != "self" || written.segments.is_empty() {
            written.segments.push(ident.to_string());
        }
        written
    };
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(&path.ident), leaf),
        UseTree::Name(name) => {
            let written = with(&name.ident);
            let called = written.segments.last().cloned();
            leaf(written, called, name.ident.span());
        }
        UseTree::Rename(rename) => leaf(with(&rename.ident), Some(rename.rename.to_string()), rename.ident.span()),
        UseTree::Glob(glob) => leaf(before.clone(), None, glob.star_token.spans[0]),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, before, leaf)),
    }
}

fn written_use(item: &syn::ItemUse) -> Written {
    Written { global: item.leading_colon.is_some(), segments: Vec::new() }
}

fn written_path(path: &syn::Path) -> Written {
    Written { global: path.leading_colon.is_some(), segments: path.segments.iter().map(|s| s.ident.to_string()).collect() }
}

/// Where a path begins; every path has a segment.
fn start(path: &syn::Path) -> Span {
    path.segments.first().map_or_else(Span::call_site, |segment| segment.ident.span())
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        let words = list.tokens.to_string();
        let has = |word: &str| words.split(|c: char| !c.is_alphanumeric()).any(|w| w == word);
        has("test") && !has("not") && !has("any")
    })
}

/// First pass: what every module's names stand for.
struct Collector<'h> {
    house: &'h mut House,
    module: Segments,
}

impl Collector<'_> {
    fn names(&mut self) -> &mut Names {
        self.house.modules.entry(self.module.clone()).or_default()
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_file(&mut self, file: &'ast File) {
        self.names();
        visit::visit_file(self, file);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.names().children.insert(item.ident.to_string());
        self.module.push(item.ident.to_string());
        self.names();
        if is_for_tests(&item.attrs) {
            self.house.test_modules.insert(self.module.clone());
        }
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let names = self.names();
        leaves(&item.tree, &written_use(item), &mut |written, called, _| match called {
            Some(called) => names.aliases.entry(called).or_default().push(written),
            None => names.globs.push(written),
        });
    }

    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Type(alias) => {
                if let Type::Path(target) = &*alias.ty {
                    let written = written_path(&target.path);
                    self.names().aliases.entry(alias.ident.to_string()).or_default().push(written);
                }
            }
            Item::ExternCrate(other) => {
                let called = other.rename.as_ref().map_or(&other.ident, |(_, rename)| rename).to_string();
                let written = Written { global: true, segments: vec![other.ident.to_string()] };
                self.names().aliases.entry(called).or_default().push(written);
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }
}

/// Second pass: every path, with its meanings.
struct Reader<'h> {
    house: &'h House,
    file: String,
    module: Segments,
    found: Vec<Mention>,
}

impl Reader<'_> {
    fn mention(&mut self, written: &Written, span: Span) {
        let in_tests = self.house.is_test(&self.module);
        for path in self.house.meanings(&self.module, written) {
            let target = self.house.module_in(&path).to_vec();
            let (file, line, module) = (self.file.clone(), span.start().line, self.module.clone());
            self.found.push(Mention { file, line, module, in_tests, path, target });
        }
    }

    /// Paths among the tokens of a macro: names joined by `::`, unless they follow a dot.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == wanted);
        let is_join = |at: usize| is(at, ':') && is(at + 1, ':');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) if at == 0 || !is(at - 1, '.') || is(at.saturating_sub(2), '.') => {
                    let global = at >= 2 && is_join(at - 2) && !(at >= 3 && matches!(tokens[at - 3], TokenTree::Ident(_)));
                    let mut segments = vec![first.to_string()];
                    while is_join(at + 1) {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                        segments.push(next.to_string());
                        at += 3;
                    }
                    self.mention(&Written { global, segments }, first.span());
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// `<Utc as Clock>::now`: what stands before `as`, with what follows.
    fn qualified(&mut self, qself: Option<&syn::QSelf>, path: &syn::Path) {
        let Some(qself) = qself else { return };
        if let Type::Path(own) = &*qself.ty {
            let mut written = written_path(&own.path);
            written.segments.extend(path.segments.iter().skip(qself.position).map(|segment| segment.ident.to_string()));
            self.mention(&written, start(path));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if let Some(attribute) = item.attrs.iter().find(|attribute| attribute.path().is_ident("path")) {
            self.mention(&Written { global: true, segments: vec![NAMED_BY_HAND.to_owned()] }, attribute.pound_token.spans[0]);
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut found = Vec::new();
        leaves(&item.tree, &written_use(item), &mut |written, _, span| found.push((written, span)));
        for (written, span) in found {
            self.mention(&written, span);
        }
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.mention(&Written { global: true, segments: vec![item.ident.to_string()] }, item.ident.span());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.mention(&written_path(path), start(path));
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, expression: &'ast syn::ExprPath) {
        self.qualified(expression.qself.as_ref(), &expression.path);
        visit::visit_expr_path(self, expression);
    }

    fn visit_type_path(&mut self, path: &'ast syn::TypePath) {
        self.qualified(path.qself.as_ref(), &path.path);
        visit::visit_type_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        if invoked.path.segments.last().is_some_and(|last| last.ident == "include") {
            self.mention(&Written { global: true, segments: vec![PASTED.to_owned()] }, start(&invoked.path));
        }
        self.tokens(invoked.tokens.clone());
        visit::visit_macro(self, invoked);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // What documentation links to is not used.
        if attribute.path().is_ident("doc") {
            return;
        }
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
            // `#[serde(with = "crate::…")]`: a path in a text.
            for token in list.tokens.clone() {
                if let TokenTree::Literal(literal) = token
                    && let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                    && let Ok(path) = text.parse::<syn::Path>()
                {
                    self.mention(&written_path(&path), literal.span());
                }
            }
        }
        visit::visit_attribute(self, attribute);
    }
}
