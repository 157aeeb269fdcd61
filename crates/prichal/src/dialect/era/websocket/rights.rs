//! The rights of a channel over its websockets, which the routes of its roles grant (`docs/contracts/era.md §5, §9`).

use prichal_core::event::EntityKind;
use prichal_store::{Conn, entity};
use serde_json::Value;

use crate::{
    app::App,
    error::{Error, Result},
    platform::access::ChannelHandle,
};

/// The maximum number of roles that a statement reads.
const MAX_ROLES_PER_READ: i64 = 1000;

/// The capabilities of a channel without roles: its frames go to its own script.
const DEFAULT_CAPABILITIES: [&str; 2] = ["/ws#msg", "/ws#test"];

/// The routes that are open. All others are closed.
#[derive(Clone, Debug, Default)]
pub(super) struct Rights(Vec<Route>);

#[derive(Clone, Debug)]
struct Route {
    methods: Vec<String>,
    url: String,
}

impl Route {
    fn new(method: &str, url: &str) -> Self {
        Self {
            methods: vec![method.to_owned()],
            url: url.to_owned(),
        }
    }

    /// Reads a route. Without methods or url it opens nothing.
    fn read(route: &Value) -> Self {
        let methods = route["methods"].as_array().into_iter().flatten();
        let methods = methods.filter_map(Value::as_str).map(str::to_owned);
        Self {
            methods: methods.collect(),
            url: route["url"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

impl Rights {
    fn without_roles() -> Self {
        Self(
            DEFAULT_CAPABILITIES
                .map(|url| Route::new("WEBSOCKET", url))
                .to_vec(),
        )
    }

    /// Reads the present rights of a channel. A role that does not exist, or has no routes, grants nothing.
    pub(super) async fn of(app: &App, handle: &ChannelHandle) -> Result<Self> {
        let wanted: Vec<String> = handle.channel.roles().map(str::to_owned).collect();
        if wanted.is_empty() {
            return Ok(Self::without_roles());
        }
        let workspace = handle.workspace;
        let mut routes = Vec::new();
        let mut seen = 0;
        loop {
            let read = move |conn: &mut Conn| {
                entity::list(conn, workspace, EntityKind::Role, seen, MAX_ROLES_PER_READ)
            };
            let (_, found) = app.db.read(read).await?;
            if found.is_empty() {
                break;
            }
            seen += i64::try_from(found.len()).map_err(Error::internal)?;
            for role in found {
                let role: Value = serde_json::from_str(&role.members).unwrap_or_default();
                let is_ours = role["name"]
                    .as_str()
                    .is_some_and(|name| wanted.iter().any(|wanted| wanted == name));
                if is_ours {
                    let given = role["routes"].as_array().into_iter().flatten();
                    routes.extend(given.map(Route::read));
                }
            }
        }
        Ok(Self(routes))
    }

    /// True if a route opens this. A url that ends with `*` opens every path that begins with the rest of it.
    pub(super) fn allow(&self, method: &str, url: &str) -> bool {
        self.0.iter().any(|route| {
            let mut methods = route.methods.iter();
            let has_method =
                methods.any(|known| known == "*" || known.eq_ignore_ascii_case(method));
            let has_url = match route.url.strip_suffix('*') {
                Some(head) => url.starts_with(head),
                None => route.url == url,
            };
            has_method && has_url
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(rights: &Rights, table: &[(&str, &str, bool)]) {
        for (method, url, open) in table {
            assert_eq!(rights.allow(method, url), *open, "{method} {url}");
        }
    }

    #[test]
    fn routes_open_the_paths_that_they_name() {
        let rights = Rights(vec![
            Route::new("WEBSOCKET", "/ws#rest"),
            Route::new("*", "/rest/v1/service/svcscripts"),
            Route::new("GET", "/rest/v1/service/integration_points/*"),
        ]);
        let table = [
            ("WEBSOCKET", "/ws#rest", true),
            ("WEBSOCKET", "/ws#subscr", false),
            ("WEBSOCKET", "/ws#msg", false),
            ("LOOKUP", "/rest/v1/service/svcscripts", true),
            ("GET", "/rest/v1/service/svcscripts/1", false),
            ("GET", "/rest/v1/service/integration_points/1", true),
            ("get", "/rest/v1/service/integration_points/1", true),
            ("DELETE", "/rest/v1/service/integration_points/1", false),
        ];
        opens(&rights, &table);
    }

    #[test]
    fn without_roles_messages_and_tests_are_open_and_without_routes_nothing_is() {
        let table = [
            ("WEBSOCKET", "/ws#msg", true),
            ("WEBSOCKET", "/ws#test", true),
            ("WEBSOCKET", "/ws#rest", false),
            ("WEBSOCKET", "/ws#svcscript", false),
            ("WEBSOCKET", "/ws#subscr", false),
            ("GET", "/rest/v1/service/svcscripts", false),
            ("GET", "/ws#msg", false),
        ];
        opens(&Rights::without_roles(), &table);
        opens(
            &Rights::default(),
            &table.map(|(method, url, _)| (method, url, false)),
        );
        for broken in [
            serde_json::json!({}),
            serde_json::json!({ "methods": ["*"] }),
            serde_json::json!({ "url": "*" }),
            serde_json::json!({ "methods": "*", "url": "*" }),
            serde_json::json!({ "methods": [], "url": "*" }),
        ] {
            let rights = Rights(vec![Route::read(&broken)]);
            opens(&rights, &table.map(|(method, url, _)| (method, url, false)));
        }
    }
}
