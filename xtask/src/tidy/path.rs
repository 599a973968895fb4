//! Which paths a file names, and from which module: the eyes of the arrow rule.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A path as written, with the number of inline modules it stands in.
pub(super) struct Written {
    pub(super) line: usize,
    pub(super) depth: usize,
    pub(super) segments: Vec<String>,
}

/// Every path of the file that begins with `crate`, `$crate` or `super`.
pub(super) fn all(syntax: &syn::File) -> Vec<Written> {
    let mut visitor = Visitor { depth: 0, found: Vec::new() };
    visitor.visit_file(syntax);
    visitor.found
}

struct Visitor {
    depth: usize,
    found: Vec<Written>,
}

impl Visitor {
    fn push(&mut self, line: usize, segments: Vec<String>) {
        if matches!(segments.first().map(String::as_str), Some("crate" | "super")) {
            self.found.push(Written { line, depth: self.depth, segments });
        }
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.push(name.ident.span().start().line, with(&name.ident)),
            syn::UseTree::Rename(rename) => self.push(rename.ident.span().start().line, with(&rename.ident)),
            syn::UseTree::Glob(glob) => self.push(glob.star_token.spans[0].start().line, before.to_vec()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }

    /// Paths among the tokens of a macro: words joined by `::`.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut segments = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) if colons == 2 && !segments.is_empty() => {
                    segments.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.push(line, std::mem::take(&mut segments));
                    colons = 0;
                    match other {
                        TokenTree::Ident(word) => {
                            line = word.span().start().line;
                            segments.push(word.to_string());
                        }
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.push(line, segments);
    }
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, node);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        self.tree(&[], &node.tree);
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        let segments: Vec<String> = node.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(first) = node.segments.first() {
            self.push(first.ident.span().start().line, segments);
        }
        visit::visit_path(self, node);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in super::super)` names a module without using it.
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.tokens(node.tokens.clone());
        visit::visit_macro(self, node);
    }
}
