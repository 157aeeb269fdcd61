//! The server or its store goes away and comes back while pages are open.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    browser::Browser,
    harness::{
        hub::{Hub, Installation, execute},
        integration::{Integration, company},
        receiver::Receiver,
    },
    select::row,
};

const LIST: &str = "/console/acme/deliveries";

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn an_open_list_survives_a_restart_of_the_server() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    let browser = Browser::start().await;
    browser.sign_in(&hub.url, &space.bearer_token(), LIST).await;
    company(&space, "before").await;
    browser.find_live(&hub, &row("delivered")).await;

    let address = hub.url.trim_start_matches("http://").to_owned();
    let hub = hub.stop().await.start_at(&address).await;
    // The session is in the store, and the page's stream connects again by itself.
    company(&hub.adopt(&space), "after").await;
    browser
        .find_live(&hub, &format!("{}[2]", row("delivered")))
        .await;
    browser.client.refresh().await.expect("it reloads");
    assert_eq!(browser.count(&row("delivered")).await, 2);
    browser.allow_errors("ERR_").await;
    browser.end().await;
}

/// A way to PostgreSQL that can be cut.
struct Relay {
    address: String,
    is_open: watch::Sender<bool>,
    _serving: JoinSet<()>,
}

impl Relay {
    async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (is_open, way) = watch::channel(true);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(relay(stream, to.clone(), way.clone()));
            }
        });
        Self {
            address,
            is_open,
            _serving: serving,
        }
    }
}

/// Passes bytes on until the way is cut.
async fn relay(mut from: TcpStream, to: String, mut way: watch::Receiver<bool>) {
    if !*way.borrow_and_update() {
        return;
    }
    let Ok(mut to) = TcpStream::connect(to).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = way.changed() => {}
    }
}

#[tokio::test]
#[ignore = "needs Chromium and PostgreSQL; ./test has them"]
async fn pages_say_that_the_store_is_away_and_work_when_it_is_back() {
    let direct = crate::browser::setting("PRICHAL_TEST_POSTGRES");
    let schema = format!("browser_{}", std::process::id());
    execute(
        &direct,
        &format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}"),
    );
    let parsed = url::Url::parse(&direct).expect("a URL");
    let (host, port) = (
        parsed.host_str().expect("a host"),
        parsed.port().expect("a port"),
    );
    let relay = Relay::start(format!("{host}:{port}")).await;
    let through = direct.replace(&format!("{host}:{port}"), &relay.address);
    let through = format!("{through}?options=-csearch_path%3D{schema}");
    let installation = Installation::new(move |config| {
        config.database_url = Some(through.as_str().into());
    });
    let receiver = Receiver::good().await;
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    let browser = Browser::start().await;
    browser.sign_in(&hub.url, &space.bearer_token(), LIST).await;
    let open = browser.tab().await;
    company(&space, "before").await;
    browser.find_live(&hub, &row("delivered")).await;

    relay.is_open.send_replace(false);
    browser.open_tab(&format!("{}{LIST}", hub.url)).await;
    browser
        .wait_for_text("The store cannot be reached now")
        .await;
    browser.expect_errors("503").await;
    browser.view("store-away").await;

    relay.is_open.send_replace(true);
    // The page opens by itself.
    browser.find(&row("delivered")).await;
    browser.allow_errors("503").await;
    // The tab that was open all the time shows what comes, by itself.
    browser.client.close_window().await.expect("it closes");
    browser.enter(&open).await;
    company(&space, "after").await;
    browser
        .find_live(&hub, &format!("{}[2]", row("delivered")))
        .await;
    browser.allow_errors("503").await;
    browser.end().await;
}
