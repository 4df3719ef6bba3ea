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
    below: Netvsc,
    rndis: Rndis,
}

struct Guest {
    bus: Bus,
    nics: [Nic; OFFERS_MAX],
    count: usize,
}

const NO_NIC: Nic = Nic { below: Netvsc::new(0), rndis: Rndis::new() };
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
        *nic = Nic { below: Netvsc::new(*count as u32), rndis: Rndis::new() };
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

/// Undo everything: the mirror image of probe.
#[no_mangle]
pub extern "C" fn hypxe_remove() {
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
    let Nic { below, rndis } = &mut nics[device as usize];
    // Frames may come before the answer does
    rndis.open = true;
    let opened = rndis.filter(bus, below, FILTER_ON);
    if opened.is_err() {
        rndis.open = false;
        let _ = bus.undo(|bus| rndis.filter(bus, below, 0));
    }
    status(opened)
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
    let Nic { below, rndis } = &mut nics[device as usize];
    if length > FRAME_MAX {
        return -hypxe::EINVAL;
    }
    let frame = unsafe { core::slice::from_raw_parts(frame, length) };
    status(rndis.transmit(bus, below, frame))
}

#[no_mangle]
pub extern "C" fn hypxe_poll(device: u32) {
    let Guest { bus, nics, .. } = guest();
    let Nic { below, rndis } = &mut nics[device as usize];
    below.poll(bus, rndis);
}
