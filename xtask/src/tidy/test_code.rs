//! Which lines of a product file are test code: the items under `#[cfg(test)]`, and those only.
//!
//! Where an item ends is read from its indentation, which rustfmt guarantees.

/// Follows a file line by line.
#[derive(Debug, Default)]
pub(super) enum TestCode {
    #[default]
    Outside,
    /// After `#[cfg(test)]`: its item is still to come, or is under further attributes.
    Before,
    /// In an attribute of several lines.
    Attribute,
    /// In a body or list that ends at a closing bracket as deep as this.
    Body(usize),
    /// In a statement that ends at the next semicolon.
    Statement,
}

impl TestCode {
    /// Takes the next line, without its comment; whether it belongs to tests.
    pub(super) fn take(&mut self, code: &str) -> bool {
        let indent = code.len() - code.trim_start().len();
        let text = code.trim();
        match self {
            Self::Outside => match text.strip_prefix("#[cfg(test)]") {
                Some(rest) => *self = before(rest.trim(), indent),
                None => return false,
            },
            Self::Before => *self = before(text, indent),
            Self::Attribute if text.ends_with(']') => *self = Self::Before,
            Self::Body(depth) if *depth == indent && closes(text) => *self = Self::Outside,
            Self::Statement if text.ends_with(';') => *self = Self::Outside,
            Self::Attribute | Self::Body(_) | Self::Statement => {}
        }
        true
    }
}

/// The state after a line that may begin the item.
fn before(text: &str, indent: usize) -> TestCode {
    if text.starts_with("#[") && !text.contains(']') {
        TestCode::Attribute
    } else if text.is_empty() || text.starts_with("#[") {
        TestCode::Before
    } else if text.ends_with([';', ',', '}']) {
        TestCode::Outside
    } else if text.ends_with('=') {
        TestCode::Statement
    } else {
        TestCode::Body(indent)
    }
}

/// `}` or `];`, but not `) -> T {` or `} else {`.
fn closes(text: &str) -> bool {
    text.starts_with(['}', ']', ')']) && text.ends_with(['}', ';', ','])
}

/// The files that hold the `#[cfg(test)] mod name;` of the file `path`.
pub(super) fn test_files(path: &str, text: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
    let mut state = TestCode::default();
    let lines = text.lines().filter(|line| state.take(line.split("//").next().unwrap_or_default()));
    let names =
        lines.filter_map(|line| line.trim().strip_suffix(';')?.rsplit_once("mod ")).map(|(_, name)| name);
    names.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines outside tests.
    fn product(text: &str) -> Vec<&str> {
        let mut state = TestCode::default();
        text.lines().filter(|line| !state.take(line)).map(str::trim).collect()
    }

    #[test]
    fn only_the_item_under_the_attribute_is_left_out() {
        let rows = [
            "#[cfg(test)]\nmod tests;",
            "#[cfg(test)] mod tests;",
            "#[cfg(test)]\nuse a::b;",
            "#[cfg(test)]\nuse a::{\n    b,\n};",
            "#[cfg(test)]\nmod tests { fn f() {} }",
            "#[cfg(test)]\nmod tests {\n    fn f() {\n    }\n\n    fn g() {}\n}",
            "#[cfg(test)]\nconst A: u8 =\n    1;",
            "#[cfg(test)]\nconst A: &[u8] = &[\n    1,\n];",
            "#[cfg(test)]\nfn f(\n    a: u8,\n) -> u8 {\n    a\n}",
            "#[cfg(test)]\nfn f() -> u8\nwhere\n    u8: Copy,\n{\n    1\n}",
            "#[cfg(test)]\n#[expect(\n    clippy::a,\n    reason = \"b\"\n)]\n#[path = \"c\"]\nfn f() {\n}",
            "    #[cfg(test)]\n    fn f() {\n        if a {\n        } else {\n        }\n    }",
            "    #[cfg(test)]\n    field: u8,",
        ];
        for item in rows {
            assert_eq!(product(&format!("before\n{item}\nafter")), ["before", "after"], "{item}");
        }
    }

    #[test]
    fn files_of_test_modules_are_found_from_where_they_are_declared() {
        let text = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\npub(crate) mod c;\nmod d;\n";
        assert_eq!(
            test_files("x/src/lib.rs", text),
            ["x/src/b.rs", "x/src/b/mod.rs", "x/src/c.rs", "x/src/c/mod.rs"]
        );
        assert_eq!(test_files("x/src/y.rs", "#[cfg(test)]\nmod t;\n"), ["x/src/y/t.rs", "x/src/y/t/mod.rs"]);
    }
}
