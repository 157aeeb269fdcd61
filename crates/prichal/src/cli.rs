//! The command line.

mod check;
mod client;
mod demo;
mod login;
mod login_link;
pub mod pbx;
mod serve;
mod simulate_pbx;
mod token;
mod verify;
mod workspace;

use std::{
    io::{ErrorKind, Write as _},
    process::ExitCode,
};

use clap::{Arg, ArgMatches, Args as _, Command, parser::ValueSource};

use crate::config::{self, BadSetting, Config, Sources};

/// Runs the command of the command line.
pub async fn run() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            if let Some(bad) = BadSetting::of_flag(&error) {
                complain(&bad.into());
                return ExitCode::FAILURE;
            }
            let is_verify = std::env::args_os()
                .nth(1)
                .is_some_and(|word| word == "verify");
            let is_wrong = error.use_stderr();
            let _ = error.print();
            return match (is_wrong, is_verify) {
                (false, _) => ExitCode::SUCCESS,
                (true, true) => ExitCode::from(verify::USAGE),
                (true, false) => ExitCode::from(2),
            };
        }
    };
    let done = match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches).await,
        Some(("config", _)) => {
            say(config::annotated().trim_end());
            Ok(())
        }
        Some(("demo", matches)) => demo::run(matches).await,
        Some(("simulate-pbx", matches)) => simulate_pbx::run(matches).await,
        Some(("workspace", matches)) => workspace::run(matches).await,
        Some(("token", matches)) => token::run(matches).await,
        Some(("login-link", matches)) => login_link::run(matches).await,
        Some(("login", matches)) => login::run(matches).await,
        // Its exit status is more than success or failure.
        Some(("verify", matches)) => return verify::run(matches),
        _ => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error with its causes in one line.
fn complain(error: &anyhow::Error) {
    let line: String = format!("{error:#}").chars().map(verify::harmless).collect();
    let _ = writeln!(std::io::stderr(), "prichal: {line}");
}

fn command() -> Command {
    Command::new("prichal")
        .about("A self-hosted integration hub")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command())
        .subcommand(
            Command::new("config")
                .about("Print a settings file with all settings and their defaults"),
        )
        .subcommand(demo::command())
        .subcommand(simulate_pbx::command())
        .subcommand(workspace::command())
        .subcommand(token::command())
        .subcommand(login_link::command())
        .subcommand(login::command())
        .subcommand(verify::command())
}

/// Adds the flags of all settings and of the settings file.
fn with_settings(command: Command) -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("The file with settings, instead of prichal.toml");
    let command = Config::augment_args(command).mut_args(|arg| {
        let Some(name) = arg.get_long() else {
            return arg;
        };
        let variable = format!(" [env: {}]", config::variable(name));
        let (help, long) = (arg.get_help(), arg.get_long_help());
        let short = format!("{}{variable}", help.cloned().unwrap_or_default());
        let long = long.map(|long| format!("{long}{variable}"));
        let arg = arg.help(short);
        match long {
            Some(long) => arg.long_help(long),
            None => arg,
        }
    });
    command.arg(file).after_help(
        "A flag goes before an environment variable, and that before the file. `prichal config` prints a file with \
         all settings.",
    )
}

/// The settings from flags, variables and file.
fn load(matches: &ArgMatches) -> Result<Config, BadSetting> {
    let flag = |name: &str| {
        let id = name.replace('-', "_");
        let given = matches.value_source(&id) == Some(ValueSource::CommandLine);
        let value = matches.get_raw(&id).filter(|_| given)?.next()?;
        Some(value.to_string_lossy().into_owned())
    };
    Config::load(&Sources {
        flags: &flag,
        variables: &|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()),
        file: settings_file(matches.get_one("config"))?,
    })
}

/// The name and text of the given file, or of `prichal.toml` if it exists.
fn settings_file(given: Option<&String>) -> Result<Option<(String, String)>, BadSetting> {
    let file = given.map_or("prichal.toml", String::as_str);
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some((file.to_owned(), text))),
        Err(error) if given.is_none() && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BadSetting::Unreadable {
            file: file.to_owned(),
            why: error.to_string(),
        }),
    }
}

/// Prints the output of a command. A closed pipe is not a failure.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
