//! The `chancery` command.

use std::process::ExitCode;

/// A request makes hundreds of small allocations, on several threads; this allocator spends half the time on them that
/// the C library's does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // In huge pages the allocator's spare room takes a third more memory under many connections. Without the kernel's
    // consent it goes on all the same.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    chancery::cli::main()
}
