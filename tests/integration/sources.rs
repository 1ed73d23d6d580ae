//! Where secrets come from, and what happens while they are missing.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Proxy, Request, Setup, Upstream, file, profile};

/// A first endpoint whose key comes from `source`, and a second one that always works.
fn yaml(first: &Upstream, source: &str, second: &Upstream) -> String {
    let endpoints = [
        format!("      - {{ id: a, base_url: \"{}\", api_key: {source} }}\n", first.url()),
        crate::support::endpoint("b", &second.url(), ""),
    ];
    file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])
}

async fn pair() -> (Upstream, Upstream) {
    (Upstream::serving().await, Upstream::serving().await)
}

/// Sends requests until endpoint `a` has answered, and gives the key it was shown.
async fn key_once_it_serves(proxy: &Proxy, upstream: &Upstream) -> String {
    let serves = async { while proxy.send(&Request::unary()).await.assert_served().endpoint() != "a" {} };
    crate::support::in_time("an answer of endpoint a", serves).await;
    let seen = upstream.requests().pop().expect("it just answered");
    seen.header("x-api-key").expect("a key").to_owned()
}

fn write_private(proxy: &Proxy, name: &str, text: &str) {
    let path = proxy.path.with_file_name(name);
    let beside = proxy.path.with_file_name(format!("{name}.new"));
    std::fs::write(&beside, text).expect("the directory is ours");
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).expect("the file is ours");
    std::fs::rename(beside, path).expect("the directory is ours");
}

#[tokio::test]
async fn a_key_comes_from_the_environment_before_the_dotenv_file() {
    let (first, second) = pair().await;
    let setup = Setup::new(&yaml(&first, "{ env: WORK }", &second));
    let proxy = setup.env("WORK", "sk-canary-env").with_file(".env", "WORK=sk-canary-dotenv\n").start().await;
    assert_eq!(key_once_it_serves(&proxy, &first).await, "sk-canary-env");
}

#[tokio::test]
async fn an_endpoint_whose_key_is_missing_is_left_out_and_told() {
    let (first, second) = pair().await;
    let proxy = Proxy::start(&yaml(&first, "{ env: WORK_MISSING }", &second)).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    assert_eq!(first.count(), 0);
    assert!(proxy.wait_log("WORK_MISSING").await.contains("not set"));
}

#[tokio::test]
async fn an_endpoint_comes_in_when_its_key_appears_in_the_dotenv_file() {
    let (first, second) = pair().await;
    let text = yaml(&first, "{ env: WORK_LATE }", &second);
    let proxy = Proxy::start(&text).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    write_private(&proxy, ".env", "# keys\nexport WORK_LATE=\"sk-canary-late\"\n");
    // The file is read again at each reload.
    proxy.reload(&format!("{text}\n# one more line\n")).await;
    assert_eq!(key_once_it_serves(&proxy, &first).await, "sk-canary-late");
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_rotates() {
    let (first, second) = pair().await;
    let setup = Setup::new(&yaml(&first, "{ file: work.key }", &second)).with_file("work.key", "  sk-canary-one\n");
    let proxy = setup.start().await;
    assert_eq!(key_once_it_serves(&proxy, &first).await, "sk-canary-one");
    write_private(&proxy, "work.key", "sk-canary-two\n");
    let rotated = async { while key_once_it_serves(&proxy, &first).await != "sk-canary-two" {} };
    crate::support::in_time("the new key", rotated).await;
}

#[tokio::test]
async fn an_endpoint_comes_in_when_its_key_file_appears() {
    let (first, second) = pair().await;
    let proxy = Proxy::start(&yaml(&first, "{ file: work.key }", &second)).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    write_private(&proxy, "work.key", "sk-canary-file");
    assert_eq!(key_once_it_serves(&proxy, &first).await, "sk-canary-file");
}

#[tokio::test]
async fn a_key_comes_from_a_command() {
    let (first, second) = pair().await;
    let source = "{ command: [printf, 'sk-%s-command', canary] }";
    let proxy = Proxy::start(&yaml(&first, source, &second)).await;
    assert_eq!(key_once_it_serves(&proxy, &first).await, "sk-canary-command");
}

#[tokio::test]
async fn a_literal_key_works_and_is_not_shown() {
    let (first, second) = pair().await;
    let proxy = Proxy::start(&yaml(&first, "sk-canary-literal", &second)).await;
    assert_eq!(key_once_it_serves(&proxy, &first).await, "sk-canary-literal");
    // A mistake on the very line of the key: its excerpt must not quote it. `Proxy` looks for canaries when it ends.
    proxy.save(&yaml(&first, "sk-canary-literal, wieght: 3", &second)).await;
    proxy.wait_log("rejected").await;
    proxy.wait_log("wieght").await;
}

#[tokio::test]
async fn a_key_with_a_line_break_is_never_put_into_a_header() {
    let (first, second) = pair().await;
    let setup = Setup::new(&yaml(&first, "{ env: WORK }", &second)).env("WORK", "sk-canary\r\nx-injected: 1");
    let proxy = setup.start().await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    assert_eq!(first.count(), 0);
}
