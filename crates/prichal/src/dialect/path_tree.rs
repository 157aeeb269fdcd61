//! The paths of the server as a tree of their parts, so that the refusal of a path or a method can say what there is.

use std::collections::BTreeMap;

use utoipa::openapi::{PathItem, Paths as Routes};

use crate::error::NoRoute;

/// The maximum number of parts that one refusal lists.
const MAX_LISTED: usize = 40;

/// The parts below a path, by their names or as `{parameter}`.
#[derive(Default)]
pub(super) struct PathTree {
    below: BTreeMap<String, PathTree>,
    /// The methods of the path that ends here.
    methods: Vec<&'static str>,
}

impl PathTree {
    pub(super) const fn empty() -> Self {
        Self {
            below: BTreeMap::new(),
            methods: Vec::new(),
        }
    }

    /// Adds the routes of a router with their methods.
    pub(super) fn add_routes(&mut self, routes: &Routes) {
        for (path, item) in &routes.paths {
            let mut node = &mut *self;
            for part in parts(path) {
                node = node.below.entry(part.to_owned()).or_default();
            }
            node.methods.extend(methods(item));
        }
    }

    /// The refusal of a path that does not exist: the last part that does, and the parts below it.
    pub(super) fn missing(&self, path: &str) -> NoRoute {
        let (mut node, mut above) = (self, String::new());
        for part in parts(path) {
            let Some((name, below)) = node.child(part) else {
                return NoRoute::new(root(above), part, node.names());
            };
            above.push('/');
            above.push_str(name);
            node = below;
        }
        if node.methods.is_empty() {
            NoRoute::new(root(above), "", node.names())
        } else {
            NoRoute::misspelled(above)
        }
    }

    /// Adds a path.
    pub(super) fn insert(&mut self, path: &str) {
        let mut node = self;
        for part in parts(path) {
            node = node.below.entry(part.to_owned()).or_default();
        }
    }

    /// The names of the parts below a route.
    pub(super) fn below(&self, route: &str) -> impl Iterator<Item = String> {
        let names = self.find(route).map(Self::names).unwrap_or_default();
        names.into_iter().filter(|name| !is_parameter(name))
    }

    /// The methods of a route.
    pub(super) fn methods(&self, route: &str) -> Vec<&'static str> {
        let node = self.find(route);
        node.map(|node| node.methods.clone()).unwrap_or_default()
    }

    fn find(&self, route: &str) -> Option<&Self> {
        parts(route).try_fold(self, |node, part| node.below.get(part))
    }

    /// The child that a part of a request's path means. A name takes precedence over a parameter.
    fn child(&self, part: &str) -> Option<(&str, &Self)> {
        let mut named = self.below.iter();
        let named = named.find(|(name, _)| name.eq_ignore_ascii_case(part));
        let mut all = self.below.iter();
        let found = named.or_else(|| all.find(|(name, _)| is_parameter(name)));
        found.map(|(name, below)| (name.as_str(), below))
    }

    fn names(&self) -> Vec<String> {
        self.below.keys().take(MAX_LISTED).cloned().collect()
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

fn is_parameter(part: &str) -> bool {
    part.starts_with('{')
}

fn root(above: String) -> String {
    if above.is_empty() {
        "/".to_owned()
    } else {
        above
    }
}

fn methods(item: &PathItem) -> impl Iterator<Item = &'static str> {
    let all = [
        (item.get.is_some(), "GET"),
        (item.get.is_some() || item.head.is_some(), "HEAD"),
        (item.post.is_some(), "POST"),
        (item.put.is_some(), "PUT"),
        (item.patch.is_some(), "PATCH"),
        (item.delete.is_some(), "DELETE"),
    ];
    all.into_iter()
        .filter_map(|(exists, method)| exists.then_some(method))
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::{
        PathsBuilder,
        path::{HttpMethod, Operation},
    };

    use super::*;

    fn tree() -> PathTree {
        let mut paths = PathsBuilder::new();
        for (path, method) in [
            ("/admin/v1/workspaces", HttpMethod::Get),
            ("/admin/v1/workspaces", HttpMethod::Post),
            ("/admin/v1/workspaces/{ws}/tokens", HttpMethod::Post),
            ("/admin/v1/quarantine", HttpMethod::Get),
        ] {
            paths = paths.path(path, PathItem::new(method, Operation::new()));
        }
        let mut tree = PathTree::empty();
        tree.add_routes(&paths.build());
        tree
    }

    #[test]
    fn a_missing_path_is_told_by_what_is_there() {
        let tree = tree();
        for (path, text) in [
            (
                "/admin/v1/workspace",
                "There is no `workspace` in `/admin/v1`: quarantine, workspaces",
            ),
            (
                "/admin/v1/workspaces/acme/token",
                "There is no `token` in `/admin/v1/workspaces/{ws}`: tokens",
            ),
            (
                "/admin/v1",
                "`/admin/v1` alone is not a path of the API: quarantine, workspaces",
            ),
            ("/nope", "There is no `nope` in `/`: admin"),
            (
                "/admin/v1/quarantine/x",
                "There is no `x` in `/admin/v1/quarantine`",
            ),
        ] {
            assert_eq!(tree.missing(path).to_string(), text);
        }
        let secret = format!("/admin/v1/{}", "5".repeat(64));
        let text = tree.missing(&secret).to_string();
        assert!(!text.contains("55") && text.contains("`…`"), "{text}");
    }

    #[test]
    fn the_methods_of_a_route_are_known() {
        let tree = tree();
        assert_eq!(
            tree.methods("/admin/v1/workspaces"),
            ["GET", "HEAD", "POST"]
        );
        assert_eq!(tree.methods("/admin/v1/workspaces/{ws}/tokens"), ["POST"]);
        assert!(tree.methods("/admin/v1").is_empty());
        let below: Vec<_> = tree.below("/admin/v1").collect();
        assert_eq!(below, ["quarantine", "workspaces"]);
    }
}
