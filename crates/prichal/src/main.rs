//! The `prichal` program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The allocator. A request makes some hundred small allocations on one thread and frees many of them on another,
/// which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A script worker is a small process and takes no part in the rest.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "script-worker")
    {
        let mut more = std::env::args().skip(2);
        let done = match (more.next().as_deref(), more.next()) {
            (Some("probe"), Some(file)) => prichal_script::worker::probe(&file),
            _ => prichal_script::worker::serve(),
        };
        return match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    serve()
}

#[tokio::main]
async fn serve() -> ExitCode {
    // Files of this process are for their owner only.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // The allocator asks for huge pages, and a server at rest fills little of each.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    raise_open_files();
    prichal::cli::run().await
}

/// Raises the limit of open files: thousands of websockets need thousands, and many systems start with one thousand.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    // A system that forbids it keeps its lower limit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}
