// SPDX-License-Identifier: BSD-2-Clause

//! The hypervisor: CPUID, registers, the hypercall page, the SynIC. Knows nothing of VMBus. Names
//! are those of the TLFS.

use crate::hypxe;
use core::ptr::{null_mut, read_volatile, write_volatile};

pub const PAGE_SIZE: usize = 4096;
pub const TICKS_PER_MS: u64 = 10_000;
pub const MESSAGE_MAX: usize = 240;

const GUEST_OS_ID: u32 = 0x4000_0000;
const HYPERCALL: u32 = 0x4000_0001;
const TIME_REF_COUNT: u32 = 0x4000_0020;
const REFERENCE_TSC: u32 = 0x4000_0021;
const VP_ASSIST_PAGE: u32 = 0x4000_0073;
const SCONTROL: u32 = 0x4000_0080;
const SIEFP: u32 = 0x4000_0082;
const SIMP: u32 = 0x4000_0083;
const EOM: u32 = 0x4000_0084;
const SINT0: u32 = 0x4000_0090;
const STIMER0_CONFIG: u32 = 0x4000_00b0;

// CPUID 0x40000003: EAX, then EBX
const HAS_TIME_REF_COUNT: u32 = 0x2;
const HAS_SYNIC: u32 = 0x4;
const HAS_STIMERS: u32 = 0x8;
const HAS_INTR_CONTROL: u32 = 0x10;
const HAS_HYPERCALL: u32 = 0x20;
const HAS_REFERENCE_TSC: u32 = 0x200;
const NEEDED: u32 = HAS_TIME_REF_COUNT | HAS_SYNIC | HAS_HYPERCALL;
/// May post messages and signal events.
const NEEDED_PRIVILEGES: u32 = 0x30;

const CALL_POST_MESSAGE: u64 = 0x5c;
const CALL_SIGNAL_EVENT: u64 = 0x5d;
const CONNECTION_MESSAGE: u32 = 1;
/// Statuses that mean "later": out of memory, throttled, out of buffers, time out.
const LATER: [u64; 4] = [0x0b, 0x12, 0x13, 0x78];
const POST_TRIES: u32 = 12;

const PAGE_ENABLE: u64 = 1;
const PAGE_KEPT: u64 = 0xffe;
const HYPERCALL_LOCKED: u64 = 2;
const SINT: u32 = 2;
const SINT_MASKED: u64 = 0x10000;
const SINT_KEPT: u64 = !0x1f_00ff;
/// Automatic end of interrupt, and the vector of the FPU, whose handler does nothing on a PC.
const SINT_OURS: u64 = 0x20075;

/// The UEFI firmware of a Gen 2 VM: taking the machine from it crashes the VM.
const OS_ID_UEFI: u64 = 0x0000_0100_0000_0000;
/// Open source, of no known vendor.
const OS_ID: u64 = 0x8d00_0000_0000_0000;

pub fn say(level: u32, text: &str) {
    unsafe { hypxe::log(level, text.as_ptr(), text.len()) }
}

/// Whole pages, zeroed.
pub fn pages_alloc(bytes: usize, purpose: &str) -> Option<*mut u8> {
    let pages = unsafe { hypxe::page_alloc(bytes, purpose.as_ptr(), purpose.len()) };
    if pages.is_null() { None } else { Some(pages) }
}

pub fn pages_free(pages: *mut u8, bytes: usize) {
    unsafe { hypxe::page_free(pages, bytes) }
}

pub fn now() -> u64 {
    unsafe { hypxe::rdmsr(TIME_REF_COUNT) }
}

pub fn barrier() {
    unsafe { hypxe::barrier(2) }
}

fn set(msr: u32, kept: u64, value: u64) {
    unsafe {
        let old = hypxe::rdmsr(msr);
        if old != (old & kept) | value {
            hypxe::wrmsr(msr, (old & kept) | value);
        }
    }
}

fn cpuid(leaf: u32) -> hypxe::Cpuid {
    let mut out = hypxe::Cpuid::default();
    unsafe { hypxe::cpuid(leaf, 0, &mut out) };
    out
}

/// A message of the host, copied: whatever is behind its end is zero.
pub struct Message {
    pub kind: u32,
    pub length: usize,
    pub data: [u8; MESSAGE_MAX],
}

impl Message {
    pub fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.data[at], self.data[at + 1], self.data[at + 2], self.data[at + 3]])
    }
}

pub struct Hv {
    /// Set while things are undone: then nobody asks whether to go on.
    pub undoing: bool,
    /// Whether the machine is ours: between probe and remove, but not while it is quiesced.
    pub running: bool,
    /// CPUID 0x40000003 EAX.
    features: u32,
    scontrol: u64,
    hypercall: *mut u8,
    messages: *mut u8,
    events: *mut u8,
    input: *mut u8,
}

impl Hv {
    pub const fn new() -> Hv {
        let none = null_mut();
        Hv {
            undoing: false,
            running: false,
            features: 0,
            scontrol: 0,
            hypercall: none,
            messages: none,
            events: none,
            input: none,
        }
    }

    /// Find the hypervisor, and switch on what we need of it. Everything is undone if it fails.
    pub fn probe(&mut self) -> Result<(), i32> {
        // Check that it is Hyper-V, with what we need: touching what is missing crashes a guest
        if cpuid(1).ecx & 0x8000_0000 == 0 || cpuid(0x4000_0001).eax != 0x3123_7648 {
            return Err(hypxe::ENODEV);
        }
        let features = cpuid(0x4000_0003);
        if features.eax & NEEDED != NEEDED {
            return Err(hypxe::ENODEV);
        }
        if features.ebx & NEEDED_PRIVILEGES != NEEDED_PRIVILEGES {
            return Err(hypxe::EACCES);
        }

        // Check that it is ours to take
        let (owner, hypercall) = unsafe { (hypxe::rdmsr(GUEST_OS_ID), hypxe::rdmsr(HYPERCALL)) };
        if owner == OS_ID_UEFI || hypercall & HYPERCALL_LOCKED != 0 {
            return Err(hypxe::ENOTSUP);
        }
        self.scontrol = unsafe { hypxe::rdmsr(SCONTROL) };
        self.features = features.eax;
        take_over(self.features);

        // Allocate pages
        let purposes = ["hypercall page", "message page", "event page", "hypercall input"];
        let mut pages = [null_mut(); 4];
        for (page, purpose) in pages.iter_mut().zip(purposes) {
            *page = pages_alloc(PAGE_SIZE, purpose).unwrap_or(null_mut());
        }
        [self.hypercall, self.messages, self.events, self.input] = pages;
        if pages.iter().any(|page| page.is_null()) {
            self.free();
            // An earlier owner's: its pages are off already
            set(GUEST_OS_ID, 0, 0);
            return Err(hypxe::ENOMEM);
        }

        let on = self.switch_on();
        if on.is_err() {
            self.remove();
        }
        on
    }

    /// Switch on: identity, hypercall page, SynIC.
    fn switch_on(&mut self) -> Result<(), i32> {
        unsafe { hypxe::wrmsr(GUEST_OS_ID, OS_ID) };
        set(HYPERCALL, PAGE_KEPT, self.hypercall as u64 | PAGE_ENABLE);
        if unsafe { hypxe::rdmsr(HYPERCALL) } & PAGE_ENABLE == 0 {
            return Err(hypxe::EIO);
        }
        set(SIMP, PAGE_KEPT, self.messages as u64 | PAGE_ENABLE);
        set(SIEFP, PAGE_KEPT, self.events as u64 | PAGE_ENABLE);
        self.clear();
        unsafe { hypxe::wrmsr(SCONTROL, hypxe::rdmsr(SCONTROL) | 1) };
        self.running = true;
        Ok(())
    }

    /// Undo probe, in reverse: never fails.
    pub fn remove(&mut self) {
        if self.scontrol & 1 == 0 {
            set(SCONTROL, !1, 0);
        }
        self.switch_off();
        self.free();
    }

    /// Undo switch_on, in reverse, but for SCONTROL.
    fn switch_off(&mut self) {
        self.running = false;
        self.clear();
        if cfg!(not(no_event_page_off)) {
            set(SIEFP, PAGE_KEPT, 0);
        }
        if cfg!(not(no_message_page_off)) {
            set(SIMP, PAGE_KEPT, 0);
        }
        if cfg!(not(no_hypercall_page_off)) {
            set(HYPERCALL, PAGE_KEPT, 0);
        }
        if cfg!(not(no_os_id_off)) {
            unsafe { hypxe::wrmsr(GUEST_OS_ID, 0) };
        }
    }

    /// Leave the machine to somebody else for a while. SCONTROL stays on: with it off under a
    /// connection Windows Server 2016 waits for ever.
    pub fn quiesce(&mut self) {
        if self.running {
            self.disable_sint();
            self.switch_off();
        }
    }

    /// Take the machine back. False if it was not left, or if somebody has it.
    pub fn unquiesce(&mut self) -> Result<bool, i32> {
        let left = !self.running && !self.messages.is_null();
        if !left || unsafe { hypxe::rdmsr(SIMP) } & PAGE_ENABLE != 0 {
            return Ok(false);
        }
        // Whoever had it may have left it as any earlier owner
        take_over(self.features);
        let on = self.switch_on();
        if on.is_err() {
            self.switch_off();
        }
        on.map(|()| true)
    }

    fn clear(&mut self) {
        for page in [self.messages, self.events] {
            unsafe { page.write_bytes(0, PAGE_SIZE) };
        }
    }

    fn free(&mut self) {
        for page in [&mut self.input, &mut self.events, &mut self.messages, &mut self.hypercall] {
            if !page.is_null() {
                pages_free(*page, PAGE_SIZE);
            }
            *page = null_mut();
        }
    }

    pub fn enable_sint(&mut self) {
        set(SINT0 + SINT, SINT_KEPT, SINT_OURS);
        unsafe { hypxe::wrmsr(EOM, 0) };
    }

    pub fn disable_sint(&mut self) {
        if cfg!(not(no_sint_off)) {
            set(SINT0 + SINT, SINT_KEPT, SINT_MASKED);
        }
    }

    /// One turn of a wait. What came with the last turn still counts: look once more before this.
    pub fn turn(&self, deadline: u64) -> Result<(), i32> {
        if !self.undoing && unsafe { hypxe::cancelled() } != 0 {
            return Err(hypxe::ECANCELED);
        }
        if now() >= deadline {
            return Err(hypxe::ETIMEDOUT);
        }
        unsafe { hypxe::pause() };
        Ok(())
    }

    fn call(&self, code: u64) -> u64 {
        unsafe { hypxe::hypercall(self.hypercall as usize, code, self.input as u64, 0) & 0xffff }
    }

    fn input_word(&self, at: usize, value: u32) {
        unsafe { (self.input.add(at) as *mut u32).write(value) };
    }

    /// Post a message. The host may be out of buffers for a while.
    pub fn post(&mut self, kind: u32, data: &[u8]) -> Result<(), i32> {
        if !self.undoing && unsafe { hypxe::cancelled() } != 0 {
            return Err(hypxe::ECANCELED);
        }
        for attempt in 0..POST_TRIES {
            unsafe {
                self.input.write_bytes(0, 16 + MESSAGE_MAX);
                self.input.add(16).copy_from(data.as_ptr(), data.len());
            }
            self.input_word(0, CONNECTION_MESSAGE);
            self.input_word(8, kind);
            self.input_word(12, data.len() as u32);
            let status = self.call(CALL_POST_MESSAGE);
            if status == 0 {
                return Ok(());
            }
            if !LATER.contains(&status) {
                break;
            }
            unsafe { hypxe::delay(1000 << attempt) };
        }
        say(0, "the host refuses a message");
        Err(hypxe::EIO)
    }

    pub fn signal(&mut self, connection: u32) -> bool {
        self.input_word(0, connection);
        self.input_word(4, 0);
        self.call(CALL_SIGNAL_EVENT) == 0
    }

    /// Take a message, if there is one: it is copied before anybody looks at it.
    pub fn receive(&mut self) -> Option<Message> {
        let slot = unsafe { self.messages.add(SINT as usize * 256) };
        let mut taken = None;
        unsafe {
            let kind = read_volatile(slot as *const u32);
            if kind != 0 {
                hypxe::barrier(0);
                let length = (read_volatile(slot.add(4)) as usize).min(MESSAGE_MAX);
                let mut message = Message { kind, length, data: [0; MESSAGE_MAX] };
                for (i, byte) in message.data.iter_mut().take(length).enumerate() {
                    *byte = read_volatile(slot.add(16 + i));
                }
                // Only then may the next one come
                barrier();
                write_volatile(slot as *mut u32, 0);
                barrier();
                taken = Some(message);
            }
            if read_volatile(slot.add(5)) & 1 != 0 {
                write_volatile(slot.add(5), 0);
                hypxe::wrmsr(EOM, 0);
            }
        }
        taken
    }
}

/// Whatever an earlier owner has left on.
fn take_over(features: u32) {
    if features & HAS_STIMERS != 0 {
        (0..8).for_each(|i| set(STIMER0_CONFIG + i, 0, 0));
    }
    (0..16).for_each(|i| set(SINT0 + i, SINT_KEPT, SINT_MASKED));
    set(SIEFP, PAGE_KEPT, 0);
    set(SIMP, PAGE_KEPT, 0);
    if features & HAS_INTR_CONTROL != 0 {
        set(VP_ASSIST_PAGE, PAGE_KEPT, 0);
    }
    if features & HAS_REFERENCE_TSC != 0 {
        set(REFERENCE_TSC, PAGE_KEPT, 0);
    }
    set(HYPERCALL, PAGE_KEPT, 0);
}
