//! `prichal token …`.

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};
use reqwest::Method;
use serde_json::{Map, Value};

use super::client::{Client, each, flags, segment, text};

pub(super) fn command() -> Command {
    let workspace = || {
        Arg::new("workspace")
            .value_name("WORKSPACE")
            .required(true)
            .help("The workspace's name or id")
    };
    let create = Command::new("create")
        .about("Create a token, which is shown only once")
        .arg(workspace());
    let create = create
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("TEXT")
                .required(true)
                .help("The purpose of the token"),
        )
        .arg(
            Arg::new("role")
                .long("role")
                .value_name("ROLE")
                .default_value("member")
                .help("admin, member, viewer or integrator"),
        )
        .arg(
            Arg::new("integration")
                .long("integration")
                .value_name("ID")
                .action(ArgAction::Append)
                .help("An integration that an integrator acts for; may be repeated"),
        )
        .arg(
            Arg::new("user")
                .long("user")
                .value_name("ID")
                .help("The user that the token acts for"),
        )
        .arg(
            Arg::new("expires-at")
                .long("expires-at")
                .value_name("TIME")
                .help("The expiry of the token, ISO 8601"),
        );
    let id = Arg::new("id")
        .value_name("ID")
        .required(true)
        .help("The token's id");
    Command::new("token")
        .about("Create, list and revoke tokens of a workspace")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(create.args(flags()))
        .subcommand(
            Command::new("list")
                .about("List the tokens, without the tokens themselves")
                .arg(workspace())
                .args(flags()),
        )
        .subcommand(
            Command::new("revoke")
                .about("Revoke a token")
                .arg(workspace())
                .arg(id)
                .args(flags()),
        )
}

pub(super) async fn run(matches: &ArgMatches) -> Result<()> {
    let Some((verb, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let client = Client::new(matches)?;
    let given = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let path = format!(
        "/workspaces/{}/tokens",
        segment(given("workspace").unwrap_or_default())
    );
    match verb {
        "create" => {
            let members = [
                ("name", "name"),
                ("role", "role"),
                ("userId", "user"),
                ("expiresAt", "expires-at"),
            ];
            let members = members
                .into_iter()
                .filter_map(|(member, flag)| Some((member.to_owned(), given(flag)?.into())));
            let mut body: Map<String, Value> = members.collect();
            if let Some(ids) = matches.get_many::<String>("integration") {
                let ids: Vec<&str> = ids.map(String::as_str).collect();
                body.insert("integrations".to_owned(), ids.into());
            }
            let made = client.send(Method::POST, &path, Some(body.into())).await?;
            client.show(&made, |made| text(made, "token").to_owned());
        }
        "list" => {
            let list = client.list(&path).await?;
            client.show(&list, |list| {
                each(list, |token| {
                    format!(
                        "{}  {}  {}",
                        text(token, "id"),
                        text(token, "role"),
                        text(token, "name")
                    )
                })
            });
        }
        _ => {
            client
                .send(
                    Method::DELETE,
                    &format!("{path}/{}", segment(given("id").unwrap_or_default())),
                    None,
                )
                .await?;
        }
    }
    Ok(())
}
