//! A check that pages offer no form that the server refuses. The server's own test fills a table with its answers by role
//! (`each_role_reaches_its_pages_and_actions_alone`), and pages in all their states are compared with it here.

use super::html::forms;
use crate::Role;

/// The answers of the server: method, path, and the answer to each role.
const TABLE: &str = include_str!("../../../prichal/tests/it/access/console_table.txt");

/// A line of the table.
struct Route {
    method: &'static str,
    path: Vec<&'static str>,
    answers: Vec<&'static str>,
}

fn routes() -> Vec<Route> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let route = |line: &'static str| {
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?, words.next()?);
        Some(Route {
            method,
            path: path.split('/').collect(),
            answers: words.collect(),
        })
    };
    lines.filter_map(route).collect()
}

/// The column of a role.
fn column(role: Role) -> usize {
    match role {
        Role::Operator => 0,
        Role::Admin => 1,
        Role::Integrator => 2,
        Role::Employee => 3,
        Role::Viewer => 4,
    }
}

/// True if the server refuses a role what it does for others.
fn is_refused(routes: &[Route], role: Role, method: &str, address: &str) -> bool {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let is_name = |part: &&str| part.starts_with('{');
    let fits = |route: &&Route| {
        let mut pairs = route.path.iter().zip(&parts);
        route.method == method
            && route.path.len() == parts.len()
            && pairs.all(|(one, part)| is_name(one) || one == part)
    };
    let found = routes.iter().filter(fits);
    // A word counts for more than a name.
    let found = found.min_by_key(|route| route.path.iter().map(is_name).collect::<Vec<_>>());
    let found = found.unwrap_or_else(|| panic!("there is no {method} {address}"));
    let is_refusal = |answer: &&str| ["403", "404", "in"].contains(answer);
    match found.answers[column(role)] {
        // Nobody reaches a thing that the server's test does not have.
        "404" => !found.answers.iter().all(is_refusal),
        answer => is_refusal(&answer),
    }
}

/// Checks the forms of a page, unless the server does not show it to the role at all.
pub(super) fn check_offers(role: Role, here: &str, html: &str) {
    let routes = routes();
    if is_refused(&routes, role, "GET", here) {
        return;
    }
    for (method, address) in forms(html) {
        // The table's employee may view documents only. The API tells the steps that an employee may take.
        let by_permission = role == Role::Employee && address.contains("/documents/");
        let is_own = address.starts_with("/console") && !by_permission;
        assert!(
            !is_own || !is_refused(&routes, role, method, &address),
            "{here} offers {role:?} {method} {address}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn forms_that_are_refused_are_found() {
        let form = |action: &str, inside: &str| {
            format!("<form method=\"post\" action=\"{action}\">{inside}</form>")
        };
        let calls = form("/console/acme/calls", "<button>1</button>");
        let tried = "<button formaction=\"/console/acme/calls\">1</button>";
        let outside = "<form id=\"f\" method=\"post\" action=\"/console/acme/calls\"></form><button form=\"f\">1</button>";
        for (page, is_right) in [
            (calls.as_str(), false),
            (
                &form("/console/acme/deliveries/1/verify", "<button>1</button>"),
                true,
            ),
            (
                &form("/console/acme/calls", "<button type=\"button\">1</button>"),
                true,
            ),
            (&form("/console/acme/deliveries/1/verify", tried), false),
            (
                &form(
                    "/console/acme/integrations/1/secrets#s",
                    "<button>1</button>",
                ),
                false,
            ),
            (outside, false),
        ] {
            let checked = catch_unwind(|| check_offers(Role::Viewer, "/console/acme/calls", page));
            assert_eq!(checked.is_ok(), is_right, "{page}");
            check_offers(Role::Admin, "/console/acme/calls", page);
        }
    }
}
