//! qcc as its users meet it: the real binary, real sockets, real files.
//!
//! Every test starts its own proxy and its own scripted upstreams; nothing is shared, so they run in any order and side by side.

mod admin;
mod admin_listener;
mod affinity;
mod balance;
mod cancel;
mod clients;
mod completions;
mod config;
mod daemon;
#[cfg(target_os = "linux")]
mod disk;
mod edges;
mod edit;
mod examples;
mod exhausted;
mod failover;
mod fidelity;
mod framing;
mod guard;
mod harness;
mod headers;
mod health;
mod history;
mod hold;
mod house;
mod import;
mod init;
mod kept;
mod lifecycle;
mod limits;
mod load;
mod local_answers;
mod metrics;
mod models;
mod notify;
mod original;
mod outcomes;
mod point;
mod queue;
mod reload;
mod restart;
mod search;
mod shutdown;
mod sources;
mod state;
mod steer;
mod steering;
mod stream_failure;
mod support;
mod turns;
mod validate;
mod workflow;
mod writing;
