// SPDX-License-Identifier: BSD-2-Clause

//! VMBus: control messages, GPADLs, channels. Knows nothing of networking. Names are those of Linux
//! and iPXE.

use crate::hyperv::{now, pages_alloc, pages_free, say, Hv, Message, MESSAGE_MAX, PAGE_SIZE, TICKS_PER_MS};
use crate::hypxe;
use crate::ring::{Channel, RING_BYTES, RING_PAGES};
use core::ptr::null_mut;

const MESSAGE_TYPE: u32 = 1;
const OFFER_CHANNEL: u32 = 1;
const RESCIND_CHANNEL_OFFER: u32 = 2;
const REQUEST_OFFERS: u32 = 3;
const ALL_OFFERS_DELIVERED: u32 = 4;
const OPEN_CHANNEL: u32 = 5;
const OPEN_CHANNEL_RESULT: u32 = 6;
const CLOSE_CHANNEL: u32 = 7;
const GPADL_HEADER: u32 = 8;
const GPADL_CREATED: u32 = 10;
const GPADL_TEARDOWN: u32 = 11;
const GPADL_TORNDOWN: u32 = 12;
const RELID_RELEASED: u32 = 13;
const INITIATE_CONTACT: u32 = 14;
const VERSION_RESPONSE: u32 = 15;
const UNLOAD: u32 = 16;
const UNLOAD_RESPONSE: u32 = 17;

/// The first version whose hosts say when they have let go of everything.
const VERSION_3_0: u32 = 0x0003_0000;
const CONTACT_MS: u64 = 30_000;
const CONTACT_TRIES: u32 = 4;
pub const ANSWER_MS: u64 = 10_000;
/// A host may first have to write its disk caches: up to 50 s were seen.
const UNLOAD_MS: u64 = 100_000;
const UNLOAD_TRIES: u32 = 3;
/// How long the first network device is waited for: a host may offer it behind its list.
const NIC_MS: u64 = 15_000;
const CHANNEL_MAX: u32 = 2047;
pub const OFFERS_MAX: usize = 8;
const LEAKS_MAX: usize = 64;
/// Messages that are skipped in one wait.
const SKIPPED_MAX: u32 = 4096;
const OFFER_MIN: usize = 196;
const HEADER_PFNS: usize = 26;
const NETWORK: [u8; 16] = [
    0x63, 0x51, 0x61, 0xf8, 0x3e, 0xdf, 0xc5, 0x46, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e,
];

#[derive(Clone, Copy, Default)]
pub struct Offer {
    pub channel: u32,
    pub connection: u32,
    /// Stays the device's, whatever its channel is.
    pub instance: [u8; 16],
    pub rescinded: bool,
}

/// Memory that the host was given, with the number that it is known by.
pub struct Gpadl {
    pub pages: *mut u8,
    pub bytes: usize,
    pub id: u32,
    live: bool,
}

impl Gpadl {
    pub const NONE: Gpadl = Gpadl { pages: null_mut(), bytes: 0, id: 0, live: false };

    /// The host has let go of it.
    pub fn ended(&mut self) {
        self.live = false;
    }
}

pub struct Bus {
    pub hv: Hv,
    pub offers: [Offer; OFFERS_MAX],
    pub offer_count: usize,
    must_unload: bool,
    connected: bool,
    collecting: bool,
    last_gpadl: u32,
    last_open: u32,
    /// What the host did not give back: it is free once the host has disconnected, or never.
    leaks: [(*mut u8, usize); LEAKS_MAX],
    leak_count: usize,
}

impl Bus {
    pub const fn new() -> Bus {
        Bus {
            hv: Hv::new(),
            offers: [Offer { channel: 0, connection: 0, instance: [0; 16], rescinded: false }; OFFERS_MAX],
            offer_count: 0,
            must_unload: false,
            connected: false,
            collecting: false,
            last_gpadl: 0x6800_0000,
            last_open: 0,
            leaks: [(null_mut(), 0); LEAKS_MAX],
            leak_count: 0,
        }
    }

    /// Do something without asking whether to go on.
    pub fn undo<T>(&mut self, action: impl FnOnce(&mut Bus) -> T) -> T {
        let undoing = core::mem::replace(&mut self.hv.undoing, true);
        let result = action(self);
        self.hv.undoing = undoing;
        result
    }

    // --- messages ---

    fn post(&mut self, kind: u32, words: &[u32], length: usize) -> Result<(), i32> {
        let mut data = [0; MESSAGE_MAX];
        data[..4].copy_from_slice(&kind.to_le_bytes());
        for (i, word) in words.iter().enumerate() {
            data[8 + 4 * i..12 + 4 * i].copy_from_slice(&word.to_le_bytes());
        }
        let length = length.max(8 + 4 * words.len());
        self.hv.post(MESSAGE_TYPE, &data[..length])
    }

    /// A message that nobody waits for.
    fn unsolicited(&mut self, message: &Message) {
        match kind_of(message) {
            OFFER_CHANNEL => self.offered(message),
            RESCIND_CHANNEL_OFFER if message.length >= 12 => {
                let channel = message.word(8);
                for offer in &mut self.offers[..self.offer_count] {
                    offer.rescinded |= offer.channel == channel;
                }
            }
            _ => (),
        }
    }

    fn offered(&mut self, message: &Message) {
        let channel = message.word(184);
        let data = &message.data;
        if !self.collecting || message.length < OFFER_MIN || data[8..24] != NETWORK {
            return;
        }
        // Not a sub-channel, and not one that is there already
        let known = self.offers[..self.offer_count].iter().any(|offer| offer.channel == channel);
        if channel == 0 || channel > CHANNEL_MAX || data[180..182] != [0, 0] || known {
            return;
        }
        if self.offer_count < OFFERS_MAX {
            let offer = &mut self.offers[self.offer_count];
            *offer = Offer { channel, connection: message.word(192), ..Offer::default() };
            offer.instance.copy_from_slice(&data[24..40]);
            self.offer_count += 1;
        }
    }

    /// Wait for a message of this type, of at least this length, with these words from 8 on. A
    /// device that goes meanwhile ends the wait.
    fn wait(
        &mut self,
        kind: u32,
        least: usize,
        words: &[u32],
        ms: u64,
        device: Option<usize>,
    ) -> Result<Message, i32> {
        let deadline = now() + ms * TICKS_PER_MS;
        let mut skipped = 0;
        loop {
            while let Some(message) = self.hv.receive() {
                if kind_of(&message) == kind {
                    if message.length < least {
                        return Err(hypxe::EPROTO);
                    }
                    if words.iter().enumerate().all(|(i, word)| message.word(8 + 4 * i) == *word) {
                        return Ok(message);
                    }
                }
                self.unsolicited(&message);
                if device.map_or(false, |index| self.offers[index].rescinded) {
                    return Err(hypxe::EPIPE);
                }
                skipped += 1;
                if skipped > SKIPPED_MAX {
                    return Err(hypxe::EPROTO);
                }
            }
            self.hv.turn(deadline)?;
        }
    }

    /// Hear what the host says meanwhile.
    pub fn poll(&mut self) {
        for _ in 0..64 {
            match self.hv.receive() {
                Some(message) => self.unsolicited(&message),
                None => return,
            }
        }
    }

    // --- memory that the host has ---

    pub fn establish(&mut self, channel: u32, bytes: usize, purpose: &str) -> Result<Gpadl, i32> {
        let pages = pages_alloc(bytes, purpose).ok_or(hypxe::ENOMEM)?;
        self.last_gpadl += 1;
        let id = self.last_gpadl;

        // Channel, number; one range: its length with page numbers, byte count, offset
        let count = bytes / PAGE_SIZE;
        let mut words = [0; 5 + 2 * HEADER_PFNS];
        words[..5].copy_from_slice(&[channel, id, (8 + 8 * count as u32) | 1 << 16, bytes as u32, 0]);
        for i in 0..count {
            words[5 + 2 * i] = (pages as usize / PAGE_SIZE + i) as u32;
        }
        if let Err(error) = self.post(GPADL_HEADER, &words[..5 + 2 * count], 0) {
            // It was never sent
            pages_free(pages, bytes);
            return Err(error);
        }
        let mut gpadl = Gpadl { pages, bytes, id, live: true };
        let error = match self.wait(GPADL_CREATED, 20, &[channel, id], ANSWER_MS, None) {
            Ok(message) if message.word(16) == 0 => return Ok(gpadl),
            Ok(_) => {
                gpadl.live = false;
                hypxe::EPROTO
            }
            Err(error) => error,
        };
        self.teardown(&mut gpadl, channel);
        Err(error)
    }

    /// Take memory back, and free it: true; what the host keeps is kept until it has disconnected.
    pub fn teardown(&mut self, gpadl: &mut Gpadl, channel: u32) -> bool {
        let Gpadl { pages, bytes, id, live } = core::mem::replace(gpadl, Gpadl::NONE);
        if pages.is_null() {
            return true;
        }
        let done = self.undo(|bus| {
            if live {
                bus.post(GPADL_TEARDOWN, &[channel, id], 0)?;
                bus.wait(GPADL_TORNDOWN, 12, &[id], ANSWER_MS, None)?;
            }
            Ok::<(), i32>(())
        });
        if done.is_ok() {
            pages_free(pages, bytes);
        } else {
            say(1, "the host does not give memory back");
            self.leak(pages, bytes);
        }
        done.is_ok()
    }

    /// What the host may still have is kept until it has disconnected.
    pub fn leak(&mut self, pages: *mut u8, bytes: usize) {
        if self.leak_count < LEAKS_MAX {
            self.leaks[self.leak_count] = (pages, bytes);
            self.leak_count += 1;
        }
    }

    // --- channels ---

    fn post_close(&mut self, channel: u32) {
        if cfg!(no_close) {
            return;
        }
        if self.post(CLOSE_CHANNEL, &[channel], 0).is_err() {
            say(0, "could not close a channel");
        }
    }

    pub fn open(&mut self, index: usize) -> Result<Channel, i32> {
        let Offer { channel, .. } = self.offers[index];
        let mut ring = self.establish(channel, RING_BYTES, "rings")?;
        self.last_open += 1;
        // Channel, number, rings, processor 0, where the second ring begins
        let words = [channel, self.last_open, ring.id, 0, 1 + RING_PAGES as u32];
        let mut maybe_open = false;
        let mut opened = self.post(OPEN_CHANNEL, &words, 148);
        if opened.is_ok() {
            let answer = self.wait(OPEN_CHANNEL_RESULT, 20, &words[..2], ANSWER_MS, Some(index));
            maybe_open = answer.as_ref().map_or(true, |message| message.word(16) == 0);
            opened = match answer {
                Ok(message) if message.word(16) == 0 => return Ok(Channel::new(index, ring)),
                Ok(_) => Err(hypxe::EPROTO),
                Err(error) => Err(error),
            };
        }
        // The host may have opened it without our hearing of it
        self.undo(|bus| {
            if maybe_open {
                bus.post_close(channel);
            }
            bus.teardown(&mut ring, channel);
        });
        Err(opened.err().unwrap_or(hypxe::EPROTO))
    }

    /// Whether the host has heard of it: a CLOSE has no answer, but the rings' teardown has one.
    pub fn close(&mut self, channel: &mut Channel) -> bool {
        if !channel.open {
            return true;
        }
        channel.open = false;
        let Offer { channel: number, rescinded, .. } = self.offers[channel.offer];
        // The host has closed what it has taken away
        if !rescinded {
            self.post_close(number);
        }
        cfg!(no_ring_teardown) || self.teardown(&mut channel.ring, number)
    }

    // --- the connection ---

    fn contact(&mut self) -> Result<(), i32> {
        // Version, processor 0; no interrupt page and no monitor pages: there is no use for them
        let words = [VERSION_3_0, 0, 0, 0, 0, 0, 0, 0];
        let mut silent = 0;
        for _ in 0..CONTACT_TRIES {
            self.post(INITIATE_CONTACT, &words, 0)?;
            self.must_unload = true;
            match self.version() {
                Ok(true) => return Ok(()),
                // An earlier owner's UNLOAD: what came behind it may be lost
                Ok(false) => (),
                Err(hypxe::ETIMEDOUT) if silent == 0 => silent = 1,
                Err(error) => return Err(error),
            }
        }
        Err(hypxe::ETIMEDOUT)
    }

    /// Wait for the answer to a contact. False if an earlier owner's UNLOAD was answered.
    fn version(&mut self) -> Result<bool, i32> {
        let deadline = now() + CONTACT_MS * TICKS_PER_MS;
        loop {
            while let Some(message) = self.hv.receive() {
                match kind_of(&message) {
                    UNLOAD_RESPONSE => return Ok(false),
                    VERSION_RESPONSE if message.length < 9 => return Err(hypxe::EPROTO),
                    VERSION_RESPONSE => (),
                    _ => continue,
                }
                let echoed = message.word(12);
                if message.data[8] == 0 {
                    self.must_unload = false;
                    return Err(hypxe::ENOTSUP);
                }
                // An answer to an older question has another version
                if echoed != 0 && echoed != VERSION_3_0 {
                    continue;
                }
                if message.data[9] != 0 {
                    self.must_unload = false;
                    return Err(hypxe::EIO);
                }
                return Ok(true);
            }
            self.hv.turn(deadline)?;
        }
    }

    fn discard(&mut self) {
        for _ in 0..SKIPPED_MAX {
            if self.hv.receive().is_none() {
                return;
            }
        }
    }

    pub fn probe(&mut self) -> Result<(), i32> {
        self.offer_count = 0;
        self.leak_count = 0;
        let enumerated = self.connect().and_then(|()| self.enumerate());
        let probed = enumerated.and_then(|()| self.wait_for_nic());
        if probed.is_err() {
            self.remove();
        }
        probed
    }

    /// Wait for the first device, if the list had none. There may be none at all.
    fn wait_for_nic(&mut self) -> Result<(), i32> {
        let deadline = now() + NIC_MS * TICKS_PER_MS;
        let mut waited = Ok(());
        self.collecting = true;
        while waited.is_ok() && self.offer_count == 0 {
            waited = self.hv.turn(deadline);
            self.poll();
        }
        self.collecting = false;
        if waited == Err(hypxe::ETIMEDOUT) { Ok(()) } else { waited }
    }

    /// After somebody else may have had the machine: the host lets go of all that we had.
    pub fn reconnect(&mut self) -> Result<(), i32> {
        // Until it is answered the host may still have the old connection
        self.connect()?;
        for offer in &mut self.offers {
            offer.rescinded = true;
        }
        self.offer_count = 0;
        self.free_leaks();
        Ok(())
    }

    fn connect(&mut self) -> Result<(), i32> {
        // Whatever an earlier owner was sent is not for us
        self.hv.enable_sint();
        self.discard();
        self.contact()?;
        self.connected = true;
        Ok(())
    }

    fn free_leaks(&mut self) {
        for (pages, bytes) in &self.leaks[..self.leak_count] {
            pages_free(*pages, *bytes);
        }
        self.leak_count = 0;
    }

    /// Ask what devices there are.
    pub fn enumerate(&mut self) -> Result<(), i32> {
        self.offer_count = 0;
        self.collecting = true;
        let posted = self.post(REQUEST_OFFERS, &[], 0);
        let offered =
            posted.and_then(|()| self.wait(ALL_OFFERS_DELIVERED, 8, &[], ANSWER_MS, None));
        self.collecting = false;
        match offered {
            // What is there is there
            Err(hypxe::ETIMEDOUT) if self.offer_count > 0 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Disconnect: the host lets go of whatever it still has. Never fails.
    pub fn remove(&mut self) {
        self.undo(Bus::disconnect)
    }

    fn disconnect(&mut self) {
        for index in 0..self.offer_count {
            let Offer { channel, rescinded, .. } = self.offers[index];
            if self.connected && rescinded {
                let _ = self.post(RELID_RELEASED, &[channel], 0);
            }
        }
        self.offer_count = 0;
        let mut done = Ok(());
        if self.must_unload && cfg!(not(no_unload)) {
            // Whatever the host says: without it, it keeps everything. If it was lost on its way, the
            // host is asked anew first: some end a guest that takes leave twice
            done = Err(hypxe::EIO);
            for _ in 0..UNLOAD_TRIES {
                if done == Err(hypxe::ETIMEDOUT) {
                    let _ = self.contact();
                    if !self.must_unload {
                        break;
                    }
                }
                done = self.post(UNLOAD, &[], 0);
                if done.is_err() {
                    continue;
                }
                done = self.wait(UNLOAD_RESPONSE, 8, &[], UNLOAD_MS, None).map(|_| ());
                if done != Err(hypxe::ETIMEDOUT) {
                    break;
                }
            }
            if done.is_err() {
                say(0, "the host does not disconnect");
            }
        }
        self.must_unload = false;
        self.connected = false;
        if done.is_ok() {
            self.free_leaks();
        }
        self.leak_count = 0;
        // Whoever comes next expects the slot empty
        self.discard();
        self.hv.disable_sint();
    }
}

fn kind_of(message: &Message) -> u32 {
    if message.kind == MESSAGE_TYPE && message.length >= 8 { message.word(0) } else { 0 }
}
