//! `wardline explain WL-nnnn`: what an error code means and what to do, as it stands in the documents of this version.

use crate::Failure;
use crate::args::Explain;
use crate::output::Output;
use console::{ErrorText, error_text, error_texts};

/// Executes `wardline explain`.
pub fn execute(options: &Explain) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let Some(asked) = &options.code else {
        for text in error_texts() {
            if options.json {
                output.json(&serde_json::json!({ "code": text.code, "title": text.title }))?;
            } else {
                output.line(format!("{}  {}", text.code, text.title))?;
            }
        }
        return output.finish();
    };
    let text = find(asked)?;
    if options.json {
        output.json(&text)?;
    } else {
        output.line(text.markdown.trim_end())?;
    }
    output.finish()
}

/// The text of a code, however it is written.
fn find(asked: &str) -> Result<ErrorText, Failure> {
    let upper = asked.trim().to_uppercase();
    let digits = upper.strip_prefix("WL-").unwrap_or(&upper);
    error_text(&format!("WL-{digits}")).ok_or_else(|| {
        Failure::usage(
            format!("WL-7273: this version has no error code {}", asked.trim()),
            "give a code as it is printed, for example WL-4001; `wardline explain` alone lists all of them",
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_written() {
        for asked in ["WL-7273", "wl-7273", " 7273 "] {
            let text = find(asked).unwrap();
            assert_eq!(text.code, "WL-7273");
            assert!(text.markdown.contains("## What to do"), "{}", text.markdown);
        }
        for wrong in ["", "WL-0000", "retry"] {
            assert!(find(wrong).unwrap_err().to_string().starts_with("WL-7273: "), "{wrong}");
        }
    }
}
