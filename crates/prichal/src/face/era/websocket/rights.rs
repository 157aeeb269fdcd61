//! What a channel may do over its websockets: what its roles' routes open (`reference/era.md` §5, §9).

use prichal_core::event::EntityKind;
use prichal_store::{Conn, entity};
use serde_json::Value;

use crate::{
    app::App,
    channel::Docked,
    error::{Error, Result},
};

/// How many roles are read at once.
const ROLES: i64 = 1000;

/// What is open. Without a role that has routes, everything the channel itself allows.
#[derive(Clone, Debug, Default)]
pub(super) struct Rights(Option<Vec<Route>>);

#[derive(Clone, Debug)]
struct Route {
    methods: Vec<String>,
    url: String,
}

impl Route {
    /// One that lacks something opens nothing, but narrows like any other.
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
    /// The rights that a channel has now. They are good for one connection.
    pub(super) async fn of(app: &App, docked: &Docked) -> Result<Self> {
        let wanted: Vec<String> = docked.channel.roles().map(str::to_owned).collect();
        if wanted.is_empty() {
            return Ok(Self(None));
        }
        let workspace = docked.workspace;
        let mut routes = Vec::new();
        let mut seen = 0;
        loop {
            let read =
                move |conn: &mut Conn| entity::list(conn, workspace, EntityKind::Role, seen, ROLES);
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
        Ok(Self((!routes.is_empty()).then_some(routes)))
    }

    /// Whether some route opens this. A url that ends with `*` opens all that begins like it.
    pub(super) fn allow(&self, method: &str, url: &str) -> bool {
        let Some(routes) = &self.0 else { return true };
        routes.iter().any(|route| {
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

    #[test]
    fn routes_open_what_they_name() {
        let route = |method: &str, url: &str| Route {
            methods: vec![method.to_owned()],
            url: url.to_owned(),
        };
        let rights = Rights(Some(vec![
            route("WEBSOCKET", "/ws#rest"),
            route("*", "/rest/v1/service/svcscripts"),
            route("GET", "/rest/v1/service/integration_points/*"),
        ]));
        for (method, url, open) in [
            ("WEBSOCKET", "/ws#rest", true),
            ("WEBSOCKET", "/ws#subscr", false),
            ("LOOKUP", "/rest/v1/service/svcscripts", true),
            ("GET", "/rest/v1/service/svcscripts/1", false),
            ("GET", "/rest/v1/service/integration_points/1", true),
            ("get", "/rest/v1/service/integration_points/1", true),
            ("DELETE", "/rest/v1/service/integration_points/1", false),
        ] {
            assert_eq!(rights.allow(method, url), open, "{method} {url}");
        }
        assert!(Rights(None).allow("DELETE", "/anything"));
    }
}
