//! The command line.

mod client;
mod demo;
mod serve;
mod simulate_pbx;
mod token;
mod verify;
mod workspace;

use std::{io::Write as _, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{BadSetting, Config, SETTINGS, Sources};

/// Runs what the command line asks for.
pub async fn run() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
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
        Some(("demo", matches)) => demo::run(matches).await,
        Some(("simulate-pbx", matches)) => simulate_pbx::run(matches).await,
        Some(("workspace", matches)) => workspace::run(matches).await,
        Some(("token", matches)) => token::run(matches).await,
        // Its exit status says more than whether it worked.
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

/// One line with its causes.
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
        .subcommand(demo::command())
        .subcommand(simulate_pbx::command())
        .subcommand(workspace::command())
        .subcommand(token::command())
        .subcommand(verify::command())
}

/// The flags of all settings, and the file they may stand in.
fn setting_flags() -> Vec<Arg> {
    let flag = |setting: &'static crate::config::Setting| {
        let help = format!(
            "{}: {} [env: {}]",
            setting.help,
            setting.allowed,
            setting.variable()
        );
        let arg = Arg::new(setting.name)
            .long(setting.name)
            .value_name(setting.value)
            .help(help)
            // What begins with a hyphen is a bad value, not another flag.
            .allow_hyphen_values(true)
            .action(ArgAction::Set);
        if setting.value == "BOOL" {
            arg.num_args(0..=1).default_missing_value("true")
        } else {
            arg
        }
    };
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("The file with settings, instead of prichal.toml");
    SETTINGS.iter().map(flag).chain([file]).collect()
}

/// The settings by flags, variables and file.
fn load(matches: &ArgMatches) -> Result<Config, BadSetting> {
    let file = match matches.get_one::<String>("config") {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            Some((
                path.clone(),
                text.map_err(|error| BadSetting::Unreadable {
                    file: path.clone(),
                    why: error.to_string(),
                })?,
            ))
        }
        None => match std::fs::read_to_string("prichal.toml") {
            Ok(text) => Some(("prichal.toml".to_owned(), text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(BadSetting::Unreadable {
                    file: "prichal.toml".to_owned(),
                    why: error.to_string(),
                });
            }
        },
    };
    Config::load(&Sources {
        flags: &|name| matches.get_one::<String>(name).cloned(),
        variables: &|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()),
        file,
    })
}

/// Prints what the command was run for. A pipe that was closed is no failure of ours.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
