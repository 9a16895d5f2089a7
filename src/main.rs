//! The `chancery` command.

use std::process::ExitCode;

/// A request makes hundreds of small allocations, on several threads; this allocator spends half the time on them that
/// the C library's does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chancery::cli::main()
}
