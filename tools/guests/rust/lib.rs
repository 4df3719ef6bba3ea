// SPDX-License-Identifier: BSD-2-Clause

//! A driver guest: what hypxe calls. The loader on top (DHCP, TFTP) is hypxe's.

#![no_std]

mod hyperv;
mod hypxe;
mod netvsc;
mod ring;
mod rndis;
mod vmbus;

use hyperv::say;
use netvsc::Netvsc;
use rndis::{Rndis, FILTER_ON, FRAME_MAX};
use vmbus::{Bus, OFFERS_MAX};

struct Nic {
    instance: [u8; 16],
    below: Netvsc,
    rndis: Rndis,
}

struct Guest {
    bus: Bus,
    nics: [Nic; OFFERS_MAX],
    count: usize,
}

const NO_NIC: Nic = Nic { instance: [0; 16], below: Netvsc::new(0), rndis: Rndis::new() };
static mut GUEST: Guest = Guest { bus: Bus::new(), nics: [NO_NIC; OFFERS_MAX], count: 0 };
static mut BUFFER: [u8; 2048] = [0; 2048];

/// All there is: there is one thread, and what hypxe calls does not nest.
fn guest() -> &'static mut Guest {
    unsafe { &mut *(&GUEST as *const Guest as *mut Guest) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

fn status(result: Result<(), i32>) -> i32 {
    result.map_or_else(|error| -error, |()| 0)
}

impl Nic {
    fn start(&mut self, bus: &mut Bus, offer: usize) -> Result<(), i32> {
        self.instance = bus.offers[offer].instance;
        self.below.open(bus, &mut self.rndis, offer)?;
        let started = self.rndis.start(bus, &mut self.below);
        if started.is_err() {
            self.stop(bus);
        }
        started
    }

    fn stop(&mut self, bus: &mut Bus) {
        bus.undo(|bus| {
            self.rndis.halt(bus, &mut self.below);
            self.below.close(bus, &mut self.rndis);
        });
    }

    fn open(&mut self, bus: &mut Bus) -> Result<(), i32> {
        let Nic { below, rndis, .. } = self;
        // Frames may come before the answer does
        rndis.open = true;
        let opened = rndis.filter(bus, below, FILTER_ON);
        if opened.is_err() {
            rndis.open = false;
            let _ = bus.undo(|bus| rndis.filter(bus, below, 0));
        }
        opened
    }

    /// Once somebody else has had the machine.
    fn find_again(&mut self, bus: &mut Bus) -> Result<(), i32> {
        let was_open = core::mem::replace(&mut self.rndis.open, false);
        let mut offers = bus.offers[..bus.offer_count].iter();
        let offer = offers.position(|offer| offer.instance == self.instance);
        self.start(bus, offer.ok_or(hypxe::ENODEV)?)?;
        if was_open { self.open(bus) } else { Ok(()) }
    }

    fn close(&mut self, bus: &mut Bus) {
        if !core::mem::replace(&mut self.rndis.open, false) || cfg!(no_filter_off) {
            return;
        }
        bus.undo(|bus| {
            if !self.below.channel.is_dead(bus) {
                let _ = self.rndis.filter(bus, &mut self.below, 0);
            }
        });
    }
}

#[no_mangle]
pub extern "C" fn hypxe_abi() -> u32 {
    hypxe::ABI
}

#[no_mangle]
pub extern "C" fn hypxe_probe() -> i32 {
    let Guest { bus, nics, count } = guest();
    if let Err(error) = bus.hv.probe() {
        return -error;
    }
    if let Err(error) = bus.probe() {
        bus.undo(|bus| bus.hv.remove());
        return -error;
    }
    // A device that is no good is left out
    for offer in 0..bus.offer_count {
        let nic = &mut nics[*count];
        *nic = Nic { below: Netvsc::new(*count as u32), ..NO_NIC };
        match nic.start(bus, offer) {
            Ok(()) => *count += 1,
            Err(hypxe::ECANCELED) => {
                hypxe_remove();
                return -hypxe::ECANCELED;
            }
            Err(_) => say(1, "a network device could not be opened"),
        }
    }
    *count as i32
}

impl Guest {
    /// Take the machine back, and make the connection anew. False if there was nothing to take.
    fn take_back(&mut self) -> Result<bool, i32> {
        if !self.bus.hv.unquiesce()? {
            return Ok(false);
        }
        if let Err(error) = self.bus.reconnect() {
            // The host may have connected us all the same
            self.bus.remove();
            self.bus.hv.quiesce();
            return Err(error);
        }
        for nic in &mut self.nics[..self.count] {
            nic.below.forget(&mut self.bus);
            nic.rndis.forget();
        }
        Ok(true)
    }

    fn unquiesce(&mut self) -> Result<(), i32> {
        if !self.take_back()? {
            return Ok(());
        }
        self.bus.enumerate()?;
        for nic in &mut self.nics[..self.count] {
            match nic.find_again(&mut self.bus) {
                Err(hypxe::ECANCELED) => return Err(hypxe::ECANCELED),
                Err(_) => say(1, "a network device is not there again"),
                Ok(()) => (),
            }
        }
        Ok(())
    }
}

/// Leave the machine to somebody else: pages and interrupts are off, channels stay open.
#[no_mangle]
pub extern "C" fn hypxe_quiesce() {
    guest().bus.hv.quiesce();
}

/// Take it back, unless somebody else has it. What fails is tried again by the next call.
#[no_mangle]
pub extern "C" fn hypxe_unquiesce() -> i32 {
    let done = guest().unquiesce();
    if done.is_err() {
        guest().bus.hv.quiesce();
    }
    status(done)
}

/// Undo everything: the mirror image of probe.
#[no_mangle]
pub extern "C" fn hypxe_remove() {
    if !guest().bus.hv.running {
        guest().bus.hv.undoing = true;
        let taken = guest().take_back();
        guest().bus.hv.undoing = false;
        // The host keeps what it has, and so do we: it is reserved for whoever comes next
        if taken != Ok(true) {
            return;
        }
    }
    let Guest { bus, nics, count } = guest();
    bus.undo(|bus| {
        for nic in nics[..*count].iter_mut().rev() {
            nic.close(bus);
            nic.stop(bus);
        }
        bus.remove();
        bus.hv.remove();
    });
    *count = 0;
}

#[no_mangle]
pub extern "C" fn hypxe_mac(device: u32, out: *mut u8) {
    let mac = &guest().nics[device as usize].rndis.mac;
    unsafe { out.copy_from(mac.as_ptr(), mac.len()) };
}

#[no_mangle]
pub extern "C" fn hypxe_link(device: u32) -> i32 {
    guest().nics[device as usize].rndis.link
}

#[no_mangle]
pub extern "C" fn hypxe_open(device: u32) -> i32 {
    let Guest { bus, nics, .. } = guest();
    status(nics[device as usize].open(bus))
}

#[no_mangle]
pub extern "C" fn hypxe_close(device: u32) {
    let Guest { bus, nics, .. } = guest();
    nics[device as usize].close(bus);
}

#[no_mangle]
pub extern "C" fn hypxe_buffer() -> *mut u8 {
    unsafe { &BUFFER as *const u8 as *mut u8 }
}

#[no_mangle]
pub extern "C" fn hypxe_transmit(device: u32, frame: *const u8, length: usize) -> i32 {
    let Guest { bus, nics, .. } = guest();
    let Nic { below, rndis, .. } = &mut nics[device as usize];
    if length > FRAME_MAX {
        return -hypxe::EINVAL;
    }
    let frame = unsafe { core::slice::from_raw_parts(frame, length) };
    status(rndis.transmit(bus, below, frame))
}

#[no_mangle]
pub extern "C" fn hypxe_poll(device: u32) {
    let Guest { bus, nics, .. } = guest();
    let Nic { below, rndis, .. } = &mut nics[device as usize];
    below.poll(bus, rndis);
}
