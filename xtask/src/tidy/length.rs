//! How long a file and a function may be.

use super::Finding;
use super::source::Source;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const FILE_LINES: usize = 500;
/// From the signature to the closing brace; documentation and attributes do not count.
const FUNCTION_LINES: usize = 70;

/// Finds a file of code that is too long. Lists of data in other formats are not code.
pub(super) fn file(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if source.path.ends_with(".toml") || lines <= FILE_LINES {
        return Vec::new();
    }
    vec![source.finding(FILE_LINES + 1, format!("{lines} lines in one file, {FILE_LINES} allowed"))]
}

/// Finds functions that are too long.
pub(super) fn functions(source: &Source, syntax: &syn::File) -> Vec<Finding> {
    let mut visitor = Visitor { source, found: Vec::new() };
    visitor.visit_file(syntax);
    visitor.found
}

struct Visitor<'a> {
    source: &'a Source,
    found: Vec<Finding>,
}

impl Visitor<'_> {
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = signature.span().start().line;
        let last = body.brace_token.span.close().end().line;
        let lines = last + 1 - first;
        if lines > FUNCTION_LINES {
            let what = format!("function {} has {lines} lines, {FUNCTION_LINES} allowed", signature.ident);
            self.found.push(self.source.finding(first, what));
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::told;

    #[test]
    fn a_file_of_501_lines_is_too_long() {
        assert!(told("tests/a.rs", &"//\n".repeat(500)).is_empty());
        assert_eq!(told("tests/a.rs", &"//\n".repeat(501)), ["501: 501 lines in one file, 500 allowed"]);
    }

    #[test]
    fn a_function_of_71_lines_is_too_long() {
        let function =
            |lines: usize| format!("/// Doc.\n#[inline]\nfn f() {{\n{}}}\n", "//\n".repeat(lines - 2));
        assert!(told("tests/a.rs", &function(70)).is_empty());
        assert_eq!(told("tests/a.rs", &function(71)), ["3: function f has 71 lines, 70 allowed"]);
    }

    #[test]
    fn functions_inside_are_measured() {
        let method = format!("impl A {{\n    fn f(&self) {{\n{}    }}\n}}\n", "//\n".repeat(80));
        assert_eq!(told("tests/a.rs", &method), ["2: function f has 82 lines, 70 allowed"]);
        let nested = format!("mod tests {{\n    fn f() {{\n{}    }}\n}}\n", "//\n".repeat(80));
        assert_eq!(told("tests/a.rs", &nested), ["2: function f has 82 lines, 70 allowed"]);
    }
}
