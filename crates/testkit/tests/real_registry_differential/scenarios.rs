//! What clients ask a registry for, written by hand.

use serde_json::json;

use super::{Scenario, Step};

/// A request without a body.
pub fn bare(method: &'static str, path: impl Into<String>) -> Step {
    Step { method, path: path.into(), body: String::new() }
}

/// A request about a schema.
pub fn with_schema(path: impl Into<String>, schema: &str) -> Step {
    Step { method: "POST", path: path.into(), body: json!({"schema": schema}).to_string() }
}

/// Sets a level.
pub fn with_level(path: impl Into<String>, level: &str) -> Step {
    Step { method: "PUT", path: path.into(), body: json!({"compatibility": level}).to_string() }
}

fn get(path: &str) -> Step {
    bare("GET", path)
}

fn delete(path: &str) -> Step {
    bare("DELETE", path)
}

fn register(subject: &str, schema: &str) -> Step {
    with_schema(format!("/subjects/{subject}/versions"), schema)
}

fn scenario(name: &str, steps: Vec<Step>) -> Scenario {
    Scenario { name: name.to_owned(), steps }
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![
        empty(),
        registering(),
        asking(),
        refusals(),
        bodies(),
        checking(),
        rules(),
        subject_rule_none(),
        deleting(),
        erasing(),
        spelling(),
        others(),
        empty_text(),
    ]
}

fn empty() -> Scenario {
    scenario("empty", vec![get("/subjects"), get("/config"), get("/subjects?deleted=true")])
}

fn registering() -> Scenario {
    scenario(
        "registering",
        vec![
            register("reg-a", "\"int\""),
            register("reg-a", "\"int\""),
            register("reg-b", "\"int\""),
            register("reg-a", "\"long\""),
            register("reg-a", "\"string\""),
            register("reg%20c%2Fd", "\"int\""),
            get("/subjects/reg%20c%2Fd/versions"),
            get("/subjects"),
            get("/subjects/reg-a/versions"),
        ],
    )
}

fn asking() -> Scenario {
    scenario(
        "asking",
        vec![
            register("ask-a", "\"bytes\""),
            register("ask-a", "[\"bytes\",\"null\"]"),
            register("ask-b", "\"bytes\""),
            with_schema("/subjects/ask-a", "\"bytes\""),
            with_schema("/subjects/ask-a", "\"null\""),
            with_schema("/subjects/ask-never", "\"bytes\""),
            get("/subjects/ask-a/versions/1"),
            get("/subjects/ask-a/versions/2"),
            get("/subjects/ask-a/versions/latest"),
            get("/subjects/ask-a/versions/1/schema"),
            get("/schemas/ids/{id:1}"),
            get("/schemas/ids/{id:2}"),
            get("/schemas/ids/{id:1}/schema"),
            get("/schemas/ids/{id:1}/versions"),
            get("/schemas/ids/{id:1}/subjects"),
            get("/schemas/types"),
        ],
    )
}

fn refusals() -> Scenario {
    scenario(
        "refusals",
        vec![
            register("ref-a", "\"int\""),
            get("/subjects/ref-a/versions/9"),
            get("/subjects/ref-a/versions/0"),
            get("/subjects/ref-a/versions/first"),
            get("/subjects/ref-never/versions"),
            get("/subjects/ref-never/versions/1"),
            get("/subjects/ref-never/versions/latest"),
            get("/schemas/ids/999999"),
            get("/schemas/ids/999999/schema"),
            get("/schemas/ids/999999/versions"),
            register("ref-a", r#"{"type":"nonsense"}"#),
            register("ref-a", r#"{"type":"record","name":"R"}"#),
            register("ref-a", r#"{"type":"record","name":"R","fields":[{"name":"a","type":"Unknown"}]}"#),
            register("ref-a", r#"["int","int"]"#),
            register("ref-a", r#"{"type":"enum","name":"E","symbols":["A","A"]}"#),
            register(
                "ref-a",
                r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            ),
            register("ref-a", r#"{"type":"record","name":"R","fields":[{"name":"a-b","type":"int"}]}"#),
            register("ref-a", r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"text"}]}"#),
            register("ref-a", r#"{"type":"fixed","name":"F","size":-1}"#),
            get("/subjects/ref-a/versions"),
        ],
    )
}

fn bodies() -> Scenario {
    let to = |subject: &str, body: &str| Step {
        method: "POST",
        path: format!("/subjects/{subject}/versions"),
        body: body.to_owned(),
    };
    let post = |body: &str| to("body", body);
    scenario(
        "bodies",
        vec![
            post("not JSON"),
            post("[]"),
            post("{}"),
            to("body-full", r#"{"schema":"\"int\"","schemaType":"AVRO","references":[]}"#),
            post(r#"{"schema":"\"int\"","schemaType":"UNHEARD"}"#),
        ],
    )
}

fn checking() -> Scenario {
    let check = |path: &str, schema: &str| with_schema(format!("/compatibility/subjects/{path}"), schema);
    scenario(
        "checking",
        vec![
            register("chk", "\"int\""),
            register("chk", "\"long\""),
            check("chk/versions/latest", "\"double\""),
            check("chk/versions/latest", "\"int\""),
            check("chk/versions/1", "\"int\""),
            check("chk/versions/2", "\"string\""),
            check("chk/versions", "\"double\""),
            check("chk/versions", "\"string\""),
            check("chk/versions/9", "\"double\""),
            check("chk-never/versions/latest", "\"double\""),
            check("chk-never/versions/1", "\"double\""),
            check("chk-never/versions", "\"double\""),
            check("chk/versions/latest", r#"{"type":"nonsense"}"#),
            check("chk/versions/latest?verbose=true", "\"string\""),
        ],
    )
}

fn rules() -> Scenario {
    scenario(
        "rules",
        vec![
            get("/config"),
            register("rul", "\"int\""),
            get("/config/rul"),
            with_level("/config/rul", "FORWARD"),
            get("/config/rul"),
            register("rul", "\"long\""),
            with_level("/config/rul", "SIDEWAYS"),
            delete("/config/rul"),
            register("rul", "\"long\""),
            get("/config/rul-never"),
            delete("/config/rul-never"),
            with_level("/config", "FULL"),
            get("/config"),
            register("rul", "\"float\""),
            with_level("/config", "BACKWARD"),
        ],
    )
}

fn subject_rule_none() -> Scenario {
    scenario(
        "subject rule NONE",
        vec![
            register("non", "\"int\""),
            with_level("/config/non", "NONE"),
            get("/config/non"),
            register("non", "\"string\""),
        ],
    )
}

fn deleting() -> Scenario {
    scenario(
        "deleting",
        vec![
            register("del", "\"int\""),
            register("del", "\"long\""),
            register("del", "\"float\""),
            delete("/subjects/del/versions/1"),
            delete("/subjects/del/versions/1"),
            get("/subjects/del/versions"),
            get("/subjects/del/versions/1"),
            get("/subjects/del/versions?deleted=true"),
            get("/subjects/del/versions/1?deleted=true"),
            get("/schemas/ids/{id:1}"),
            delete("/subjects/del/versions/latest"),
            get("/subjects/del/versions/latest"),
            register("del", "\"double\""),
            get("/subjects/del/versions"),
            delete("/subjects/del"),
            get("/subjects/del/versions"),
            delete("/subjects/del"),
            get("/subjects?deleted=true"),
            delete("/subjects/del-never"),
            delete("/subjects/del/versions/9"),
        ],
    )
}

fn erasing() -> Scenario {
    scenario(
        "erasing",
        vec![
            register("era", "\"int\""),
            register("era", "\"long\""),
            register("era", "[\"null\",\"long\",{\"type\":\"fixed\",\"name\":\"OnlyHere\",\"size\":3}]"),
            delete("/subjects/era/versions/3?permanent=true"),
            delete("/subjects/era/versions/3"),
            delete("/subjects/era/versions/3?permanent=true"),
            get("/subjects/era/versions?deleted=true"),
            get("/schemas/ids/{id:3}"),
            delete("/subjects/era?permanent=true"),
            delete("/subjects/era"),
            delete("/subjects/era?permanent=true"),
            get("/subjects/era/versions?deleted=true"),
            delete("/subjects/era?permanent=true"),
            register("era", "\"string\""),
            get("/subjects/era/versions"),
        ],
    )
}

fn empty_text() -> Scenario {
    scenario("empty text", vec![register("emp", "")])
}

fn spelling() -> Scenario {
    scenario(
        "spelling",
        vec![register("spl", "\"int\""), register("spl", r#"{"type":"int"}"#), get("/subjects/spl/versions")],
    )
}

fn others() -> Scenario {
    scenario("others", vec![get("/nowhere"), bare("PATCH", "/subjects/oth"), get("/mode"), get("/schemas/ids/text")])
}
