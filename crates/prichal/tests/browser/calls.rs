//! Calls: a call that comes in is seen in every tab.

use std::time::Duration;

use serde_json::json;

use crate::{
    browser::Browser,
    harness::{
        receiver::{Receiver, Reply},
        telephony_exchange::{CLIENT, TelephonyExchange, event, finished, item, register, started},
    },
    seed::{Seeded, Texts},
    select::{button, field, row},
};

/// A browser opens six connections to a server at most (HTTP/1.1), so a stream in each tab would block the seventh.
const TABS: usize = 7;

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_call_pops_up_in_all_of_seven_tabs() {
    let pbx = TelephonyExchange::new().await;
    let contact =
        json!({ "name": "Horns and Hooves", "phones": [{ "type": "work", "value": CLIENT }] });
    pbx.make("contacts", contact).await;
    let url = &pbx.hub.url;
    let page = "/console/my-workspace/calls";
    let browser = Browser::start().await;
    browser.sign_in(url, &pbx.space.bearer_token(), page).await;
    let mut tabs = vec![browser.tab().await];
    for _ in 1..TABS {
        tabs.push(browser.open_tab(&format!("{url}{page}")).await);
    }

    let mut body = started("1");
    body["timestamp"] = json!(pbx.hub.app.clock.now().to_string());
    pbx.send("call-started", body).await.ok();
    pbx.send("call-event", event("1", "leg", "appeared", 1))
        .await
        .ok();
    let card = "//article[contains(normalize-space(), 'Horns and Hooves')]";
    for tab in &tabs {
        browser.enter(tab).await;
        browser.find_live(&pbx.hub, card).await;
    }
    browser.inspect("calls-live").await;

    // The tab that holds the stream closes, and another one takes it over.
    browser.enter(&tabs.remove(0)).await;
    browser.client.close_window().await.expect("it closes");
    pbx.send("call-finished", finished("1", 30)).await.ok();
    for tab in &tabs {
        browser.enter(tab).await;
        let gone = browser.wait_until_gone(card);
        pbx.hub.advance_until(Duration::from_millis(50), gone).await;
        // Each tab still reaches the server.
        browser.client.refresh().await.expect("it reloads");
    }
    browser.end().await;
}

/// Moves the player to a time, and calls back with the length of the recording and the time, in seconds.
const SEEK: &str = "
const [at, done] = arguments;
const player = document.querySelector('audio');
const seek = () => { player.currentTime = at; };
player.addEventListener('error', () => done(player.error.message));
player.addEventListener('seeked', () => done([player.duration, player.currentTime]));
if (player.readyState > 0) seek(); else player.addEventListener('loadedmetadata', seek);
";

/// Reads four bytes of the recording, and calls back with the status and the range of the answer.
const READ_PART: &str = "
const [done] = arguments;
fetch(document.querySelector('audio').src, { headers: { Range: 'bytes=8-11' } })
  .then(async (answer) => done([answer.status, answer.headers.get('content-range'), await answer.text()]), String);
";

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_recording_is_played_from_any_moment() {
    let seeded = Seeded::new(&Texts::default()).await;
    let browser = Browser::start().await;
    let (url, list) = (&seeded.exchange.hub.url, seeded.page("calls"));
    browser
        .sign_in(url, &seeded.us.api.bearer_token(), &list)
        .await;
    browser.click(&format!("{}//a", row("answered"))).await;
    browser.find("//audio").await;
    let played = browser.client.execute_async(SEEK, vec![json!(0.5)]).await;
    assert_eq!(played.expect("a player"), json!([1, 0.5]));
    let part = browser.client.execute_async(READ_PART, vec![]).await;
    assert_eq!(
        part.expect("an answer"),
        json!([206, "bytes 8-11/8044", "WAVE"])
    );
    browser.inspect("call-recorded").await;
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_click_makes_the_exchange_call_back() {
    let receiver = Receiver::good().await;
    let pbx = TelephonyExchange::at(&receiver.url).await;
    let user = pbx.user("masha").await;
    let contact =
        json!({ "name": "Horns and Hooves", "phones": [{ "type": "work", "value": CLIENT }] });
    pbx.make("contacts", contact).await;
    let missed = register("1", json!([item("1", None, 9, &[])]));
    pbx.send("register-call", missed).await.ok();
    let token = pbx.space.bearer_token();
    let browser = Browser::start().await;
    let list = "/console/my-workspace/calls";
    browser.sign_in(&pbx.hub.url, &token, list).await;
    // No integration can call yet, and the page says so.
    let call_back = format!("{}//button", row("Horns and Hooves"));
    browser.click(&call_back).await;
    browser
        .wait_for_text("The call was not taken: no integration can do that.")
        .await;
    assert_eq!(receiver.waiting(), 0);

    pbx.enable_calls().await;
    browser.open(&format!("{}{list}", pbx.hub.url)).await;
    browser.click(&call_back).await;
    let call = receiver.next().await;
    assert_eq!(call.path, "/api/v1/my-workspace/communications/call");
    assert_eq!(call.json()["clientPhone"], CLIENT);
    browser
        .wait_for_text("The exchange has taken the call.")
        .await;
    // The page is that of the new call.
    let id = call.json()["communicationId"].clone();
    let id = id.as_str().expect("an id");
    let path = browser.path().await;
    assert!(path.starts_with(&format!("{list}/{id}")), "{path}");
    browser.wait_for_text("dialling").await;
    browser.inspect("call-dialled").await;

    // A number that is typed is called for a user; an exchange that does not take the call is told.
    browser.open(&format!("{}{list}", pbx.hub.url)).await;
    let who = browser.find(&field("Who calls")).await;
    who.select_by_value(&user).await.expect("an option");
    browser.fill(&field("Number"), "+7 701 234-56-78").await;
    receiver.answer(|_| Reply::Status(503));
    browser.click(&button("Call")).await;
    let call = receiver.next().await;
    assert_eq!(call.json()["fromUserId"], user.as_str());
    browser.wait_for_text("The call was not taken: ").await;
    let typed = "//input[@name='clientPhone'][@value='+7 701 234-56-78']";
    browser.find(typed).await;
    browser.inspect("call-not-taken").await;
    browser.end().await;
}
