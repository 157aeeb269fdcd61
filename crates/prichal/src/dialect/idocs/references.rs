//! Reference data: employees, their permissions, the owner of a token, values of enumerations
//! (`docs/contracts/idocs.md §1.10, §1.2` rows 21 to 23).

use axum::extract::State;
use prichal_core::{document, entity::PERMISSIONS, event::EntityKind, id::parse_any};
use prichal_store::{Conn, entity, workspace};
use serde_json::{Value, json};

use super::{
    answer::{bare, page, wrapped},
    caller::{Company, Employee, employee},
    language::Localized,
    read::Fields,
};
use crate::{
    app::App,
    dialect::paths,
    error::{Error, NoRoute, Result},
    http::{body::Json, extract::Path, idempotency::JsonAnswer},
};

/// List the company's employees.
#[utoipa::path(post, path = "/api/v3/sync/references/company-employees", tag = "references",
    request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn list_employees(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    company.may("EMPLOYEE_VIEW").await?;
    let (skip, top) = Fields::of(&body, company.language())?.page()?;
    let viewer = company.id();
    let (total, found) = company
        .app
        .db
        .read(move |conn| {
            let (mut total, mut found) = (0, Vec::new());
            let mut seen = 0;
            while seen < top {
                let (count, users) =
                    entity::list(conn, viewer, EntityKind::User, skip + seen, top - seen)?;
                total = count;
                if users.is_empty() {
                    break;
                }
                seen += i64::try_from(users.len()).map_err(Error::internal)?;
                found.extend(users.iter().filter_map(Employee::read));
            }
            Ok::<_, Error>((total, found))
        })
        .await?;
    let items: Vec<Value> = found.iter().map(employee_model).collect();
    Ok(wrapped(&page(&items, skip, top, total)))
}

fn employee_model(one: &Employee) -> Value {
    let facts = &one.facts;
    let shown = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    json!({
        "id": one.id.0,
        "nationalIdentificationNumber": one.iin(),
        "firstName": shown(&facts.first_name),
        "lastName": shown(&facts.last_name),
        "fullName": shown(&facts.name),
        "position": shown(&facts.position),
        "email": shown(&facts.email),
        "createdOn": one.created_at.secs(),
    })
}

/// Read the permissions of an employee.
#[utoipa::path(get, path = "/api/v3/sync/references/company-employees/permission/{employeeId}", tag = "references",
    params(("employeeId" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn get_permissions(
    company: Company,
    Path(id): Path<String>,
) -> Result<JsonAnswer> {
    company.may("EMPLOYEE_VIEW").await?;
    let unknown = || company.refuse(&UNKNOWN_EMPLOYEE, &[&id]);
    let (viewer, wanted) = (company.id(), parse_any(&id).ok_or_else(unknown)?);
    let look = move |conn: &mut Conn| employee(conn, viewer, wanted);
    let found = company.app.db.read(look).await?.ok_or_else(unknown)?;
    let granted: Vec<&str> = PERMISSIONS
        .iter()
        .copied()
        .filter(|permission| found.may(permission))
        .collect();
    Ok(wrapped(
        &json!({ "employeeId": found.id.0, "accountPermissions": granted }),
    ))
}

/// Read the company of the token.
#[utoipa::path(post, path = "/api/v3/sync/references/company-token", tag = "references",
    responses((status = 200, body = Value)))]
pub(super) async fn get_token(company: Company) -> Result<JsonAnswer> {
    let workspace = &company.workspace;
    Ok(wrapped(&json!({
        "id": company.requester.token.0,
        "companyId": workspace.id.0,
        "companyBin": workspace.bin,
        "companyName": workspace.company_name,
    })))
}

/// Ask which companies are registered here, by their BIN.
#[utoipa::path(post, path = "/api/v3/sync/references/counterparties/check", tag = "references",
    request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn check_counterparties(
    State(app): State<App>,
    company: Company,
    Json(body): Json,
) -> Result<JsonAnswer> {
    const MAX_BINS: usize = 100;
    company.may("DOCUMENT_VIEW").await?;
    let fields = Fields::of(&body, company.language())?;
    let mut bins = Vec::new();
    for (n, bin) in fields.list("bins")?.iter().enumerate() {
        let bin = bin
            .as_str()
            .filter(|bin| app.config.identifier_check.accepts(bin));
        let bin = bin.ok_or_else(|| fields.fault(&format!("bins[{n}]"), &BAD_BIN, &[]))?;
        bins.push(bin.to_owned());
    }
    if bins.len() > MAX_BINS {
        return Err(fields.fault("bins", &TOO_MANY, &[&MAX_BINS.to_string()]));
    }
    let look = move |conn: &mut Conn| {
        let mut found = Vec::new();
        for bin in bins {
            let known = workspace::find_by_bin(conn, &bin)?;
            found.push(json!({
                "bin": bin,
                "isRegistered": known.is_some(),
                "companyName": known.and_then(|one| one.company_name),
            }));
        }
        Ok::<_, Error>(found)
    };
    Ok(bare(&Value::Array(company.app.db.read(look).await?)))
}

/// List the values of an enumeration: `document-groups`, `statuses`, `route-actions` or `permissions`.
#[utoipa::path(get, path = "/api/v3/sync/references/{name}", tag = "references",
    params(("name" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn list_words(_: Company, Path(name): Path<String>) -> Result<JsonAnswer> {
    let (words, first) = match name.as_str() {
        "document-groups" => (document::Group::WORDS, 1),
        "statuses" => (document::Status::WORDS, 0),
        "route-actions" => (document::Action::WORDS, 0),
        "permissions" => (PERMISSIONS, 0),
        _ => {
            const ABOVE: &str = "/api/v3/sync/references";
            let lists = [
                "document-groups",
                "statuses",
                "route-actions",
                "permissions",
            ];
            let lists = lists.into_iter().map(str::to_owned);
            let known = lists.chain(paths().below(ABOVE)).collect();
            return Err(Error::NoRoute(NoRoute::new(ABOVE, &name, known)));
        }
    };
    let numbered = (first..).zip(words);
    let items: Vec<Value> = numbered
        .map(|(number, name)| json!({ "name": name, "value": number }))
        .collect();
    Ok(bare(&items.into()))
}

pub(super) const BAD_BIN: Localized = Localized::new(
    "Поле {} должно быть БИН или ИИН: 12 цифр с верной контрольной.",
    "{} өрісі БСН немесе ЖСН болуы керек: бақылау цифры дұрыс 12 цифр.",
    "The field {} must be a BIN or IIN: 12 digits with a valid check digit.",
);
const TOO_MANY: Localized = Localized::new(
    "Поле {} содержит больше {} элементов.",
    "{} өрісінде {} элементтен көп.",
    "The field {} has more than {} elements.",
);
const UNKNOWN_EMPLOYEE: Localized = Localized::new(
    "Сотрудник {} не найден.",
    "{} қызметкері табылмады.",
    "The employee {} was not found.",
);
