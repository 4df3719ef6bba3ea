// SPDX-License-Identifier: BSD-2-Clause

//! The two rings of a channel. The host writes to both: indices are copied once and checked, and
//! what we wrote ourselves is never read back.

use crate::hyperv::{barrier, say, PAGE_SIZE};
use crate::hypxe;
use crate::vmbus::{Bus, Gpadl};
use core::ptr::{read_volatile, write_volatile};

pub const RING_PAGES: usize = 4;
const DATA: usize = RING_PAGES * PAGE_SIZE;
const RING: usize = PAGE_SIZE + DATA;
pub const RING_BYTES: usize = 2 * RING;
const MASK: u32 = DATA as u32 - 1;
const HEADER: usize = 16;
const FOOTER: u32 = 8;

// The control page: indices, and what the other end wants
const PROD: usize = 0;
const CONS: usize = 4;
const INTERRUPT_MASK: usize = 8;
const PENDING_SEND_SIZE: usize = 12;

pub const DATA_INBAND: u16 = 6;
pub const DATA_XFER_PAGES: u16 = 7;
pub const DATA_GPA_DIRECT: u16 = 9;
pub const COMPLETION: u16 = 11;
pub const COMPLETION_REQUESTED: u16 = 1;

/// Longest packet: the headers of 375 ranges, and a message.
pub const PACKET_MAX: usize = 4096;

pub struct Packet {
    pub kind: u16,
    pub header: usize,
    pub flags: u16,
    pub id: u64,
    /// Of all, without the footer.
    pub length: usize,
    pub data: [u8; PACKET_MAX],
}

impl Packet {
    pub const fn new() -> Packet {
        Packet { kind: 0, header: 0, flags: 0, id: 0, length: 0, data: [0; PACKET_MAX] }
    }

    pub fn word(&self, at: usize) -> u32 {
        let d = &self.data;
        u32::from_le_bytes([d[at], d[at + 1], d[at + 2], d[at + 3]])
    }
}

/// What came of a look at the ring.
pub enum Received {
    Nothing,
    /// It is no good, and was skipped.
    Malformed,
    Packet,
}

pub struct Channel {
    pub offer: usize,
    pub ring: Gpadl,
    pub open: bool,
    pub broken: bool,
    signal_due: bool,
    // Our own: the host writes over what is shared
    prod: u32,
    cons: u32,
}

impl Channel {
    pub const NONE: Channel = Channel {
        offer: 0,
        ring: Gpadl::NONE,
        open: false,
        broken: false,
        signal_due: false,
        prod: 0,
        cons: 0,
    };

    pub fn new(offer: usize, ring: Gpadl) -> Channel {
        Channel { offer, ring, open: true, ..Channel::NONE }
    }

    pub fn is_dead(&self, bus: &Bus) -> bool {
        !bus.hv.running || !self.open || self.broken || bus.offers[self.offer].rescinded
    }

    /// A word of a control page: of the ring out, or of the ring in.
    fn field(&self, ring: usize, at: usize) -> *mut u32 {
        unsafe { self.ring.pages.add(ring * RING + at) as *mut u32 }
    }

    fn read(&self, ring: usize, at: usize) -> u32 {
        unsafe { read_volatile(self.field(ring, at)) }
    }

    fn byte(&self, ring: usize, at: u32) -> *mut u8 {
        unsafe { self.ring.pages.add(ring * RING + PAGE_SIZE + (at & MASK) as usize) }
    }

    fn give_up(&mut self) {
        if !self.broken {
            say(0, "the host broke the rules of a ring: the channel is given up");
        }
        self.broken = true;
    }

    fn signal(&mut self, bus: &mut Bus) {
        // What the host refuses now is tried again with the next poll
        self.signal_due = !bus.hv.signal(bus.offers[self.offer].connection);
    }

    /// Send a packet: EAGAIN without room, EPIPE on a channel that is broken.
    pub fn send(
        &mut self,
        bus: &mut Bus,
        (kind, flags, id): (u16, u16, u64),
        header: &[u8],
        data: &[u8],
    ) -> Result<(), i32> {
        if self.is_dead(bus) {
            return Err(hypxe::EPIPE);
        }
        let old = self.prod;
        let cons = self.read(0, CONS);
        if cons > MASK || cons & 7 != 0 {
            self.give_up();
            return Err(hypxe::EPIPE);
        }

        // Check that there is room: a ring is never full
        let padding = data.len().wrapping_neg() & 7;
        let total = (HEADER + header.len() + data.len() + padding) as u32;
        if total + FOOTER > cons.wrapping_sub(old + 1) & MASK {
            return Err(hypxe::EAGAIN);
        }

        // Write it, and publish it as a whole
        let mut start = [0; HEADER];
        start[0..2].copy_from_slice(&kind.to_le_bytes());
        start[2..4].copy_from_slice(&(((HEADER + header.len()) / 8) as u16).to_le_bytes());
        start[4..6].copy_from_slice(&((total / 8) as u16).to_le_bytes());
        start[6..8].copy_from_slice(&flags.to_le_bytes());
        start[8..16].copy_from_slice(&id.to_le_bytes());
        let mut at = old;
        let footer = [[0; 4], old.to_le_bytes()];
        for piece in [&start, header, data, &[0; 8][..padding], &footer[0], &footer[1]] {
            for byte in piece {
                unsafe { write_volatile(self.byte(0, at), *byte) };
                at += 1;
            }
        }
        self.prod = at & MASK;
        // All before it, reads too: a completion gives back what was read
        barrier();
        unsafe { write_volatile(self.field(0, PROD), self.prod) };

        // Signal if the host may have gone to sleep: the ring was empty
        barrier();
        if self.read(0, INTERRUPT_MASK) == 0 && self.read(0, CONS) == old {
            self.signal(bus);
        }
        Ok(())
    }

    fn consume(&mut self, bus: &mut Bus, length: u32) {
        let room = DATA as u32 - (self.read(1, PROD).wrapping_sub(self.cons) & MASK);
        self.cons = (self.cons + length) & MASK;
        barrier();
        unsafe { write_volatile(self.field(1, CONS), self.cons) };
        barrier();
        // The host may wait for room
        let wanted = self.read(1, PENDING_SEND_SIZE) & !7;
        if wanted != 0 && room <= wanted && room + length > wanted {
            self.signal(bus);
        }
    }

    /// Take a packet, copied.
    pub fn receive(&mut self, bus: &mut Bus, packet: &mut Packet) -> Received {
        if self.is_dead(bus) {
            return Received::Nothing;
        }
        if self.signal_due {
            self.signal(bus);
        }
        let prod = self.read(1, PROD);
        if prod > MASK || prod & 7 != 0 {
            self.give_up();
            return Received::Nothing;
        }
        let available = prod.wrapping_sub(self.cons) & MASK;
        if available == 0 {
            return Received::Nothing;
        }
        unsafe { hypxe::barrier(0) };

        // Check its lengths. If it does not fit, nobody knows where the next one begins
        *packet = Packet { data: packet.data, ..Packet::new() };
        if available < HEADER as u32 + FOOTER {
            self.consume(bus, available);
            return Received::Malformed;
        }
        self.copy(packet, HEADER);
        let half = |at: usize| u16::from_le_bytes([packet.data[at], packet.data[at + 1]]);
        let (kind, header, length, flags) =
            (half(0), 8 * half(2) as usize, 8 * half(4) as usize, half(6));
        if length < HEADER || length as u32 + FOOTER > available {
            self.consume(bus, available);
            return Received::Malformed;
        }
        packet.kind = kind;
        packet.flags = flags;
        packet.id = packet.word(8) as u64 | (packet.word(12) as u64) << 32;
        packet.header = header;
        if length > PACKET_MAX || header < HEADER || header > length {
            self.consume(bus, length as u32 + FOOTER);
            return Received::Malformed;
        }
        packet.length = length;
        self.copy(packet, length);
        // What was checked counts, not what was copied after it
        self.consume(bus, length as u32 + FOOTER);
        Received::Packet
    }

    fn copy(&self, packet: &mut Packet, length: usize) {
        for i in 0..length {
            packet.data[i] = unsafe { read_volatile(self.byte(1, self.cons + i as u32)) };
        }
    }
}
