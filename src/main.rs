//! The `qcc` binary: everything is in the library.

use std::process::ExitCode;

/// Buffers of a few KiB come and go with every request: it keeps them at hand per thread, and wastes less room on those that
/// stay with open streams.
#[cfg(target_arch = "x86_64")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    qcc::cli::run()
}
