//! **qcc** runs one declarative `qcc.yaml` as a failover proxy for Anthropic Messages traffic, and swaps a new one in the
//! moment it is saved. This page is the map of the house.
//!
//! ```text
//! qcc.yaml -> config::load -> snapshot::build -> SnapshotCell        what runs: one immutable value behind one swap
//!    ^-- patch <- cli                                 |
//! client -> app::acceptor -> proxy::serve -> proxy::service -> queue::answer -> dispatch::send -> upstream::client
//!                            connection      who may, body     wait for one     plan, attempt,    -> endpoint
//!                                                              that can answer  gate, relay
//!                                                     |
//!                                            upstream::attempt::Ticket -> endpoint and key state
//!                                            failover::driver -> snapshot::reload  (another active profile)
//!                                            health::monitor  -> probes, effective weights
//! ```
//!
//! # Modules, in the order of the flow
//! - [`config`]: what the file says, and everything wrong with it.
//! - [`snapshot`]: the running configuration; building, watching, secrets, and the one task that publishes.
//! - [`proxy`]: the downstream side of a request.
//! - [`queue`]: what happens to a request that nobody can answer now: it waits, then it is stored and tried again.
//! - [`dispatch`]: one request, a few attempts, one answer.
//! - [`upstream`]: who can answer, and how well it goes.
//! - [`failover`]: which profile is active, and why it changed.
//! - [`health`]: checks of the endpoints, and what their health leaves of their weight.
//! - [`notify`]: who else is told what happened, by webhook or program.
//! - [`admin`]: what a running proxy shows and takes, over its control socket and a guarded listener.
//! - [`app`]: start, run, stop; the only place that wires.
//! - [`cli`]: words in, words out.
//! - [`patch`]: a wish, the smallest change of the file's text that fulfils it, and its safe writing.
//! - [`import`]: other tools' files, in the words of a `qcc.yaml`.
//! - [`simulate`]: simulated Anthropic endpoints, for the demo.
//! - Ground: [`net`] (sockets, TLS), [`store`] (durable state), [`limit`] (shared bounds), [`telemetry`] (events, log,
//!   redaction), [`time`].
//!
//! Imports point one way: ground, then config, upstream and patch, snapshot, failover, health, dispatch, queue, proxy and
//! notify, admin, app, cli. A test reads the source and holds it.
//!
//! # What the house rests on
//! - Two shapes of configuration, the file's and the running one, and one compiler between them (`snapshot::build`).
//! - The active profile is part of the snapshot, so one load tells a request everything; one task publishes.
//! - Live state is adopted by identity: a new weight keeps an endpoint's health, a new key resets it.
//! - Decisions are pure (time and randomness are passed in); waiting is in the task beside them.
//! - Each worker thread has its own runtime, connections and rotations: requests of two workers meet at atomics only.
//! - Secrets exist only in [`config::Secret`].
//!
//! # Words
//! *endpoint*: an address with a credential and a weight. *profile*: a named set of endpoints. *tier*: a profile's place in
//! the *chain*. *active profile*: the first one asked. *attempt*: one try at one endpoint, ended by an *outcome*.
//! *admitting*, *resting*, *ejected*, *on probation*: what an endpoint does with requests. *switch*: another profile becomes
//! active, by *failover*, *recovery*, *reload* or by hand. *snapshot*: what runs; *generation* counts accepted files,
//! *epoch* every publication. *upstream* is towards endpoints, *downstream* towards the *client*.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod failover;
pub mod health;
pub mod import;
pub mod limit;
pub mod net;
pub mod notify;
pub mod patch;
pub mod proxy;
pub mod queue;
pub mod simulate;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod upstream;
