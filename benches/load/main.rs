//! What qcc costs beside nginx and HAProxy, on this machine: `cargo bench --bench load -- --help`.
//!
//! The proxy runs alone on one core; the mock of an endpoint and the load run on another. Every round starts every proxy
//! afresh and asks it the same things, so that ratios compare what ran within the same minute; medians of the rounds are
//! shown. CPU time is the steadiest figure; it is read from the proxy's processes.
//!
//! Everything is on loopback in plain HTTP. Proxies that are not installed are left out. All waits are bounded.

#[cfg(target_os = "linux")]
mod connection;
#[cfg(target_os = "linux")]
mod endpoint;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod proxy;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod work;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    run::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the load harness reads `/proc` and pins to cores: it runs on Linux only");
}
