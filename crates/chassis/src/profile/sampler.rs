//! The CPU sampler: SIGPROF by a timer on the process's CPU time, stacks by frame pointers.
//!
//! The handler runs on whatever thread is working, at any instruction. It touches only its arguments, one static and slots
//! made beforehand; it never allocates, locks or follows a pointer: memory is read with `process_vm_readv`, which answers an
//! error where a load would fault. It stays installed, so that a late signal finds it.

#![expect(unsafe_code, reason = "a signal handler and the calls that install it")]

use std::{
    io, mem, ptr,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering},
    time::Duration,
};

use super::{ProfileError, Samples, Scale};

/// Frames kept of each stack.
const DEPTH: usize = 64;
/// Sampling never takes more than this many slots (33 MiB): about 64,000 samples.
const MAX_SLOTS: usize = 1 << 16;

/// Where the handler writes; null while no profile is taken.
static TARGET: AtomicPtr<Target> = AtomicPtr::new(ptr::null_mut());
/// Handlers inside [`TARGET`] now.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// 1 while a profile is being taken.
static TAKEN: AtomicU32 = AtomicU32::new(0);

struct Target {
    slots: Box<[Slot]>,
    next: AtomicUsize,
}

struct Slot {
    depth: AtomicUsize,
    frames: [AtomicUsize; DEPTH],
}

/// A profile being taken. Dropping it ends it.
pub(super) struct Sampling {
    target: *mut Target,
    time: Duration,
    frequency: u32,
    cpu_before: Duration,
}

// SAFETY: the pointer is this value's own; the handler reaches the same memory through `TARGET` and atomics only.
unsafe impl Send for Sampling {}

impl Sampling {
    pub(super) fn start(time: Duration, frequency: u32) -> Result<Self, ProfileError> {
        if TAKEN.swap(1, Ordering::AcqRel) == 1 {
            return Err(ProfileError::Busy);
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let expected = usize::try_from(time.as_secs() + 1).unwrap_or(1) * frequency as usize * cpus;
        let slots = (0..expected.min(MAX_SLOTS))
            .map(|_| Slot::empty())
            .collect();
        let target = Box::into_raw(Box::new(Target {
            slots,
            next: AtomicUsize::new(0),
        }));
        // From here on dropping it undoes everything.
        let sampling = Self {
            target,
            time,
            frequency,
            cpu_before: cpu_time(),
        };
        TARGET.store(target, Ordering::Release);
        install()?;
        set_timer(Some(frequency))?;
        Ok(sampling)
    }

    /// Ends it and counts the stacks.
    pub(super) fn finish(self) -> (Samples, Scale) {
        let used = cpu_time().saturating_sub(self.cpu_before);
        self.silence();
        // SAFETY: no handler is inside and none can get in; the memory lives until `self` is dropped.
        let target = unsafe { &*self.target };
        let written = target.next.load(Ordering::Acquire).min(target.slots.len());
        let mut samples = Samples::new();
        for slot in &target.slots[..written] {
            let depth = slot.depth.load(Ordering::Acquire);
            let stack = slot.frames[..depth]
                .iter()
                .map(|frame| frame.load(Ordering::Relaxed) as u64)
                .collect();
            samples.entry(stack).or_default()[0] += 1;
        }
        // The kernel's tick caps the timer, so a sample stands for what it measured to stand for, not for 1/frequency.
        let nominal = 1_000_000_000 / i64::from(self.frequency);
        let count = i64::try_from(written).unwrap_or(i64::MAX);
        let used = i64::try_from(used.as_nanos()).unwrap_or(i64::MAX);
        let period = used
            .checked_div(count)
            .map_or(nominal, |period| period.max(nominal));
        samples
            .values_mut()
            .for_each(|value| value[1] = value[0] * period);
        let values = [("samples", "count"), ("cpu", "nanoseconds")];
        (
            samples,
            Scale {
                values,
                period: ("cpu", "nanoseconds", period),
                duration: self.time,
            },
        )
    }

    /// No more signals, and no handler inside the slots.
    fn silence(&self) {
        let stopped = set_timer(None);
        debug_assert!(stopped.is_ok(), "{stopped:?}");
        TARGET.store(ptr::null_mut(), Ordering::SeqCst);
        while INSIDE.load(Ordering::SeqCst) != 0 {
            std::hint::spin_loop();
        }
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.silence();
        // SAFETY: made by `Box::into_raw` in `start`, and no handler can reach it any more.
        drop(unsafe { Box::from_raw(self.target) });
        TAKEN.store(0, Ordering::Release);
    }
}

impl Slot {
    fn empty() -> Self {
        Self {
            depth: AtomicUsize::new(0),
            frames: [const { AtomicUsize::new(0) }; DEPTH],
        }
    }
}

extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: errno is the thread's own; the interrupted code must find it as it was.
    let errno = unsafe { *libc::__errno_location() };
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let target = TARGET.load(Ordering::SeqCst);
    if !target.is_null() {
        // SAFETY: `silence` waits for `INSIDE` before the memory goes away; the kernel gives a valid context.
        unsafe { record(&*target, &*context.cast::<libc::ucontext_t>()) };
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn record(target: &Target, context: &libc::ucontext_t) {
    let Some(slot) = target.slots.get(target.next.fetch_add(1, Ordering::AcqRel)) else {
        return;
    };
    let (pc, mut frame, stack) = registers(context);
    slot.frames[0].store(pc, Ordering::Relaxed);
    let mut depth = 1;
    let mut below = stack;
    while depth < DEPTH && frame >= below && frame.is_multiple_of(align_of::<usize>()) {
        let Some([caller, address]) = read_pair(frame) else {
            break;
        };
        if address == 0 {
            break;
        }
        // The address after the call; one less lies within it.
        slot.frames[depth].store(address - 1, Ordering::Relaxed);
        depth += 1;
        below = frame + 1;
        frame = caller;
    }
    slot.depth.store(depth, Ordering::Release);
}

/// Program counter, frame pointer, stack pointer.
#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> (usize, usize, usize) {
    let register = |index: libc::c_int| context.uc_mcontext.gregs[index as usize] as usize;
    (
        register(libc::REG_RIP),
        register(libc::REG_RBP),
        register(libc::REG_RSP),
    )
}

/// Program counter, frame pointer, stack pointer.
#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> (usize, usize, usize) {
    let machine = &context.uc_mcontext;
    (
        machine.pc as usize,
        machine.regs[29] as usize,
        machine.sp as usize,
    )
}

/// Two words of this process's own memory, or nothing where there is none.
fn read_pair(address: usize) -> Option<[usize; 2]> {
    let mut words = [0usize; 2];
    let length = size_of_val(&words);
    let local = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: length,
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: length,
    };
    // SAFETY: `local` is on this stack and as long as it says; the kernel checks `remote`.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    (read == length.cast_signed()).then_some(words)
}

fn install() -> Result<(), ProfileError> {
    // SAFETY: all zero is a valid `sigaction`, filled in below.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler is async-signal-safe; nothing else of this process uses SIGPROF.
    checked("installing the handler of SIGPROF", unsafe {
        libc::sigaction(libc::SIGPROF, &action, ptr::null_mut())
    })
}

fn set_timer(frequency: Option<u32>) -> Result<(), ProfileError> {
    let micros = frequency.map_or(0, |frequency| 1_000_000 / i64::from(frequency));
    // A timer takes less than a million microseconds.
    let interval = libc::timeval {
        tv_sec: micros / 1_000_000,
        tv_usec: micros % 1_000_000,
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: `timer` is valid for the call.
    checked("setting the timer", unsafe {
        libc::setitimer(libc::ITIMER_PROF, &timer, ptr::null_mut())
    })
}

/// CPU time of the whole process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(
        time.tv_sec.cast_unsigned(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn checked(what: &'static str, answer: libc::c_int) -> Result<(), ProfileError> {
    if answer == 0 {
        Ok(())
    } else {
        Err(ProfileError::Failed {
            what,
            source: io::Error::last_os_error(),
        })
    }
}
