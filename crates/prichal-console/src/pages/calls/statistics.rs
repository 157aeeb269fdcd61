//! Statistics of calls: by day, by hour of the day, by user and by line.

use std::collections::BTreeMap;

use askama::Template;
use axum::{extract::RawQuery, response::Response};
use futures_util::future::try_join4;
use jiff::{ToSpan as _, tz::TimeZone};
use prichal_core::time::Timestamp;
use serde::Deserialize;

use super::{Criteria, Filter, model::Names, users};
use crate::{
    answer::{Fault, page},
    api::{ApiError, query},
    chart::{self, Bar, Chart, Column},
    language::Language,
    moment,
    page::{Layout, Section},
    parts::visible,
    visit::Visit,
    words::{self, fill},
};

/// The days that are shown unless the address has a period.
const DAYS: i64 = 30;
/// The maximum number of columns and bars.
const MAX_DAYS: usize = 400;
/// The longest period in days; the last of them are shown.
const MAX_SPAN: usize = 20_000;
const MAX_BARS: usize = 25;

#[derive(Deserialize)]
struct Groups {
    items: Vec<Totals>,
}

/// The totals of a group (`GET /api/v1/{ws}/communications/statistics`).
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Totals {
    user_id: Option<String>,
    line: Option<String>,
    hour: Option<String>,
    /// The calls that are over.
    count: u64,
    /// Those in progress.
    active: u64,
    answered: u64,
    missed: u64,
    talk_ms: i64,
    average_wait_ms: Option<i64>,
}

#[derive(Template)]
#[template(path = "calls-statistics.html")]
struct StatisticsPage {
    layout: Layout,
    w: &'static words::Calls,
    filter: Filter,
    action: String,
    calls: String,
    is_default: bool,
    /// The number of criteria that the address has.
    filters: usize,
    error: Option<String>,
    charts: Option<Charts>,
}

struct Charts {
    total: String,
    days: Chart,
    hours: Chart,
    users: Chart,
    lines: Chart,
}

/// The statistics of the calls that match the address; of the last 30 days unless it has a period.
pub(crate) async fn statistics(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let w = words::Calls::of(visit.language);
    let mut criteria = Criteria::read(query, &visit);
    let filters = criteria.pairs().count();
    let is_default = criteria.from.is_empty() && criteria.to.is_empty();
    if is_default {
        criteria.from = days_ago(visit.console.now(), &visit.workspace.zone);
    }
    let pairs = criteria.of_api();
    let known = async { Ok(users(&visit).await) };
    let read = try_join4(
        groups(&visit, &pairs, "hour"),
        groups(&visit, &pairs, "user"),
        groups(&visit, &pairs, "line"),
        known,
    );
    let (error, found) = match read.await {
        Ok(found) => (None, Some(found)),
        Err(error) if error.is_refusal() => (Some(error.message), None),
        Err(error) => return Err(error.into()),
    };
    let mut known = Vec::new();
    let mut charts = None;
    if let Some((hours, by_user, by_line, users)) = found {
        known = users?;
        let names = Names::of_users(&visit, known.clone(), by_user.iter().map(user_of)).await?;
        let period = period(&criteria, &visit);
        let groups = [&*hours, &by_user, &by_line];
        charts = Charts::new(
            &visit.workspace.zone,
            period,
            groups,
            &names,
            (w, visit.language),
        );
    }
    Ok(page(&StatisticsPage {
        layout: Layout::of(&visit, Section::Calls, w.statistics),
        w,
        filter: Filter::new(&criteria, &known, &visit, w),
        action: visit.page("calls/statistics"),
        calls: criteria.address(&visit, "calls", &[]),
        is_default,
        filters,
        error,
        charts,
    }))
}

fn user_of(totals: &Totals) -> &str {
    totals.user_id.as_deref().unwrap_or_default()
}

/// The first and the last day of the period, in the zone.
fn period(criteria: &Criteria, visit: &Visit) -> (Option<jiff::civil::Date>, jiff::civil::Date) {
    let zone = &visit.workspace.zone;
    let day = |at: Timestamp| {
        let at = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
        at.to_zoned_datetime(zone.clone()).date()
    };
    let now = visit.console.now();
    // The end of a period does not belong to it.
    let to = Timestamp::parse(&criteria.to).map(|to| Timestamp::from_micros(to.micros() - 1));
    let last = to.map_or(now, |to| to.min(now));
    (Timestamp::parse(&criteria.from).map(day), day(last))
}

/// The beginning of the first of the last days in the zone.
fn days_ago(now: Timestamp, zone: &TimeZone) -> String {
    let now = jiff::Timestamp::from_microsecond(now.micros()).unwrap_or_default();
    let day = now.to_zoned_datetime(zone.clone()).date();
    let first = day.saturating_sub((DAYS - 1).days());
    let begin = first.at(0, 0, 0, 0);
    let begin = zone.to_ambiguous_timestamp(begin).compatible();
    Timestamp::from_micros(begin.unwrap_or_default().as_microsecond()).to_millis()
}

async fn groups(visit: &Visit, pairs: &[(&str, &str)], by: &str) -> Result<Vec<Totals>, ApiError> {
    let pairs = pairs.iter().copied().chain([("groupBy", by)]);
    let path = format!("{}{}", visit.api("communications/statistics"), query(pairs));
    let found: Groups = visit.get(&path).await?;
    Ok(found.items)
}

/// The numbers of a column: answered, missed, and the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    answered: u64,
    missed: u64,
    other: u64,
}

impl Counts {
    fn add(&mut self, totals: &Totals) {
        self.answered += totals.answered;
        self.missed += totals.missed;
        let known = totals.answered + totals.missed;
        self.other += totals.count.saturating_sub(known);
    }

    fn column(self, label: String) -> Column {
        Column {
            label,
            parts: vec![self.answered, self.missed, self.other],
        }
    }
}

/// The totals by day and by hour of the day, both in the zone.
///
/// The API groups by the hours of UTC; in zones that are not whole hours from it, an hour belongs to that of its
/// beginning.
fn by_time(
    hours: &[Totals],
    zone: &TimeZone,
) -> (BTreeMap<jiff::civil::Date, Counts>, [Counts; 24]) {
    let mut days: BTreeMap<_, Counts> = BTreeMap::new();
    let mut of_day = [Counts::default(); 24];
    for totals in hours {
        let at = totals.hour.as_deref().and_then(Timestamp::parse);
        let Some(at) = at.and_then(|at| jiff::Timestamp::from_microsecond(at.micros()).ok()) else {
            continue;
        };
        let local = at.to_zoned_datetime(zone.clone());
        days.entry(local.date()).or_default().add(totals);
        let hour = usize::try_from(local.hour()).unwrap_or(0);
        if let Some(counts) = of_day.get_mut(hour) {
            counts.add(totals);
        }
    }
    (days, of_day)
}

/// A column for every day of the period, those without calls included. A period without a beginning has that of the
/// first call.
fn day_columns(
    days: &BTreeMap<jiff::civil::Date, Counts>,
    period: (Option<jiff::civil::Date>, jiff::civil::Date),
) -> Vec<Column> {
    let known = days.first_key_value().map(|(day, _)| *day);
    let Some(first) = period.0.or(known) else {
        return Vec::new();
    };
    let last = days
        .last_key_value()
        .map_or(period.1, |(day, _)| (*day).max(period.1));
    let all = first
        .series(1.day())
        .take_while(|day| *day <= last)
        .take(MAX_SPAN);
    let mut columns: Vec<Column> = all
        .map(|day| {
            let counts = days.get(&day).copied().unwrap_or_default();
            counts.column(day.strftime("%d.%m").to_string())
        })
        .collect();
    let surplus = columns.len().saturating_sub(MAX_DAYS);
    columns.drain(..surplus);
    columns
}

impl Charts {
    fn new(
        zone: &TimeZone,
        period: (Option<jiff::civil::Date>, jiff::civil::Date),
        [hours, by_user, by_line]: [&[Totals]; 3],
        names: &Names,
        (w, language): (&words::Calls, Language),
    ) -> Option<Self> {
        let total = Total::of(by_user);
        if total.count + total.active == 0 {
            return None;
        }
        let (days, of_day) = by_time(hours, zone);
        let series = [w.answered, w.missed, w.other];
        let of_day = of_day.iter().enumerate();
        let of_day: Vec<Column> = of_day
            .map(|(hour, counts)| counts.column(format!("{hour}:00")))
            .collect();
        let text = |what: &str| format!("{what}. {}", total.sentence(w, language));
        let user = |one: &Totals| match &one.user_id {
            Some(id) => names.user(Some(id), w),
            None => w.nobody.to_owned(),
        };
        let line = |one: &Totals| match one.line.as_deref() {
            Some("") | None => w.no_line.to_owned(),
            Some(line) => visible(line),
        };
        Some(Self {
            days: chart::columns(&day_columns(&days, period), &series, &text(w.by_day)),
            hours: chart::columns(&of_day, &series, &text(w.by_hour)),
            users: chart::bars(&bars(by_user, user, w), w.by_user),
            lines: chart::bars(&bars(by_line, line, w), w.by_line),
            total: total.sentence(w, language),
        })
    }
}

/// The largest groups as bars.
fn bars(groups: &[Totals], name: impl Fn(&Totals) -> String, w: &words::Calls) -> Vec<Bar> {
    let mut groups: Vec<&Totals> = groups.iter().filter(|one| one.count > 0).collect();
    groups.sort_by_key(|one| std::cmp::Reverse(one.count));
    let shown = groups.into_iter().take(MAX_BARS);
    shown
        .map(|one| Bar {
            label: name(one),
            value: one.count,
            shown: fill(w.missed_of, &[&one.count, &one.missed]),
        })
        .collect()
}

/// The totals of all groups.
#[derive(Default)]
struct Total {
    count: u64,
    active: u64,
    answered: u64,
    missed: u64,
    talk_ms: i64,
    /// The sum of the groups' mean waits, each counted by its calls.
    wait_ms: i64,
    waits: i64,
}

impl Total {
    fn of(groups: &[Totals]) -> Self {
        let mut total = Self::default();
        for one in groups {
            total.count += one.count;
            total.active += one.active;
            total.answered += one.answered;
            total.missed += one.missed;
            total.talk_ms += one.talk_ms;
            if let Some(wait) = one.average_wait_ms {
                let count = i64::try_from(one.count).unwrap_or(i64::MAX);
                total.wait_ms = total.wait_ms.saturating_add(wait.saturating_mul(count));
                total.waits += count;
            }
        }
        total
    }

    fn sentence(&self, w: &words::Calls, language: Language) -> String {
        let answered = i64::try_from(self.answered).unwrap_or(i64::MAX);
        let mean = |sum: i64, count: i64| moment::span(sum / count.max(1), language);
        let active = match self.active {
            0 => String::new(),
            active => format!(" {}", fill(w.active_now, &[&active])),
        };
        let total = fill(
            w.total,
            &[
                &self.count,
                &self.answered,
                &self.missed,
                &mean(self.talk_ms, answered),
                &mean(self.wait_ms, self.waits),
            ],
        );
        format!("{total}{active}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(at: &str, answered: u64, missed: u64, count: u64) -> Totals {
        Totals {
            hour: Some(at.to_owned()),
            count,
            answered,
            missed,
            ..Totals::default()
        }
    }

    #[test]
    fn hours_become_days_of_the_zone() {
        let zone = TimeZone::get("Asia/Almaty").expect("a zone");
        let hours = [
            hour("2026-11-24T18:00:00+00:00", 1, 1, 3),
            hour("2026-11-24T19:00:00+00:00", 2, 0, 2),
            hour("2026-11-27T18:00:00+00:00", 4, 0, 4),
        ];
        let (days, of_day) = by_time(&hours, &zone);
        assert_eq!(
            of_day[23],
            Counts {
                answered: 5,
                missed: 1,
                other: 1
            }
        );
        assert_eq!(of_day[0].answered, 2);
        let last = jiff::civil::date(2026, 11, 27);
        let columns = day_columns(&days, (None, last));
        let labels: Vec<&str> = columns.iter().map(|one| one.label.as_str()).collect();
        assert_eq!(labels, ["24.11", "25.11", "26.11", "27.11"]);
        assert_eq!(columns[0].parts, [1, 1, 1]);
        assert_eq!(columns[2].parts, [0, 0, 0]);
        let first = jiff::civil::date(2026, 11, 22);
        assert_eq!(day_columns(&days, (Some(first), last)).len(), 6);
        assert!(day_columns(&BTreeMap::new(), (None, last)).is_empty());
    }

    #[test]
    fn the_last_days_begin_at_midnight_of_the_zone() {
        let zone = TimeZone::get("Asia/Almaty").expect("a zone");
        let now = Timestamp::parse("2026-11-27T20:00:00Z").expect("a time");
        assert_eq!(days_ago(now, &zone), "2026-10-29T19:00:00.000Z");
    }
}
