//! The `prichal` program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    prichal::cli::run().await
}
