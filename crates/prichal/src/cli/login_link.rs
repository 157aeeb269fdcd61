//! `prichal login-link`.

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};
use reqwest::Method;
use serde_json::{Map, Value};

use super::client::{Client, flags, text};

pub(super) fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let of_workspace = |arg: Arg| arg.requires("workspace");
    Command::new("login-link")
        .about("Print a link to sign in at the console, for one use within ten minutes")
        .arg(option(
            "workspace",
            "WORKSPACE",
            "The workspace's name or id; without it the link is for the server's operator",
        ))
        .arg(of_workspace(option(
            "user",
            "ID",
            "The user that the session acts for",
        )))
        .arg(of_workspace(option(
            "role",
            "ROLE",
            "admin, member, viewer or integrator; default: member with --user, else admin",
        )))
        .arg(
            of_workspace(option(
                "integration",
                "ID",
                "An integration that an integrator acts for; may be repeated",
            ))
            .action(ArgAction::Append),
        )
        .arg(of_workspace(option(
            "name",
            "TEXT",
            "A name of the session for people",
        )))
        .args(flags())
}

pub(super) async fn run(matches: &ArgMatches) -> Result<()> {
    let client = Client::new(matches)?;
    let members = [
        ("workspace", "workspace"),
        ("userId", "user"),
        ("role", "role"),
        ("name", "name"),
    ];
    let given = members.into_iter().filter_map(|(member, flag)| {
        let value = matches.get_one::<String>(flag)?;
        Some((member.to_owned(), Value::from(value.as_str())))
    });
    let mut body: Map<String, Value> = given.collect();
    if let Some(ids) = matches.get_many::<String>("integration") {
        let ids: Vec<&str> = ids.map(String::as_str).collect();
        body.insert("integrations".to_owned(), ids.into());
    }
    let made = client
        .send(Method::POST, "/login-links", Some(body.into()))
        .await?;
    client.show(&made, |made| text(made, "url").to_owned());
    Ok(())
}
