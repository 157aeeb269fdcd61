//! `prichal workspace …`.

use anyhow::Result;
use clap::{Arg, ArgMatches, Command};
use reqwest::Method;
use serde_json::{Map, Value};

use super::client::{Client, each, flags, segment, text};

pub(super) fn command() -> Command {
    let name = || {
        Arg::new("name")
            .value_name("NAME")
            .required(true)
            .help("The workspace's name or id")
    };
    let member = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("TEXT").help(help)
    };
    let create = Command::new("create")
        .about("Create a workspace")
        .arg(name());
    let create = create
        .arg(member("title", "The title for people"))
        .arg(member("bin", "The company's BIN, 12 digits"));
    Command::new("workspace")
        .about("Create, list and delete workspaces")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            create
                .arg(member("company-name", "The company's name"))
                .args(flags()),
        )
        .subcommand(
            Command::new("list")
                .about("List the workspaces")
                .args(flags()),
        )
        .subcommand(
            Command::new("get")
                .about("Show a workspace")
                .arg(name())
                .args(flags()),
        )
        .subcommand(
            Command::new("delete")
                .about("Delete a workspace")
                .arg(name())
                .args(flags()),
        )
}

pub(super) async fn run(matches: &ArgMatches) -> Result<()> {
    let Some((verb, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let client = Client::new(matches)?;
    let name = matches
        .try_get_one::<String>("name")
        .ok()
        .flatten()
        .map_or("", String::as_str);
    match verb {
        "create" => {
            let given = [
                ("title", "title"),
                ("bin", "bin"),
                ("companyName", "company-name"),
            ];
            let given = given.into_iter().filter_map(|(member, flag)| {
                Some((
                    member.to_owned(),
                    matches.get_one::<String>(flag)?.as_str().into(),
                ))
            });
            let body: Map<String, Value> = [("name".to_owned(), name.into())]
                .into_iter()
                .chain(given)
                .collect();
            let made = client
                .send(Method::POST, "/workspaces", Some(body.into()))
                .await?;
            client.show(&made, line);
        }
        "list" => client.show(&client.list("/workspaces").await?, |list| each(list, line)),
        "get" => client.show(
            &client
                .send(Method::GET, &format!("/workspaces/{}", segment(name)), None)
                .await?,
            line,
        ),
        _ => {
            client
                .send(
                    Method::DELETE,
                    &format!("/workspaces/{}", segment(name)),
                    None,
                )
                .await?;
        }
    }
    Ok(())
}

fn line(workspace: &Value) -> String {
    format!(
        "{}  {}  {}",
        text(workspace, "id"),
        text(workspace, "name"),
        text(workspace, "title")
    )
    .trim_end()
    .to_owned()
}
