//! The console in Russian, Kazakh and English.

use crate::{
    browser::Browser,
    seed::{Seeded, Texts},
};

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn the_browser_chooses_the_language_at_first() {
    let seeded = Seeded::new(&Texts::default()).await;
    for (preferred, title) in [
        ("ru", "Вход · Prichal"),
        ("kk-KZ,ru", "Кіру · Prichal"),
        ("en-GB,ru", "Sign in · Prichal"),
        ("de", "Вход · Prichal"),
    ] {
        let browser = Browser::in_language(preferred).await;
        let url = format!("{}/console/sign-in", seeded.exchange.hub.url);
        browser.open(&url).await;
        let shown = browser.client.title().await.expect("a title");
        assert_eq!(shown, title, "{preferred}");
        browser.end().await;
    }
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn each_section_is_in_the_chosen_language() {
    let seeded = Seeded::new(&Texts::default()).await;
    let url = &seeded.exchange.hub.url;
    let browser = Browser::start().await;
    let start = seeded.page("deliveries");
    browser
        .sign_in(url, &seeded.us.api.bearer_token(), &start)
        .await;
    // The words of the menu, in the order of the sections.
    for (language, words) in [
        (
            "ru",
            [
                "Сейчас",
                "Доставки",
                "События",
                "Звонки",
                "Документы",
                "Каналы",
                "Интеграции",
                "Люди и настройки",
            ],
        ),
        (
            "kk",
            [
                "Қазір",
                "Жеткізулер",
                "Оқиғалар",
                "Қоңыраулар",
                "Құжаттар",
                "Арналар",
                "Интеграциялар",
                "Адамдар мен баптаулар",
            ],
        ),
        (
            "en",
            [
                "Now",
                "Deliveries",
                "Events",
                "Calls",
                "Documents",
                "Channels",
                "Integrations",
                "People and settings",
            ],
        ),
    ] {
        browser
            .click(&format!("//button[@lang='{language}']"))
            .await;
        browser.find(&format!("/html[@lang='{language}']")).await;
        for (section, word) in crate::pages::SECTIONS.iter().zip(words) {
            browser
                .open(&format!("{url}{}", seeded.page(section)))
                .await;
            browser.find(&format!("/html[@lang='{language}']")).await;
            let current = browser.find("//nav//a[@aria-current='page']").await;
            assert_eq!(current.text().await.expect("a text"), word);
            browser.inspect(&format!("{language}-{section}")).await;
        }
    }
    browser.end().await;
}
