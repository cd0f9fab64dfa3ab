//! Compile child of the targets' sandbox.

use std::process::ExitCode;

fn main() -> ExitCode {
    match fusebox_sandbox::compile_child(fusebox_jail::Setting::Auto) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), error.to_string().as_bytes());
            ExitCode::FAILURE
        }
    }
}
