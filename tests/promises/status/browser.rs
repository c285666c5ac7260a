//! The page, in a real browser: it shows what is there, asks before it acts, and breaks none of its own
//! rules. Without chromedriver the test says so and passes, unless `SEA_ORM_CACHE_TEST_BROWSER=1`.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use sea_orm::entity::prelude::*;
use sea_orm_cache::prelude::*;
use serde_json::{Value, json};

use super::{Served, TOKEN, request, with_token};
use crate::{
    entity::{book, publisher, shelf},
    support::{ScratchDir, eventually},
    world::{World, retitled},
};

const SOON: Duration = Duration::from_secs(60);

/// A browser without a window, driven through chromedriver. Dropped, both end.
struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: ScratchDir,
}

impl Browser {
    async fn start() -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(driver) = driver else {
            let required = env::var("SEA_ORM_CACHE_TEST_BROWSER").is_ok_and(|value| value == "1");
            assert!(!required, "there is no chromedriver, and SEA_ORM_CACHE_TEST_BROWSER=1");
            eprintln!("skipped: there is no chromedriver (apt-get install chromium chromium-driver)");
            return None;
        };
        let profile = ScratchDir::create("chromium");
        let address = format!("127.0.0.1:{port}");
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        eventually("chromedriver listens", SOON, async || {
            tokio::net::TcpStream::connect(&browser.address).await.is_ok()
        })
        .await;
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en",
        ];
        let mut arguments: Vec<_> = arguments.map(str::to_owned).into();
        arguments.push(format!("--user-data-dir={}", browser._profile.path().display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.call("POST", "/session", Some(wanted)).await;
        session["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        Some(browser)
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let body = body.map(|body| body.to_string());
        let headers = ["content-type: application/json"];
        let answer = request(&self.address, method, path, &headers, body.as_deref()).await;
        assert_eq!(answer.code, 200, "{method} {path}: {}", answer.body);
        answer.json()["value"].take()
    }

    async fn post(&self, command: &str, body: Value) -> Value {
        self.call("POST", &format!("/session/{}/{command}", self.session), Some(body)).await
    }

    async fn open(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// What a script of the test's own returns; it is not bound by the page's rules.
    async fn ask(&self, script: &str) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": [] })).await
    }

    async fn text(&self, place: &str) -> String {
        let script = format!("return document.querySelector({place:?})?.innerText ?? ''");
        self.ask(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// By a mouse, where a person would.
    async fn click(&self, place: &str) {
        let element = self.find(place).await;
        self.post(&format!("element/{element}/click"), json!({})).await;
    }

    async fn type_into(&self, place: &str, text: &str) {
        let element = self.find(place).await;
        self.post(&format!("element/{element}/value"), json!({ "text": text })).await;
    }

    async fn find(&self, place: &str) -> String {
        let found = self.post("element", json!({ "using": "css selector", "value": place })).await;
        found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    /// As a device of this width, in this light.
    async fn looks(&self, width: u32, light: &str) {
        let mobile = width < 600;
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": light },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// What the browser complained of since it was asked last.
    async fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // In good order, so that the browser ends as well.
        let path = format!("/session/{}", self.session);
        if let Ok(mut stream) = std::net::TcpStream::connect(&self.address) {
            use std::io::{Read, Write};
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = write!(
                stream,
                "DELETE {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                self.address
            );
            // Until it is done; the connection may stay open.
            let _ = stream.read(&mut [0; 1024]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Some traffic, so that there is something to see.
async fn traffic(world: &World) {
    let db = &world.db;
    for _ in 0..20 {
        for id in 1..=12 {
            world.title(id).await;
        }
    }
    for id in 1..=3 {
        shelf::Entity::find_by_id(id).cached().one(db).await.unwrap();
        book::Entity::find().filter(book::Column::ShelfId.eq(id)).cached().all(db).await.unwrap();
    }
    publisher::Entity::find().cached().all(db).await.unwrap();
    retitled(2, "Dune").update(db).await.unwrap();
}

async fn stored_books(browser: &Browser) -> Option<u64> {
    browser.text("tr[data-table=book] .stored").await.replace(',', "").trim().parse().ok()
}

// case G5
// feature D7
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_cache_and_is_asked_before_anything_is_done() {
    let Some(world) = World::on_each_store().await.pop() else { return };
    let Some(browser) = Browser::start().await else { return };
    let routes = with_token(world.cache()).warm_up_with(world.db.clone());
    let served = Served::start(axum::Router::new().nest("/ops/cache", routes.into_router())).await;
    traffic(&world).await;
    browser.looks(1200, "light").await;
    browser.open(&format!("http://{}/ops/cache/dashboard", served.address)).await;

    // A wrong token is refused, and nothing is shown.
    eventually("the page asks for the token", SOON, async || {
        browser.ask("return !document.getElementById('sign-in').hidden").await == true
    })
    .await;
    // That it was closed at first is what it should be.
    let closed = browser.complaints().await;
    assert!(closed.iter().all(|line| line.contains("401")), "{closed:#?}");
    browser.type_into("#token", "0123456789abcdef-wrong").await;
    browser.click("#token-form button").await;
    eventually("it is refused", SOON, async || browser.text("#token-error").await.contains("not the token"))
        .await;
    assert_eq!(browser.text("#tables").await, "");
    let refused = browser.complaints().await;
    assert!(refused.iter().all(|line| line.contains("401")), "{refused:#?}");

    // The right one shows what is there.
    browser.type_into("#token", TOKEN).await;
    browser.click("#token-form button").await;
    eventually("the table of books", SOON, async || {
        browser.text("tr[data-table=book]").await.contains("book")
    })
    .await;
    assert_eq!(browser.text("#namespace").await, world.namespace);
    assert_eq!(browser.text("#health-word").await, "Healthy");
    let reads = browser.text("tr[data-table=book] td[data-label=Reads]").await;
    assert_eq!(reads, world.cache().stats().tables["book"].reads.to_string());
    assert!(browser.text("#purges").await.contains("book: 1 row"));

    browser.click("#count").await;
    eventually("what is stored is counted", SOON, async || {
        stored_books(&browser).await.is_some_and(|n| n >= 12)
    })
    .await;
    let before = stored_books(&browser).await.unwrap();

    // It asks; a no does nothing.
    browser.click("tr[data-table=book] button").await;
    assert_eq!(browser.ask("return document.getElementById('ask').open").await, true);
    assert_eq!(browser.ask("return document.activeElement.id").await, "ask-no");
    browser.click("#ask-no").await;
    assert_eq!(browser.ask("return document.getElementById('ask').open").await, false);
    let focus = browser.ask("return document.activeElement.getAttribute('aria-label')").await;
    assert_eq!(focus, "Invalidate book", "who said no is back where he was");
    assert!(world.book_is_cached(5).await);
    assert_eq!(stored_books(&browser).await, Some(before));

    // A yes does it, and says so.
    browser.click("tr[data-table=book] button").await;
    browser.click("#ask-yes").await;
    eventually("no book is stored any more", SOON, async || stored_books(&browser).await == Some(0)).await;
    assert!(browser.text("#said").await.contains("book was invalidated"));
    assert!(!world.book_is_cached(5).await);
    eventually("the feed tells of it", SOON, async || browser.text("#purges li").await.contains("by hand"))
        .await;

    // Everything goes only if its name is typed.
    browser.click("#clear").await;
    assert_eq!(browser.ask("return document.getElementById('ask-yes').disabled").await, true);
    browser.type_into("#ask-name", &world.namespace).await;
    eventually("a row is cached", SOON, async || world.book_is_cached(6).await).await;
    browser.click("#ask-yes").await;
    eventually("all is gone", SOON, async || browser.text("#said").await.contains("Everything")).await;
    assert!(!world.book_is_cached(6).await);

    // Warm-up, by keyboard alone.
    browser.ask("document.getElementById('warm-up').focus()").await;
    let enter = json!({ "actions": [{ "type": "key", "id": "keys", "actions": [
        { "type": "keyDown", "value": "\u{E007}" }, { "type": "keyUp", "value": "\u{E007}" },
        // From Cancel to the other.
        { "type": "keyDown", "value": "\u{E004}" }, { "type": "keyUp", "value": "\u{E004}" },
        { "type": "keyDown", "value": "\u{E007}" }, { "type": "keyUp", "value": "\u{E007}" },
    ] }] });
    browser.post("actions", enter).await;
    eventually("it is warm", SOON, async || browser.text("#warm-up-state").await.contains("Warmed up")).await;

    browser.click("#count").await;
    eventually("books are back", SOON, async || stored_books(&browser).await.is_some_and(|n| n >= 12)).await;
    let points = "return document.querySelector('#chart-latency polyline')?.points.numberOfItems ?? 0";
    eventually("the charts are drawn", SOON, async || {
        traffic(&world).await;
        browser.ask(points).await.as_u64() >= Some(6)
    })
    .await;
    photograph(&browser).await;
    assert_eq!(browser.complaints().await, [""; 0], "the page keeps its own rules");
}

/// On two widths and in two lights: nothing is wider than the screen. The pictures are kept if
/// `SEA_ORM_CACHE_PICTURES` says where.
async fn photograph(browser: &Browser) {
    use base64::Engine as _;
    for (name, width) in [("desktop", 1200), ("phone", 390)] {
        for light in ["light", "dark"] {
            browser.looks(width, light).await;
            let wide = browser.ask("return document.documentElement.scrollWidth").await;
            assert!(wide.as_u64() <= Some(u64::from(width)), "{name}: {wide}");
            let Ok(directory) = env::var("SEA_ORM_CACHE_PICTURES") else { continue };
            let params = json!({ "format": "png", "captureBeyondViewport": true });
            let picture = browser.devtools("Page.captureScreenshot", params).await;
            let picture = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap());
            fs::write(Path::new(&directory).join(format!("{name}-{light}.png")), picture.unwrap()).unwrap();
        }
    }
}
