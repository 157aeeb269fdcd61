//! The `prichal` program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// A request makes some hundred small allocations on one thread and frees many of them on another, which
/// the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // The allocator asks for huge pages, and a server at rest fills little of each.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    prichal::cli::run().await
}
