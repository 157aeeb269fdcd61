//! The command line.

use std::process::ExitCode;

pub async fn run() -> ExitCode {
    ExitCode::SUCCESS
}
