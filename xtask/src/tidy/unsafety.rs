//! `unsafe` stands in one room, and each time with the fact that makes it sound.

use super::Finding;
use super::source::Source;
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The one room that may hold it.
const ROOM: &str = "sys";

/// Finds `unsafe` outside its room, and inside it blocks and implementations without a `SAFETY:` comment.
pub(super) fn check(source: &Source, syntax: &syn::File) -> Vec<Finding> {
    visit_all(source, syntax).found
}

/// Each `unsafe` with the fact that makes it sound.
pub(super) fn reasons(source: &Source, syntax: &syn::File) -> Vec<Finding> {
    visit_all(source, syntax).reasons
}

fn visit_all<'a>(source: &'a Source, syntax: &syn::File) -> Visitor<'a> {
    let lines: Vec<&str> = source.text.lines().collect();
    let allowed = source.room() == Some(ROOM);
    let mut visitor =
        Visitor { source, lines, allowed, statement: 0, found: Vec::new(), reasons: Vec::new() };
    visitor.visit_file(syntax);
    visitor
}

struct Visitor<'a> {
    source: &'a Source,
    lines: Vec<&'a str>,
    allowed: bool,
    /// The first line of the statement, match arm or item being visited: its comment may stand above that.
    statement: usize,
    found: Vec<Finding>,
    reasons: Vec<Finding>,
}

impl Visitor<'_> {
    fn stands(&mut self, line: usize, what: &str) {
        if !self.allowed {
            self.found.push(self.source.finding(line, format!("{what} outside src/{ROOM}")));
        }
    }

    fn needs_reason(&mut self, line: usize, what: &str) {
        if !self.allowed {
            return;
        }
        match self.reason(line).or_else(|| self.reason(self.statement)) {
            Some(reason) => self.reasons.push(self.source.finding(line, reason)),
            None => {
                self.found.push(self.source.finding(line, format!("{what} without a SAFETY comment above")));
            }
        }
    }

    /// What the comment that ends directly above `line`, attributes left out, says behind the word, in one line.
    fn reason(&self, line: usize) -> Option<String> {
        let above = self.lines.iter().take(line.saturating_sub(1)).rev().map(|line| line.trim());
        let comment =
            above.skip_while(|line| line.starts_with("#[")).take_while(|line| line.starts_with("//"));
        let mut words: Vec<&str> = comment.map(|line| line.trim_start_matches('/').trim()).collect();
        words.reverse();
        words.join(" ").split_once("SAFETY:").map(|(_, reason)| reason.trim().to_owned())
    }

    fn within(&mut self, line: usize, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.statement, line);
        visit(self);
        self.statement = outer;
    }

    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Ident(word) if word == "unsafe" => {
                    let line = word.span().start().line;
                    self.stands(line, "unsafe code in a macro");
                    self.needs_reason(line, "unsafe code in a macro");
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_stmt(&mut self, node: &'ast syn::Stmt) {
        self.within(node.span().start().line, |visitor| visit::visit_stmt(visitor, node));
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        self.within(node.span().start().line, |visitor| visit::visit_arm(visitor, node));
    }

    fn visit_item(&mut self, node: &'ast syn::Item) {
        self.within(node.span().start().line, |visitor| visit::visit_item(visitor, node));
    }

    fn visit_expr_unsafe(&mut self, node: &'ast syn::ExprUnsafe) {
        let line = node.unsafe_token.span.start().line;
        self.stands(line, "unsafe block");
        self.needs_reason(line, "unsafe block");
        visit::visit_expr_unsafe(self, node);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        if let Some(word) = &node.unsafety {
            self.stands(word.span.start().line, "unsafe function");
        }
        visit::visit_signature(self, node);
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        if let Some(word) = &node.unsafety {
            self.stands(word.span.start().line, "unsafe impl");
            self.needs_reason(word.span.start().line, "unsafe impl");
        }
        visit::visit_item_impl(self, node);
    }

    fn visit_item_trait(&mut self, node: &'ast syn::ItemTrait) {
        if let Some(word) = &node.unsafety {
            self.stands(word.span.start().line, "unsafe trait");
        }
        visit::visit_item_trait(self, node);
    }

    fn visit_item_foreign_mod(&mut self, node: &'ast syn::ItemForeignMod) {
        self.stands(node.abi.extern_token.span.start().line, "extern block");
        visit::visit_item_foreign_mod(self, node);
    }

    fn visit_attribute(&mut self, node: &'ast syn::Attribute) {
        if node.path().is_ident("unsafe") {
            self.stands(node.span().start().line, "unsafe attribute");
        }
        visit::visit_attribute(self, node);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        let name = node.path.segments.last().map(|segment| segment.ident.to_string());
        if name.as_deref() == Some("global_asm") {
            self.stands(node.span().start().line, "global_asm");
        }
        self.tokens(node.tokens.clone());
        visit::visit_macro(self, node);
    }
}

#[cfg(test)]
mod tests {
    use super::Source;
    use crate::tidy::tests::told;

    #[test]
    fn unsafe_stays_in_its_room() {
        let code =
            "unsafe fn f() {}\nextern \"C\" {}\nunsafe impl Send for A {}\nfn g() {\n    unsafe { f() }\n}\n";
        let found = ["unsafe function", "extern block", "unsafe impl", "unsafe block"];
        let lines = [1, 2, 3, 5];
        let expected: Vec<String> =
            lines.iter().zip(found).map(|(line, what)| format!("{line}: {what} outside src/sys")).collect();
        for path in ["src/bpf/a.rs", "src/main.rs", "tests/e2e/a.rs", "xtask/src/a.rs", "src/sysctl/a.rs"] {
            let told: Vec<String> =
                told(path, code).into_iter().filter(|line| line.contains("outside")).collect();
            assert_eq!(told, expected, "{path}");
        }
    }

    #[test]
    fn reasons_are_told_in_one_line() {
        let text =
            "fn g() {\n    // SAFETY: f needs nothing,\n    // ever.\n    unsafe { f() }\n}\n".to_owned();
        let source = Source { path: "src/sys/a.rs".to_owned(), text };
        let told = super::reasons(&source, &syn::parse_file(&source.text).unwrap());
        assert_eq!(told, [source.finding(4, "f needs nothing, ever.".to_owned())]);
    }

    #[test]
    fn macros_and_attributes_do_not_hide_it() {
        assert_eq!(told("tests/a.rs", "m!(unsafe { f() });"), ["1: unsafe code in a macro outside src/sys"]);
        assert_eq!(told("tests/a.rs", "core::arch::global_asm!(\"\");"), ["1: global_asm outside src/sys"]);
        let attribute = "#[unsafe(no_mangle)]\nfn f() {}";
        assert_eq!(told("tests/a.rs", attribute), ["1: unsafe attribute outside src/sys"]);
    }

    #[test]
    fn each_block_needs_a_reason() {
        let bare = "fn g() {\n    let a = 1;\n    unsafe { f() }\n}\n";
        assert_eq!(told("src/sys/a.rs", bare), ["3: unsafe block without a SAFETY comment above"]);
        let other = "fn g() {\n    // Because.\n    unsafe { f() }\n}\n";
        assert_eq!(told("src/sys/a.rs", other), ["3: unsafe block without a SAFETY comment above"]);
        let above = "fn g() {\n    // SAFETY: f needs nothing,\n    // ever.\n    unsafe { f() }\n}\n";
        assert!(told("src/sys/a.rs", above).is_empty());
        let statement = "fn g() {\n    // SAFETY: so.\n    let a =\n        b(1, unsafe { f() });\n}\n";
        assert!(told("src/sys/a.rs", statement).is_empty());
        let item = "// SAFETY: so.\n#[allow(x)]\nunsafe impl Send for A {}\n";
        assert!(told("src/sys/a.rs", item).is_empty());
    }
}
