//! The heap profile: jemalloc's own samples of what is allocated, from its dump.
//!
//! jemalloc keeps the stack of one allocation in about 512 KiB ([`CONFIG`]); a large one is nearly always kept, a small one
//! seldom, so what was kept is scaled up to what it stands for.

#![expect(
    unsafe_code,
    reason = "jemalloc's control call and the symbol that configures it"
)]

use std::{
    collections::HashMap,
    ffi::CString,
    fs::File,
    io::{self, Read as _},
    os::fd::AsRawFd as _,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{ProfileError, Samples, Scale, Stack};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by jemalloc before `main`: sampling on, one sample in 2^19 bytes on average. And two arenas, not four per CPU:
/// each keeps memory of its own, and threads seldom meet in one, for each has a cache in front.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static CONFIG: &[u8; 55] = b"prof:true,prof_active:true,lg_prof_sample:19,narenas:2\0";

static TAKEN: AtomicBool = AtomicBool::new(false);

/// What is allocated now.
pub(super) fn live() -> Result<(Samples, Scale), ProfileError> {
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Err(ProfileError::Busy);
    }
    // Named here so that the linker keeps it: jemalloc's own reference to it is a weak one.
    std::hint::black_box(&CONFIG);
    let dumped = dump();
    TAKEN.store(false, Ordering::Release);
    let text = dumped.map_err(|source| ProfileError::Failed {
        what: "dumping the heap profile",
        source,
    })?;
    let (samples, period) = parse(&text).ok_or_else(|| ProfileError::Failed {
        what: "reading the heap profile",
        source: io::Error::new(io::ErrorKind::InvalidData, "not a heap_v2 dump"),
    })?;
    let values = [("inuse_objects", "count"), ("inuse_space", "bytes")];
    Ok((
        samples,
        Scale {
            values,
            period: ("space", "bytes", period),
            duration: Duration::ZERO,
        },
    ))
}

/// jemalloc writes to a file; one in memory needs no writable directory.
fn dump() -> io::Result<String> {
    let memory: File =
        rustix::fs::memfd_create("heap-profile", rustix::fs::MemfdFlags::CLOEXEC)?.into();
    let path =
        CString::new(format!("/proc/self/fd/{}", memory.as_raw_fd())).map_err(io::Error::other)?;
    let mut pointer = path.as_ptr();
    // SAFETY: the name ends with a zero; `prof.dump` takes a pointer to a C string, which lives across the call.
    let answer = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"prof.dump".as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            (&raw mut pointer).cast(),
            size_of_val(&pointer),
        )
    };
    if answer != 0 {
        return Err(io::Error::from_raw_os_error(answer));
    }
    let mut text = String::new();
    File::open(format!("/proc/self/fd/{}", memory.as_raw_fd()))?.read_to_string(&mut text)?;
    Ok(text)
}

/// `heap_v2/PERIOD`, then for each stack a line `@ 0x… 0x…` and below it `t*: OBJECTS: BYTES [0: 0]`.
fn parse(text: &str) -> Option<(Samples, i64)> {
    let mut lines = text.lines();
    let period: i64 = lines.next()?.strip_prefix("heap_v2/")?.parse().ok()?;
    let mut samples: Samples = HashMap::new();
    let mut stack: Option<Stack> = None;
    for line in lines.take_while(|line| !line.starts_with("MAPPED_LIBRARIES")) {
        if let Some(addresses) = line.strip_prefix('@') {
            stack = Some(
                addresses
                    .split_ascii_whitespace()
                    .filter_map(address)
                    .collect(),
            );
        } else if let Some(totals) = line.trim_start().strip_prefix("t*:")
            && let Some(stack) = stack.take()
        {
            let (objects, bytes) = totals.split('[').next()?.split_once(':')?;
            let (objects, bytes) = (objects.trim().parse().ok()?, bytes.trim().parse().ok()?);
            let scaled = unbiased(objects, bytes, period);
            let sum = samples.entry(stack).or_default();
            *sum = [sum[0] + scaled[0], sum[1] + scaled[1]];
        }
    }
    Some((samples, period))
}

/// The address after the call; one less lies within it.
fn address(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16)
        .ok()?
        .checked_sub(1)
}

/// An allocation of `size` bytes is kept with probability `1 − exp(−size/period)`; each one kept stands for its inverse
/// (jemalloc's `doc_internal/PROFILING_INTERNALS.md`).
fn unbiased(objects: i64, bytes: i64, period: i64) -> [i64; 2] {
    if objects == 0 || bytes == 0 || period == 0 {
        return [objects, bytes];
    }
    let size = bytes as f64 / objects as f64;
    let scale = 1.0 / (1.0 - (-size / period as f64).exp());
    [
        (objects as f64 * scale).round() as i64,
        (bytes as f64 * scale).round() as i64,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_and_made_unbiased() {
        let text = "heap_v2/524288\n  t*: 3: 1049088 [0: 0]\n  t0: 3: 1049088 [0: 0]\n@ 0x11 0x21\n  t*: 1: 1048576 [0: 0]\n  \
                    t0: 1: 1048576 [0: 0]\n@ 0x31\n  t*: 2: 512 [0: 0]\n\nMAPPED_LIBRARIES:\n@ 0x41\n";
        let (samples, period) = parse(text).expect("it is well formed");
        assert_eq!(period, 524_288);
        assert_eq!(samples.len(), 2);
        let large = samples[&vec![0x10, 0x20]];
        assert_eq!(large[0], 1);
        assert!((1_048_576..1_300_000).contains(&large[1]), "{large:?}");
        let small = samples[&vec![0x30]];
        assert!(
            (4000..4200).contains(&small[0]) && (1_000_000..1_100_000).contains(&small[1]),
            "{small:?}"
        );
    }

    #[test]
    fn what_is_no_dump_is_refused() {
        assert!(parse("").is_none() && parse("heap_v1: 1").is_none());
    }
}
