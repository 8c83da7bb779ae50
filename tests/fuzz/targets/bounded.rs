//! What bounds every target: how much memory one input may take.

use std::alloc::System;
use std::panic;
use std::process;
use std::sync::Once;

use cap::Cap;

/// How much more memory one input may take, in bytes: a configuration of 64 KiB takes a hundredth of it.
const BYTES_MAX: usize = 256 * 1024 * 1024;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

static HOOK: Once = Once::new();

/// One input. A panic ends the process, as libFuzzer has it, unless it is one that is caught anyway; so does asking for too much
/// memory.
pub fn one(bytes: &[u8], run: fn(&[u8])) {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !tminus_fuzz::bounds::is_caught(info) {
                usual(info);
                process::abort();
            }
        }));
    });
    MEMORY.set_limit(MEMORY.allocated() + BYTES_MAX).expect("it is more than there is");
    run(bytes);
}
