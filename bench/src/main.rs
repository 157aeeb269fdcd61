//! All drills as one program: starts a server, measures it, and prints a table of figures.
#![expect(clippy::print_stdout, reason = "the table goes to standard output")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use prichal_bench::{
    cleanup::Cleanup,
    client,
    database::{self, Engine, Postgres},
    drill::Drill,
    lab::{Lab, Size},
    report::{Figure, Report},
};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Measures a Prichal server on this machine, side by side with its limits.
///
/// It needs target/dist/prichal (cargo build --profile dist) and, unless --engine is sqlite, a PostgreSQL server on
/// which it can create databases. The script bench/run provides both.
#[derive(Parser)]
#[command(name = "prichal-bench")]
struct Arguments {
    /// The drills to run: all, or their names
    #[arg(default_value = "all", value_name = "DRILL", value_parser = drills)]
    what: Vec<Drills>,
    /// The engine of the server's store
    #[arg(long, value_enum, default_value_t = Engines::Both)]
    engine: Engines,
    /// The server to measure
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    #[arg(
        long,
        value_name = "URL",
        help = "PostgreSQL on this machine, with a user who may create databases [env: PRICHAL_BENCH_POSTGRES]"
    )]
    database_url: Option<String>,
    /// The id of PostgreSQL's first process, for its processor time
    #[arg(long, value_name = "PID")]
    postgres_pid: Option<u32>,
    /// The folder of the servers' data while they run, on the disk to be measured
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
    /// The number of rounds for each pair of measurements
    #[arg(long)]
    rounds: Option<u32>,
    /// Run everything with small amounts as a test; the figures have no meaning
    #[arg(long)]
    quick: bool,
}

#[derive(Clone)]
struct Drills(Vec<Drill>);

fn drills(name: &str) -> Result<Drills, String> {
    let all = Drill::value_variants();
    if name == "all" {
        return Ok(Drills(all.to_vec()));
    }
    let known = || {
        all.iter()
            .filter_map(|drill| Some(drill.to_possible_value()?.get_name().to_owned()))
    };
    let unknown = |_| format!("use all, {}", known().collect::<Vec<_>>().join(", "));
    Drill::from_str(name, false)
        .map(|drill| Drills(vec![drill]))
        .map_err(unknown)
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engines {
    Sqlite,
    Postgres,
    Both,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cleanup = Cleanup::default();
    let result = watch(arguments, &cleanup);
    cleanup.run_all();
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("prichal-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the drills on a separate thread, and stops at a signal.
fn watch(arguments: Arguments, cleanup: &Cleanup) -> Result<ExitCode> {
    let (done, finished) = oneshot::channel();
    let inside = cleanup.clone();
    let worker = move || {
        // The receiver is gone only if a signal has ended the run.
        let _ = done.send(measure(&arguments, inside));
    };
    client::runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        thread::Builder::new().name("drills".into()).spawn(worker)?;
        tokio::select! {
            result = finished => result.context("the drills ended early")?,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

fn measure(arguments: &Arguments, cleanup: Cleanup) -> Result<ExitCode> {
    let target = target_folder()?;
    let program = find_server(arguments.server.as_deref(), &target)?;
    let engines = engines(arguments)?;
    let folder = arguments
        .folder
        .clone()
        .unwrap_or_else(|| target.join("bench"));
    fs::create_dir_all(&folder)
        .with_context(|| format!("creating the folder {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let mut size = if arguments.quick {
        Size::QUICK
    } else {
        Size::FULL
    };
    size.rounds = arguments.rounds.unwrap_or(size.rounds).max(1);

    let mut report = Report::default();
    if arguments.quick {
        report.note("A quick run: these figures mean nothing.".into());
    }
    if cfg!(debug_assertions) {
        report.note(
            "The generator was built without optimisation: these figures mean little.".into(),
        );
    }
    if database::is_in_memory(&folder) {
        report.note(format!(
            "{} is in memory: nothing there is durable.",
            folder.display()
        ));
    }
    report.raw("machine", "facts", machine(&program, &engines));
    let lab = Lab::new(program, folder, size, cleanup);
    let failed = run_drills(arguments, &lab, &engines, &mut report);
    println!("{}", report.markdown());
    let path = report.save(&target.join("bench"))?;
    eprintln!("raw figures: {}", path.display());
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs one drill after the other. Returns true if one of them failed.
fn run_drills(arguments: &Arguments, lab: &Lab, engines: &[Engine], report: &mut Report) -> bool {
    let mut failed = false;
    for drill in arguments
        .what
        .iter()
        .flat_map(|drills| drills.0.iter().copied())
    {
        for engine in engines {
            eprintln!("{drill:?} on {} …", engine.name());
            if let Err(error) = drill.run(lab, engine, report) {
                eprintln!("{drill:?} on {} failed: {error:#}", engine.name());
                failed = true;
                report.figure(Figure {
                    what: format!("{drill:?}"),
                    engine: engine.name().into(),
                    value: "could not be measured".into(),
                    wanted: String::new(),
                    holds: Some(false),
                });
            }
        }
    }
    failed
}

/// The folder into which Cargo built this program.
fn target_folder() -> Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder
        .context("this program is not in a target folder of Cargo")?
        .into())
}

fn find_server(given: Option<&Path>, target: &Path) -> Result<PathBuf> {
    let path = given.map_or_else(|| target.join("dist/prichal"), Path::to_path_buf);
    if !path.is_file() {
        bail!(
            "there is no server at {}: build it with cargo build --profile dist, or name it with --server",
            path.display()
        );
    }
    Ok(path.canonicalize()?)
}

fn engines(arguments: &Arguments) -> Result<Vec<Engine>> {
    let mut engines = Vec::new();
    if arguments.engine != Engines::Postgres {
        engines.push(Engine::Sqlite);
    }
    if arguments.engine != Engines::Sqlite {
        let given = arguments
            .database_url
            .clone()
            .or_else(|| env::var("PRICHAL_BENCH_POSTGRES").ok());
        let url = given.context(
            "PostgreSQL needs --database-url; bench/run starts a server of its own, and --engine sqlite does without",
        )?;
        let server = Postgres::new(&url, arguments.postgres_pid)?;
        server.connect(None)?;
        engines.push(Engine::Postgres(server));
    }
    Ok(engines)
}

/// The facts about the machine that affect the figures.
fn machine(program: &Path, engines: &[Engine]) -> Value {
    let line = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .map(str::to_owned);
        line.unwrap_or_default()
    };
    let version = Command::new(program).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let postgres = engines.iter().find_map(|engine| match engine {
        Engine::Postgres(server) => server.facts().ok(),
        Engine::Sqlite => None,
    });
    json!({
        "processor": line("/proc/cpuinfo", "model name"),
        "processors": thread::available_parallelism().map_or(0, usize::from),
        "memory": line("/proc/meminfo", "MemTotal"),
        "kernel": line("/proc/version", ""),
        "server": version.unwrap_or_default(),
        "postgres": postgres,
    })
}
