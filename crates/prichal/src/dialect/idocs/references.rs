//! Reference data: employees, their permissions, the owner of a token, values of enumerations
//! (`docs/contracts/idocs.md §1.10, §1.2` rows 21 to 23).

use prichal_core::{document, entity::PERMISSIONS, event::EntityKind, id::parse_any};
use prichal_dialect::word_schemas;
use prichal_store::{Conn, entity, workspace};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Envelope, Page, bare, wrapped},
    caller::{Company, Employee, employee},
    language::Localized,
    member::{Bin, Counted, List, Skip, Top, bodies},
    read::Enumeration as _,
};
use crate::{
    dialect::paths,
    error::{Error, NoRoute, Result},
    http::{body::Json, extract::Path, idempotency::JsonAnswer},
};

/// List the company's employees.
#[utoipa::path(post, path = "/api/v3/sync/references/company-employees", tag = "references",
    request_body = PageRequest, responses((status = 200, body = Envelope<Page<EmployeeModel>>)))]
pub(super) async fn list_employees(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    company.may("EMPLOYEE_VIEW").await?;
    let PageRequest { skip, top } = company.read(&body)?;
    let (skip, top) = (skip.0, top.0);
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
    wrapped(Page {
        page_items: found.iter().map(EmployeeModel::of).collect(),
        skip,
        top,
        total_size: total,
    })
}

/// An employee of the company.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EmployeeVM)]
struct EmployeeModel {
    id: Uuid,
    /// The IIN.
    #[schema(required, example = "880101300123")]
    national_identification_number: Option<String>,
    #[schema(required)]
    first_name: Option<String>,
    #[schema(required)]
    last_name: Option<String>,
    #[schema(required)]
    full_name: Option<String>,
    #[schema(required)]
    position: Option<String>,
    #[schema(required)]
    email: Option<String>,
    /// Seconds since 1970.
    created_on: i64,
}

impl EmployeeModel {
    fn of(one: &Employee) -> Self {
        let facts = &one.facts;
        let shown = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Self {
            id: one.id.0,
            national_identification_number: one.iin().map(str::to_owned),
            first_name: shown(&facts.first_name),
            last_name: shown(&facts.last_name),
            full_name: shown(&facts.name),
            position: shown(&facts.position),
            email: shown(&facts.email),
            created_on: one.created_at.secs(),
        }
    }
}

/// The permissions of an employee.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EmployeePermissionVM)]
struct GrantedPermissions {
    employee_id: Uuid,
    #[schema(value_type = Vec<AccountPermission>)]
    account_permissions: Vec<&'static str>,
}

word_schemas! {
    /// A right of an employee.
    AccountPermission: PERMISSIONS;
    /// A list of words.
    WordList: &WORD_LISTS.map(|(name, ..)| name);
}

/// Read the permissions of an employee.
#[utoipa::path(get, path = "/api/v3/sync/references/company-employees/permission/{employeeId}", tag = "references",
    params(("employeeId" = Uuid, Path, description = "The id of the employee")),
    responses((status = 200, body = Envelope<GrantedPermissions>)))]
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
    wrapped(GrantedPermissions {
        employee_id: found.id.0,
        account_permissions: granted,
    })
}

/// The company of a token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CompanyTokenInfoVM)]
struct TokenInfo {
    /// The id of the token.
    id: Uuid,
    company_id: Uuid,
    #[schema(required, example = "971240001315")]
    company_bin: Option<String>,
    #[schema(required)]
    company_name: Option<String>,
}

/// Read the company of the token.
#[utoipa::path(post, path = "/api/v3/sync/references/company-token", tag = "references",
    responses((status = 200, body = Envelope<TokenInfo>)))]
pub(super) async fn get_token(company: Company) -> Result<JsonAnswer> {
    let workspace = &company.workspace;
    wrapped(TokenInfo {
        id: company.requester.token.0,
        company_id: workspace.id.0,
        company_bin: workspace.bin.clone(),
        company_name: workspace.company_name.clone(),
    })
}

bodies! {
    /// The part of a list to show.
    pub(super) struct PageRequest as PageRequestVM {
        /// The number of items before the page.
        skip: Skip = "skip", 0;
        /// The size of the page. A size over 100 counts as 100.
        top: Top = "top", 10;
    }

    /// The companies to look up.
    struct Counterparties as CheckCounterpartiesVM {
        /// The BINs of the companies, or the IINs of persons.
        bins: List<Bin, 0, 100> = "bins";
    }
}

impl Counted for Bin {
    const TOO_MANY: &'static Localized = &TOO_MANY;
}

/// A company as a possible counterparty.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CounterpartyVM)]
struct Counterparty {
    #[schema(example = "971240001315")]
    bin: String,
    /// True if the company is registered here.
    is_registered: bool,
    #[schema(required)]
    company_name: Option<String>,
}

/// Ask which companies are registered here, by their BIN.
#[utoipa::path(post, path = "/api/v3/sync/references/counterparties/check", tag = "references",
    request_body = Counterparties, responses((status = 200, body = Vec<Counterparty>)))]
pub(super) async fn check_counterparties(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let Counterparties { bins } = company.read(&body)?;
    let look = move |conn: &mut Conn| {
        let mut found = Vec::new();
        for Bin { digits: bin, .. } in bins.0 {
            let known = workspace::find_by_bin(conn, &bin)?;
            found.push(Counterparty {
                bin,
                is_registered: known.is_some(),
                company_name: known.and_then(|one| one.company_name),
            });
        }
        Ok::<_, Error>(found)
    };
    bare(&company.app.db.read(look).await?)
}

/// The lists of words, with the number of their first one.
const WORD_LISTS: [(&str, &[&str], usize); 4] = [
    (
        "document-groups",
        document::Group::WORDS,
        document::Group::FIRST_NUMBER,
    ),
    (
        "statuses",
        document::Status::WORDS,
        document::Status::FIRST_NUMBER,
    ),
    (
        "route-actions",
        document::Action::WORDS,
        document::Action::FIRST_NUMBER,
    ),
    ("permissions", PERMISSIONS, 0),
];

/// A word with its number.
#[derive(Serialize, ToSchema)]
#[schema(as = WordVM)]
struct Word {
    #[schema(example = "Accounting")]
    name: &'static str,
    /// The number that requests may have in the place of the name.
    #[schema(example = 1)]
    value: usize,
}

/// List the values of an enumeration: `document-groups`, `statuses`, `route-actions` or `permissions`.
#[utoipa::path(get, path = "/api/v3/sync/references/{name}", tag = "references",
    params(("name" = inline(WordList), Path, description = "The list")),
    responses((status = 200, body = Vec<Word>)))]
pub(super) async fn list_words(_: Company, Path(name): Path<String>) -> Result<JsonAnswer> {
    let mut lists = WORD_LISTS.iter();
    let list = lists.find(|(known, ..)| *known == name);
    let (_, words, first) = list.ok_or_else(|| {
        const ABOVE: &str = "/api/v3/sync/references";
        let lists = WORD_LISTS.map(|(name, ..)| name.to_owned());
        let known = lists.into_iter().chain(paths().below(ABOVE)).collect();
        Error::NoRoute(NoRoute::new(ABOVE, &name, known))
    })?;
    let numbered = (*first..).zip(words.iter());
    let words: Vec<Word> = numbered.map(|(value, name)| Word { name, value }).collect();
    bare(&words)
}

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
