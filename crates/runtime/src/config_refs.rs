//! References in a configuration file, so that secrets stay out of it: `${env:NAME}` and `${file:/path}`.
//!
//! A reference is the whole value of a key that takes text. Nothing else is expanded, so a password may hold any character.
//!
//! ```text
//! password: ${file:/etc/wardline/secrets/kafka/password}   ->   the text of that file, without its line end
//! instance: ${env:POD_NAME}                                ->   the value of that variable
//! ```

use serde_json::Value;

/// Replaces every reference below `value`.
///
/// # Errors
/// Names the key and what cannot be read, never the content.
pub(crate) fn resolve(value: &mut Value, key: &str) -> Result<(), String> {
    match value {
        Value::String(text) => {
            if let Some(resolved) = reference(text).map_err(|reason| format!("{key}: {reason}"))? {
                *text = resolved;
            }
            Ok(())
        }
        Value::Array(entries) => {
            entries.iter_mut().enumerate().try_for_each(|(place, entry)| resolve(entry, &format!("{key}[{place}]")))
        }
        Value::Object(fields) => fields.iter_mut().try_for_each(|(name, field)| {
            let path = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            resolve(field, &path)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// What a text refers to; `None` when it is no reference.
fn reference(text: &str) -> Result<Option<String>, String> {
    let Some((kind, name)) =
        text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).and_then(|inner| inner.split_once(':'))
    else {
        return Ok(None);
    };
    match kind {
        "env" => std::env::var(name).map(Some).map_err(|_absent| format!("the environment variable {name} is not set")),
        // Secret files of Kubernetes and of editors end with a line feed that is not part of the secret.
        "file" => std::fs::read_to_string(name)
            .map(|content| Some(content.trim_end_matches(['\r', '\n']).to_owned()))
            .map_err(|error| format!("cannot read {name}: {error}")),
        other => Err(format!("${{{other}:...}} is no reference: use ${{env:NAME}} or ${{file:PATH}}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_gives_its_text_without_the_line_end() {
        let file = std::env::temp_dir().join(format!("wardline-config-refs-{}", std::process::id()));
        std::fs::write(&file, "p}a${ss\n").unwrap();
        let mut value = json!({"kafka": {"password": format!("${{file:{}}}", file.display()), "bootstrap": "a:1,b:2"}});
        resolve(&mut value, "").unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(value, json!({"kafka": {"password": "p}a${ss", "bootstrap": "a:1,b:2"}}));
    }

    #[test]
    fn an_environment_variable_is_read() {
        let mut value = json!(["${env:CARGO_MANIFEST_DIR}"]);
        resolve(&mut value, "").unwrap();
        assert_eq!(value, json!([env!("CARGO_MANIFEST_DIR")]));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_key() {
        for (text, part) in [
            ("${env:WARDLINE_THAT_IS_NOT_SET}", "not set"),
            ("${file:/nowhere/at/all}", "cannot read /nowhere/at/all"),
            ("${vault:x}", "no reference"),
        ] {
            let error = resolve(&mut json!({"rooms": {"erp": {"key": text}}}), "").unwrap_err();
            assert!(error.starts_with("rooms.erp.key: ") && error.contains(part), "{error}");
        }
    }
}
