//! The calls of the kernel that the proxy makes, seen or made to fail from outside.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Proxy, in_time};

/// `strace` with these arguments, attached to all threads of the proxy as long as this lives; `None` where it is not there or
/// may not trace.
pub(crate) async fn traced<'a>(proxy: &Proxy, arguments: impl IntoIterator<Item = &'a str>) -> Option<Child> {
    let mut tracer = Command::new("strace")
        .arg("-f")
        .args(arguments)
        .args(["-p", &proxy.pid().as_raw_nonzero().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut said = BufReader::new(tracer.stderr.take()?).lines();
    let attached = in_time("a tracer attaches, or says why not", said.next_line()).await.ok()??.contains("attached");
    // It goes on talking.
    tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
    attached.then_some(tracer)
}
