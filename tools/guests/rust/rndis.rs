// SPDX-License-Identifier: BSD-2-Clause

//! RNDIS: knows nothing of Hyper-V.

use crate::hyperv::{now, TICKS_PER_MS};
use crate::hypxe;
use crate::netvsc::Netvsc;
use crate::vmbus::Bus;

const PACKET: u32 = 1;
const INITIALISE: u32 = 2;
const HALT: u32 = 3;
const QUERY: u32 = 4;
const SET: u32 = 5;
const INDICATE_STATUS: u32 = 7;
const KEEPALIVE: u32 = 8;
const COMPLETE: u32 = 0x8000_0000;

const OID_PACKET_FILTER: u32 = 0x0001_010e;
const OID_MEDIA_CONNECT_STATUS: u32 = 0x0001_0114;
const OID_CURRENT_ADDRESS: u32 = 0x0101_0102;
const STATUS_MEDIA_CONNECT: u32 = 0x4001_000b;
const STATUS_MEDIA_DISCONNECT: u32 = 0x4001_000c;
/// Directed, all multicast, broadcast.
pub const FILTER_ON: u32 = 0xd;

const ANSWER_MS: u64 = 10_000;
/// What is said at the end need not be heard: a host that is slow is not waited for so long.
const FAREWELL_MS: u64 = 1000;
const MAX_TRANSFER: u32 = 2048;
/// Offsets inside of messages count from here.
const BODY: usize = 8;
const PACKET_HEADER: usize = 44;
pub const FRAME_MAX: usize = 1514;

static mut LAST_ID: u32 = 0;

pub struct Rndis {
    /// The filter is set: frames are passed on.
    pub open: bool,
    /// 1 up, 0 down, -1 unknown.
    pub link: i32,
    pub mac: [u8; 6],
    initialised: bool,
    wanted: u32,
    kind: u32,
    answer: Option<([u8; 128], usize)>,
}

fn word(message: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]])
}

fn bytes(values: &[u32], into: &mut [u8]) -> usize {
    for (i, value) in values.iter().enumerate() {
        into[4 * i..4 * i + 4].copy_from_slice(&value.to_le_bytes());
    }
    4 * values.len()
}

impl Rndis {
    pub const fn new() -> Rndis {
        Rndis { open: false, link: -1, mac: [0; 6], initialised: false, wanted: 0, kind: 0, answer: None }
    }

    /// Send a request, and wait for the answer to it of at least this length. Word 2 is its number.
    fn request(
        &mut self,
        bus: &mut Bus,
        below: &mut Netvsc,
        values: &mut [u32],
        least: usize,
        ms: u64,
    ) -> Result<([u8; 128], usize), i32> {
        let deadline = now() + ms * TICKS_PER_MS;
        unsafe { LAST_ID = LAST_ID.wrapping_add(1) };
        values[1] = 4 * values.len() as u32;
        values[2] = unsafe { LAST_ID };
        self.kind = values[0] | COMPLETE;
        self.wanted = values[2];
        self.answer = None;
        let mut message = [0; 64];
        let length = bytes(values, &mut message);
        let mut sent = below.send(bus, true, &message[..length], &[]);
        // There may be no room for a moment
        while sent == Err(hypxe::EAGAIN) {
            below.poll(bus, self);
            sent = bus.hv.turn(deadline).and_then(|()| below.send(bus, true, &message[..length], &[]));
        }
        while sent.is_ok() {
            below.poll(bus, self);
            if self.answer.is_some() {
                break;
            }
            let dead = below.channel.is_dead(bus);
            sent = if dead { Err(hypxe::EPIPE) } else { bus.hv.turn(deadline) };
        }
        self.wanted = 0;
        sent?;
        let (answer, length) = self.answer.take().ok_or(hypxe::ETIMEDOUT)?;
        if length < least {
            return Err(hypxe::EPROTO);
        }
        if word(&answer, 12) == 0 { Ok((answer, length)) } else { Err(hypxe::EIO) }
    }

    /// Ask for something of so many bytes.
    fn query<const N: usize>(
        &mut self,
        bus: &mut Bus,
        below: &mut Netvsc,
        oid: u32,
    ) -> Result<[u8; N], i32> {
        let mut values = [QUERY, 0, 0, oid, 0, 20, 0];
        let (answer, length) = self.request(bus, below, &mut values, 24, ANSWER_MS)?;
        let at = BODY + (word(&answer, 20) as usize).min(answer.len());
        if word(&answer, 16) as usize != N || at + N > length {
            return Err(hypxe::EPROTO);
        }
        let mut found = [0; N];
        found.copy_from_slice(&answer[at..at + N]);
        Ok(found)
    }

    pub fn filter(&mut self, bus: &mut Bus, below: &mut Netvsc, filter: u32) -> Result<(), i32> {
        let mut values = [SET, 0, 0, OID_PACKET_FILTER, 4, 20, 0, filter];
        let ms = if filter == 0 { FAREWELL_MS } else { ANSWER_MS };
        self.request(bus, below, &mut values, 16, ms).map(|_| ())
    }

    pub fn start(&mut self, bus: &mut Bus, below: &mut Netvsc) -> Result<(), i32> {
        self.initialised = true;
        let mut values = [INITIALISE, 0, 0, 1, 0, MAX_TRANSFER];
        self.request(bus, below, &mut values, 16, ANSWER_MS)?;
        self.mac = self.query(bus, below, OID_CURRENT_ADDRESS)?;
        match self.query::<4>(bus, below, OID_MEDIA_CONNECT_STATUS) {
            Ok(state) => self.link = (state == [0; 4]) as i32,
            // A host need not know its link; but if it was cancelled, or is gone, that counts
            Err(error) if error == hypxe::ECANCELED || error == hypxe::EPIPE => return Err(error),
            Err(_) => (),
        }
        Ok(())
    }

    /// The host has let go of the device; it was open if it was.
    pub fn forget(&mut self) {
        self.initialised = false;
        self.wanted = 0;
    }

    /// There is no answer to HALT.
    pub fn halt(&mut self, bus: &mut Bus, below: &mut Netvsc) {
        let mut message = [0; 12];
        bytes(&[HALT, 12, 0], &mut message);
        if self.initialised && cfg!(not(no_halt)) {
            let _ = below.send(bus, true, &message, &[]);
        }
        self.initialised = false;
    }

    pub fn transmit(&mut self, bus: &mut Bus, below: &mut Netvsc, frame: &[u8]) -> Result<(), i32> {
        let mut head = [0; PACKET_HEADER];
        let length = frame.len() as u32;
        let offset = (PACKET_HEADER - BODY) as u32;
        bytes(&[PACKET, PACKET_HEADER as u32 + length, offset, length], &mut head);
        below.send(bus, false, &head, frame)
    }

    /// A message of the host, copied. What it says of its own length is not believed.
    pub fn received(&mut self, bus: &mut Bus, below: &mut Netvsc, message: &[u8]) {
        if message.len() < 12 {
            return;
        }
        let kind = word(message, 0);
        match kind {
            PACKET if message.len() >= PACKET_HEADER => {
                let body = &message[BODY..];
                let (offset, length) = (word(message, 8) as usize, word(message, 12) as usize);
                let inside = offset <= body.len() && length <= body.len() - offset;
                if self.open && inside && length <= FRAME_MAX {
                    unsafe { hypxe::received(below.index, body.as_ptr().add(offset), length) };
                }
            }
            INDICATE_STATUS => match word(message, 8) {
                STATUS_MEDIA_CONNECT => self.link = 1,
                STATUS_MEDIA_DISCONNECT => self.link = 0,
                _ => (),
            },
            KEEPALIVE => {
                let mut answer = [0; 16];
                bytes(&[KEEPALIVE | COMPLETE, 16, word(message, 8), 0], &mut answer);
                let _ = below.send(bus, true, &answer, &[]);
            }
            _ if self.wanted != 0 && kind == self.kind && word(message, 8) == self.wanted => {
                let mut answer = [0; 128];
                let length = message.len().min(answer.len());
                answer[..length].copy_from_slice(&message[..length]);
                self.answer = Some((answer, length));
                self.wanted = 0;
            }
            _ => (),
        }
    }
}
