//! `wardline parse`: what Wardline makes of an input, with no broker at all.

mod udi;

use crate::args::{InputKind, Parse};
use crate::output::Output;
use crate::{Failure, send};

/// Executes `wardline parse`.
pub fn execute(options: &Parse) -> Result<(), Failure> {
    let mut output = Output::stdout();
    for path in &options.files {
        let bytes = send::read(path)?;
        match options.kind {
            InputKind::Udi => udi::print(&bytes, options.json, &mut output)?,
            InputKind::Hl7v2 | InputKind::Fhir => {}
        }
    }
    output.finish()
}
