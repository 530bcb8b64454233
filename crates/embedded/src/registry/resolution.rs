//! Whether records written with one schema can be read with another, by the rules of the Avro specification as the Java
//! library has them, because that is what every registry answers with.
//!
//! Every pair of types is compared once, so types that hold themselves end, and shared types cost nothing.

use std::collections::HashMap;

use super::schema::{Field, Node, Schema};

/// Most pairs of types that are compared.
const PAIRS_MAX: usize = 200_000;
/// Deepest chain of types inside types.
const DEPTH_MAX: usize = 256;
/// Most reasons that are told.
const REASONS_MAX: usize = 20;

/// Why a schema cannot read what another wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// Kind, in the words of the Java library.
    pub(super) kind: &'static str,
    /// Where in the reader's schema.
    pub(super) path: String,
    /// What it is about.
    pub(super) about: String,
}

impl Mismatch {
    /// The sentence, for a reader and a writer that are called so.
    pub(super) fn describe(&self, reader: &str, writer: &str) -> String {
        let Self { kind, path, about } = self;
        let path = if path.is_empty() { "/" } else { path };
        let what = match *kind {
            "READER_FIELD_MISSING_DEFAULT_VALUE" => {
                format!(
                    "The field '{about}' at path '{path}' in the {reader} schema has no default value and is missing in the {writer} schema"
                )
            }
            "MISSING_ENUM_SYMBOLS" => {
                format!("The {reader} schema is missing enum symbols '{about}' at path '{path}' in the {writer} schema")
            }
            "MISSING_UNION_BRANCH" => {
                format!(
                    "The {reader} schema is missing a type inside a union field at path '{path}' in the {writer} schema"
                )
            }
            "NAME_MISMATCH" => format!("The name of the schema has changed (path '{path}')"),
            "FIXED_SIZE_MISMATCH" => {
                format!(
                    "The size of FIXED type field at path '{path}' in the {reader} schema does not match with the {writer} schema"
                )
            }
            "TYPE_MISMATCH" => {
                format!(
                    "The type (path '{path}') of a field in the {reader} schema does not match with the {writer} schema"
                )
            }
            _ => format!("The schemas are too large to compare (path '{path}')"),
        };
        format!("{{errorType:'{kind}', description:'{what}', additionalInfo:'{about}'}}")
    }
}

/// What keeps `reader` from reading what was written with `writer`; nothing when it reads everything.
pub(super) fn mismatches(reader: &Schema, writer: &Schema) -> Vec<Mismatch> {
    let mut comparison = Comparison { reader, writer, known: HashMap::new(), depth: 0 };
    let mut found = comparison.compare(reader.root, writer.root, "");
    found.truncate(REASONS_MAX);
    found
}

struct Comparison<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// Results by pair; while a pair is being compared, it counts as fitting.
    known: HashMap<(usize, usize), Vec<Mismatch>>,
    depth: usize,
}

impl Comparison<'_> {
    fn compare(&mut self, reader: usize, writer: usize, path: &str) -> Vec<Mismatch> {
        if let Some(known) = self.known.get(&(reader, writer)) {
            return known.clone();
        }
        if self.depth >= DEPTH_MAX || self.known.len() >= PAIRS_MAX {
            return vec![mismatch("TOO_COMPLEX", path, "")];
        }
        self.known.insert((reader, writer), Vec::new());
        self.depth += 1;
        let mut found = self.compare_new(reader, writer, path);
        self.depth -= 1;
        found.truncate(REASONS_MAX);
        self.known.insert((reader, writer), found.clone());
        found
    }

    fn compare_new(&mut self, reader: usize, writer: usize, path: &str) -> Vec<Mismatch> {
        let (Some(read), Some(written)) = (self.reader.nodes.get(reader), self.writer.nodes.get(writer)) else {
            return vec![mismatch("TYPE_MISMATCH", path, "")];
        };
        match (read, written) {
            (Node::Union(_), Node::Union(branches)) => self.every_branch(reader, branches, path),
            (_, Node::Union(branches)) if branches.len() == 1 => self.compare(reader, branches[0], path),
            (Node::Union(branches), _) => self.any_branch(branches, writer, path),
            (Node::Primitive(read), Node::Primitive(written)) if promotes(written, read) => Vec::new(),
            (Node::Array(read), Node::Array(written)) => self.compare(*read, *written, &format!("{path}/items")),
            (Node::Map(read), Node::Map(written)) => self.compare(*read, *written, &format!("{path}/values")),
            (Node::Fixed { name: read, size }, Node::Fixed { name: written, size: expected }) => {
                let mut found = same_name(read, written, path);
                if size != expected {
                    let about = format!("expected: {expected}, found: {size}");
                    found.push(mismatch("FIXED_SIZE_MISMATCH", &format!("{path}/size"), &about));
                }
                found
            }
            (Node::Enum { name: read, symbols, default }, Node::Enum { name: written, symbols: needed, .. }) => {
                let mut found = same_name(read, written, path);
                let missing: Vec<_> =
                    needed.iter().filter(|symbol| !symbols.contains(symbol)).map(String::as_str).collect();
                let defaulted = default.as_ref().is_some_and(|default| symbols.contains(default));
                if !missing.is_empty() && !defaulted {
                    let about = format!("[{}]", missing.join(", "));
                    found.push(mismatch("MISSING_ENUM_SYMBOLS", &format!("{path}/symbols"), &about));
                }
                found
            }
            (Node::Record { name: read, fields }, Node::Record { name: written, fields: sources }) => {
                let mut found = same_name(read, written, path);
                found.extend(self.fields(fields, sources, path));
                found
            }
            (read, written) => {
                let about = format!("reader type: {} not compatible with writer type: {}", kind(read), kind(written));
                vec![mismatch("TYPE_MISMATCH", path, &about)]
            }
        }
    }

    fn every_branch(&mut self, reader: usize, branches: &[usize], path: &str) -> Vec<Mismatch> {
        let mut found = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            if !self.compare(reader, *branch, path).is_empty() {
                found.push(self.missing_branch(*branch, &format!("{path}/{index}")));
            }
        }
        found
    }

    fn any_branch(&mut self, branches: &[usize], writer: usize, path: &str) -> Vec<Mismatch> {
        if branches.iter().any(|branch| self.compare(*branch, writer, path).is_empty()) {
            return Vec::new();
        }
        vec![self.missing_branch(writer, path)]
    }

    fn missing_branch(&self, writer: usize, path: &str) -> Mismatch {
        let kind = self.writer.nodes.get(writer).map_or("", kind);
        mismatch("MISSING_UNION_BRANCH", path, &format!("reader union lacking writer type: {kind}"))
    }

    fn fields(&mut self, fields: &[Field], sources: &[Field], path: &str) -> Vec<Mismatch> {
        let by_name: HashMap<&str, &Field> = sources.iter().map(|source| (source.name.as_str(), source)).collect();
        let mut found = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let names = std::iter::once(&field.name).chain(&field.aliases);
            let source = names.filter_map(|name| by_name.get(name.as_str())).next();
            let path = format!("{path}/fields/{index}");
            match source {
                Some(source) => found.extend(self.compare(field.node, source.node, &format!("{path}/type"))),
                None if field.has_default || self.has_enum_default(field) => {}
                None => found.push(mismatch("READER_FIELD_MISSING_DEFAULT_VALUE", &path, &field.name)),
            }
        }
        found
    }

    fn has_enum_default(&self, field: &Field) -> bool {
        matches!(self.reader.nodes.get(field.node), Some(Node::Enum { default: Some(_), .. }))
    }
}

fn mismatch(kind: &'static str, path: &str, about: &str) -> Mismatch {
    Mismatch { kind, path: path.to_owned(), about: about.to_owned() }
}

/// Names count without their namespaces.
fn same_name(reader: &str, writer: &str, path: &str) -> Vec<Mismatch> {
    let short = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
    if short(reader) == short(writer) {
        return Vec::new();
    }
    vec![mismatch("NAME_MISMATCH", &format!("{path}/name"), &format!("expected: {writer}"))]
}

/// Whether what was written as one primitive can be read as another.
fn promotes(writer: &str, reader: &str) -> bool {
    writer == reader
        || matches!(
            (writer, reader),
            ("int", "long" | "float" | "double")
                | ("long", "float" | "double")
                | ("float", "double")
                | ("string", "bytes")
                | ("bytes", "string")
        )
}

fn kind(node: &Node) -> &str {
    match node {
        Node::Primitive(name) => name,
        Node::Array(_) => "array",
        Node::Map(_) => "map",
        Node::Union(_) => "union",
        Node::Fixed { .. } => "fixed",
        Node::Enum { .. } => "enum",
        Node::Record { .. } => "record",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(reader: &str, writer: &str) -> Vec<&'static str> {
        let found = mismatches(&Schema::read(reader).unwrap(), &Schema::read(writer).unwrap());
        found.iter().map(|mismatch| mismatch.kind).collect()
    }

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
    }

    #[test]
    fn primitives_promote_one_way() {
        for (writer, reader) in [("int", "double"), ("long", "float"), ("string", "bytes"), ("bytes", "string")] {
            assert_eq!(kinds(&format!("\"{reader}\""), &format!("\"{writer}\"")), [""; 0]);
        }
        assert_eq!(kinds("\"int\"", "\"long\""), ["TYPE_MISMATCH"]);
        assert_eq!(kinds("\"null\"", "\"boolean\""), ["TYPE_MISMATCH"]);
    }

    #[test]
    fn a_field_that_was_not_written_needs_a_default() {
        let old = record(r#"{"name":"a","type":"int"}"#);
        let without = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#);
        let with = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":1}"#);
        assert_eq!(kinds(&without, &old), ["READER_FIELD_MISSING_DEFAULT_VALUE"]);
        assert_eq!(kinds(&with, &old), [""; 0]);
        assert_eq!(kinds(&old, &without), [""; 0]);
        let renamed = record(r#"{"name":"z","aliases":["a"],"type":"long"}"#);
        assert_eq!(kinds(&renamed, &old), [""; 0]);
    }

    #[test]
    fn unions_hold_what_was_written() {
        assert_eq!(kinds(r#"["null","long"]"#, r#"["null","int"]"#), [""; 0]);
        assert_eq!(kinds(r#"["null","int"]"#, r#"["null","long"]"#), ["MISSING_UNION_BRANCH"]);
        assert_eq!(kinds(r#"["null","int"]"#, "\"int\""), [""; 0]);
        assert_eq!(kinds("\"int\"", r#"["int"]"#), [""; 0]);
        assert_eq!(kinds("\"int\"", r#"["null","int"]"#), ["TYPE_MISMATCH"]);
    }

    #[test]
    fn symbols_and_sizes_count() {
        let symbols = |list: &str, more: &str| format!(r#"{{"type":"enum","name":"E","symbols":[{list}]{more}}}"#);
        assert_eq!(kinds(&symbols(r#""A""#, ""), &symbols(r#""A","B""#, "")), ["MISSING_ENUM_SYMBOLS"]);
        assert_eq!(kinds(&symbols(r#""A""#, r#","default":"A""#), &symbols(r#""A","B""#, "")), [""; 0]);
        let fixed = |name: &str, size: u8| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
        assert_eq!(kinds(&fixed("F", 4), &fixed("n.F", 4)), [""; 0]);
        assert_eq!(kinds(&fixed("F", 4), &fixed("G", 5)), ["NAME_MISMATCH", "FIXED_SIZE_MISMATCH"]);
    }

    #[test]
    fn a_type_that_holds_itself_is_compared() {
        let tree = |extra: &str| {
            format!(r#"{{"type":"record","name":"T","fields":[{{"name":"d","type":["null","T"]}}{extra}]}}"#)
        };
        assert_eq!(kinds(&tree(""), &tree("")), [""; 0]);
        let found = kinds(&tree(r#",{"name":"x","type":"int"}"#), &tree(""));
        assert!(found.contains(&"READER_FIELD_MISSING_DEFAULT_VALUE"), "{found:?}");
    }

    #[test]
    fn what_is_built_to_be_large_ends_soon() {
        // Each record holds the one before it twice: written out, it would have 2^60 types.
        let mut fields = r#"{"name":"f0","type":{"type":"record","name":"R0","fields":[]}}"#.to_owned();
        for number in 1..60 {
            let below = number - 1;
            fields += &format!(
                r#",{{"name":"f{number}","type":{{"type":"record","name":"R{number}","fields":[{{"name":"a","type":"R{below}"}},{{"name":"b","type":"R{below}"}}]}}}}"#
            );
        }
        assert_eq!(kinds(&record(&fields), &record(&fields)), [""; 0]);
        // A chain deeper than the stack.
        let mut fields = r#"{"name":"f0","type":{"type":"record","name":"R0","fields":[]}}"#.to_owned();
        for number in 1..2_000 {
            let below = number - 1;
            fields += &format!(
                r#",{{"name":"f{number}","type":{{"type":"record","name":"R{number}","fields":[{{"name":"a","type":"R{below}"}}]}}}}"#
            );
        }
        // Compared from the shallow end, every pair is known before it is needed.
        assert_eq!(kinds(&record(&fields), &record(&fields)), [""; 0]);
    }
}
