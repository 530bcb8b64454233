//! A sandbox ERP in a process of its own: `sandbox-erp ADDRESS FOLDER KEY [HOSPITAL.json]`. It prints its address and runs
//! until its input ends.

use std::io::{Read, Write};
use std::process::ExitCode;

use wardline_embedded::sandbox_erp::{SandboxErp, SandboxErpOptions, Seed};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, folder, key, seed @ ..] = arguments.as_slice() else {
        return Err("usage: sandbox-erp ADDRESS FOLDER KEY [HOSPITAL.json]".into());
    };
    let seed = match seed.first() {
        Some(file) => Seed::from_json(&std::fs::read_to_string(file)?)?,
        None => Seed::default(),
    };
    let options = SandboxErpOptions { listen: listen.parse()?, data: Some(folder.into()), key: key.clone(), seed };
    let server = SandboxErp::start(options)?;
    writeln!(std::io::stdout(), "{}", server.url())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.stop();
    Ok(())
}
