// SPDX-License-Identifier: BSD-2-Clause

//! The network device below RNDIS: moves its messages over a channel (NVSP), and knows nothing of
//! what they say.

use crate::hyperv::{now, pages_alloc, pages_free, say, PAGE_SIZE, TICKS_PER_MS};
use crate::hypxe;
use crate::ring::*;
use crate::rndis::Rndis;
use crate::vmbus::{Bus, Gpadl, ANSWER_MS};
use core::ptr::null_mut;

const INIT: u32 = 1;
const INIT_COMPLETE: u32 = 2;
const SEND_NDIS_VERSION: u32 = 100;
const SEND_RECEIVE_BUFFER: u32 = 101;
const SEND_RECEIVE_BUFFER_COMPLETE: u32 = 102;
const REVOKE_RECEIVE_BUFFER: u32 = 103;
const SEND_RNDIS_PACKET: u32 = 107;
const SEND_RNDIS_PACKET_COMPLETE: u32 = 108;
const VERSION_1: u32 = 2;
const SUCCESS: u32 = 1;
const MESSAGE: usize = 32;
const NO_SEND_BUFFER: u32 = 0xffff_ffff;

/// The host names the receive buffer so.
const PAGE_SET: u32 = 0x18;
const RX_BUFFER: usize = 65536;
const TX_SLOTS: usize = 8;
const TX_SLOT_BYTES: usize = 2048;
const RANGES_MAX: usize = (PACKET_MAX - 24) / 8;
const OWED_MAX: usize = 64;
const PACKETS_PER_POLL: u32 = 4096;
/// How long frames in flight are waited for at the end, and a REVOKE that some hosts never answer.
const DRAIN_MS: u64 = 20;
const REVOKE_MS: u64 = 1000;
/// Numbers of packets: requests count up from here, frames have their slot in the low bits.
const REQUEST_FIRST: u64 = 0x8000_0000;

/// A packet's messages, copied: so the host has its pages back before anything is done with them.
struct Copies {
    bytes: [u8; RX_BUFFER],
    lengths: [usize; RANGES_MAX],
}

static mut PACKET: Packet = Packet::new();
static mut COPIES: Copies = Copies { bytes: [0; RX_BUFFER], lengths: [0; RANGES_MAX] };
static mut LAST_REQUEST: u64 = REQUEST_FIRST;
static mut LAST_FRAME: u64 = 0;

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Number of its frame, 0 while it is free.
    number: u64,
    is_frame: bool,
}

pub struct Netvsc {
    pub index: u32,
    pub channel: Channel,
    rx_buffer: Gpadl,
    tx_pages: *mut u8,
    slots: [Slot; TX_SLOTS],
    in_flight: u32,
    /// The request that is waited for, and the answer.
    wanted: u64,
    answer: Option<([u8; 64], usize)>,
    /// Completions of received packets that the ring has had no room for.
    owed: [u64; OWED_MAX],
    owed_count: usize,
    polling: bool,
}

fn words<const N: usize>(values: &[u32]) -> [u8; N] {
    let mut bytes = [0; N];
    for (i, value) in values.iter().enumerate() {
        bytes[4 * i..4 * i + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

impl Netvsc {
    pub const fn new(index: u32) -> Netvsc {
        Netvsc {
            index,
            channel: Channel::NONE,
            rx_buffer: Gpadl::NONE,
            tx_pages: null_mut(),
            slots: [Slot { number: 0, is_frame: false }; TX_SLOTS],
            in_flight: 0,
            wanted: 0,
            answer: None,
            owed: [0; OWED_MAX],
            owed_count: 0,
            polling: false,
        }
    }

    pub fn open(&mut self, bus: &mut Bus, rndis: &mut Rndis, offer: usize) -> Result<(), i32> {
        let channel = bus.offers[offer].channel;
        self.channel.offer = offer;
        self.rx_buffer = bus.establish(channel, RX_BUFFER, "receive buffer")?;
        let opened = match pages_alloc(TX_SLOTS * TX_SLOT_BYTES, "frames in flight") {
            Some(pages) => {
                self.tx_pages = pages;
                bus.open(offer)
            }
            None => Err(hypxe::ENOMEM),
        };
        let done = opened.and_then(|channel| {
            self.channel = channel;
            self.negotiate(bus, rndis)
        });
        if done.is_err() {
            bus.undo(|bus| self.tear_down(bus));
        }
        done
    }

    fn negotiate(&mut self, bus: &mut Bus, rndis: &mut Rndis) -> Result<(), i32> {
        let init = [INIT, VERSION_1, VERSION_1];
        let answer = self.request(bus, rndis, &init, INIT_COMPLETE, 16, ANSWER_MS)?;
        if answer[12..16] != SUCCESS.to_le_bytes() {
            return Err(hypxe::ENOTSUP);
        }
        // The completion may be empty
        self.request(bus, rndis, &[SEND_NDIS_VERSION, 6, 1], 0, 0, ANSWER_MS)?;
        let buffer = [SEND_RECEIVE_BUFFER, self.rx_buffer.id, PAGE_SET];
        let answer =
            self.request(bus, rndis, &buffer, SEND_RECEIVE_BUFFER_COMPLETE, 28, ANSWER_MS)?;
        if answer[4..8] == SUCCESS.to_le_bytes() { Ok(()) } else { Err(hypxe::EPROTO) }
    }

    /// Send a request and wait for its completion, of this type and at least this length.
    fn request(
        &mut self,
        bus: &mut Bus,
        rndis: &mut Rndis,
        values: &[u32],
        kind: u32,
        least: usize,
        ms: u64,
    ) -> Result<[u8; 64], i32> {
        unsafe { LAST_REQUEST += 1 };
        self.answer = None;
        self.wanted = unsafe { LAST_REQUEST };
        let message: [u8; MESSAGE] = words(values);
        let head = (DATA_INBAND, COMPLETION_REQUESTED, self.wanted);
        let deadline = now() + ms * TICKS_PER_MS;
        let mut done = self.channel.send(bus, head, &[], &message);
        while done.is_ok() {
            self.poll(bus, rndis);
            if self.answer.is_some() {
                break;
            }
            done = if self.channel.is_dead(bus) { Err(hypxe::EPIPE) } else { bus.hv.turn(deadline) };
        }
        self.wanted = 0;
        done?;
        let (answer, length) = self.answer.take().ok_or(hypxe::ETIMEDOUT)?;
        if length < least || (kind != 0 && answer[..4] != kind.to_le_bytes()) {
            return Err(hypxe::EPROTO);
        }
        Ok(answer)
    }

    fn tear_down(&mut self, bus: &mut Bus) {
        let closed = bus.close(&mut self.channel);
        // The channel is closed: what it had not sent will never be
        for slot in &mut self.slots {
            if slot.number != 0 && slot.is_frame {
                unsafe { hypxe::transmitted(self.index, -hypxe::ECANCELED) };
            }
            slot.number = 0;
        }
        self.in_flight = 0;
        if !self.tx_pages.is_null() && !closed {
            bus.leak(self.tx_pages, TX_SLOTS * TX_SLOT_BYTES);
        } else if !self.tx_pages.is_null() {
            pages_free(self.tx_pages, TX_SLOTS * TX_SLOT_BYTES);
        }
        self.tx_pages = null_mut();
        // Hosts want it after the channel is closed
        if cfg!(not(no_buffer_teardown)) {
            let channel = bus.offers[self.channel.offer].channel;
            bus.teardown(&mut self.rx_buffer, channel);
        }
    }

    /// Never fails: nothing is said to a host that does not listen.
    pub fn close(&mut self, bus: &mut Bus, rndis: &mut Rndis) {
        if !self.channel.is_dead(bus) {
            let deadline = now() + DRAIN_MS * TICKS_PER_MS;
            loop {
                self.poll(bus, rndis);
                let done = self.in_flight == 0 || self.channel.is_dead(bus);
                if done || bus.hv.turn(deadline).is_err() {
                    break;
                }
            }
            // The GPADL decides when the buffer is free: whether this is answered does not
            if cfg!(not(no_revoke)) {
                let revoke = [REVOKE_RECEIVE_BUFFER, PAGE_SET];
                let _ = self.request(bus, rndis, &revoke, 0, 0, REVOKE_MS);
            }
        }
        self.tear_down(bus);
    }

    /// The host has let go of all that the device had.
    pub fn forget(&mut self, bus: &mut Bus) {
        self.channel.ring.ended();
        self.rx_buffer.ended();
        self.tear_down(bus);
        *self = Netvsc::new(self.index);
    }

    /// Send a message of RNDIS: EAGAIN without room, EPIPE on a channel that is dead.
    pub fn send(&mut self, bus: &mut Bus, control: bool, head: &[u8], data: &[u8]) -> Result<(), i32> {
        if self.channel.is_dead(bus) {
            return Err(hypxe::EPIPE);
        }
        let free = self.slots.iter().position(|slot| slot.number == 0);
        let index = free.ok_or(hypxe::EAGAIN)?;
        let length = head.len() + data.len();
        let place = unsafe { self.tx_pages.add(index * TX_SLOT_BYTES) };
        unsafe {
            place.copy_from(head.as_ptr(), head.len());
            place.add(head.len()).copy_from(data.as_ptr(), data.len());
            // A number that no frame had lately: a completion that comes twice is nobody's
            LAST_FRAME = LAST_FRAME % 0xff_ffff + 1;
        }
        let (offset, page) = (place as usize % PAGE_SIZE, place as usize / PAGE_SIZE);
        let pages: [u8; 24] = words(&[0, 1, length as u32, offset as u32, page as u32, 0]);
        let message: [u8; MESSAGE] = words(&[SEND_RNDIS_PACKET, control as u32, NO_SEND_BUFFER, 0]);
        let number = unsafe { LAST_FRAME };
        let id = number * TX_SLOTS as u64 + index as u64;
        self.channel.send(bus, (DATA_GPA_DIRECT, COMPLETION_REQUESTED, id), &pages, &message)?;
        self.slots[index] = Slot { number, is_frame: !control };
        self.in_flight += 1;
        Ok(())
    }

    // --- what the host sends ---

    fn completed(&mut self, packet: &Packet) {
        let slot = &mut self.slots[(packet.id % TX_SLOTS as u64) as usize];
        let number = packet.id / TX_SLOTS as u64;
        if packet.id < REQUEST_FIRST && number != 0 && slot.number == number {
            slot.number = 0;
            self.in_flight -= 1;
            if slot.is_frame {
                unsafe { hypxe::transmitted(self.index, 0) };
            }
        } else if self.wanted != 0 && packet.id == self.wanted {
            let mut answer = [0; 64];
            let length = (packet.length - packet.header).min(answer.len());
            answer[..length].copy_from_slice(&packet.data[packet.header..packet.header + length]);
            self.answer = Some((answer, length));
        }
    }

    fn send_completion(&mut self, bus: &mut Bus, id: u64) -> bool {
        let message: [u8; MESSAGE] = words(&[SEND_RNDIS_PACKET_COMPLETE, SUCCESS]);
        self.channel.send(bus, (COMPLETION, 0, id), &[], &message) != Err(hypxe::EAGAIN)
    }

    /// Tell the host that its packet is done: as soon as there is room.
    fn complete(&mut self, bus: &mut Bus, id: u64) {
        if cfg!(no_completion) || (self.owed_count == 0 && self.send_completion(bus, id)) {
            return;
        }
        if self.owed_count == OWED_MAX {
            say(0, "the host takes no completions: the channel is given up");
            self.channel.broken = true;
            return;
        }
        self.owed[self.owed_count] = id;
        self.owed_count += 1;
    }

    fn pay(&mut self, bus: &mut Bus) {
        while self.owed_count > 0 && self.send_completion(bus, self.owed[0]) {
            self.owed.copy_within(1..self.owed_count, 0);
            self.owed_count -= 1;
        }
    }

    /// Messages in the receive buffer.
    fn received(&mut self, bus: &mut Bus, rndis: &mut Rndis, packet: &Packet, copies: &mut Copies) {
        let mut messages = 0;
        let mut used = 0;
        for i in 0..self.ranges(packet) {
            let length = packet.word(24 + 8 * i) as usize;
            let offset = packet.word(28 + 8 * i) as usize;
            if offset > RX_BUFFER || length > RX_BUFFER - offset || length > RX_BUFFER - used {
                continue;
            }
            let to = &mut copies.bytes[used..used + length];
            unsafe { to.as_mut_ptr().copy_from(self.rx_buffer.pages.add(offset), length) };
            copies.lengths[messages] = length;
            messages += 1;
            used += length;
        }
        self.complete(bus, packet.id);
        let mut at = 0;
        for length in &copies.lengths[..messages] {
            rndis.received(bus, self, &copies.bytes[at..at + length]);
            at += length;
        }
    }

    /// How many ranges a packet has, if it is what it should be and they fill its header.
    fn ranges(&self, packet: &Packet) -> usize {
        if packet.header < 24 || packet.length - packet.header < 16 {
            return 0;
        }
        let count = packet.word(20) as usize;
        let good = packet.word(16) & 0xffff == PAGE_SET
            && count <= RANGES_MAX
            && packet.header == 24 + 8 * count
            && packet.word(packet.header) == SEND_RNDIS_PACKET;
        if good { count } else { 0 }
    }

    /// Take what is there; messages first: they may say that the device is gone.
    pub fn poll(&mut self, bus: &mut Bus, rndis: &mut Rndis) {
        if !bus.hv.running {
            return;
        }
        bus.poll();
        if self.polling || self.channel.is_dead(bus) {
            return;
        }
        self.polling = true;
        self.pay(bus);
        let (packet, copies) = unsafe { (&mut *addr(&PACKET), &mut *addr(&COPIES)) };
        for _ in 0..PACKETS_PER_POLL {
            match self.channel.receive(bus, packet) {
                Received::Nothing => break,
                // The host waits for the completion of what it has lent us, all the same
                Received::Malformed if packet.kind == DATA_XFER_PAGES => {
                    self.complete(bus, packet.id)
                }
                Received::Malformed => (),
                Received::Packet if packet.kind == COMPLETION => self.completed(packet),
                Received::Packet if packet.kind == DATA_XFER_PAGES => {
                    self.received(bus, rndis, packet, copies)
                }
                Received::Packet if packet.flags & COMPLETION_REQUESTED != 0 => {
                    self.complete(bus, packet.id)
                }
                Received::Packet => (),
            }
        }
        self.polling = false;
    }
}

/// The address of something static, to be changed: there is one thread, and polls do not nest.
fn addr<T>(of: *const T) -> *mut T {
    of as *mut T
}
