/* SPDX-License-Identifier: BSD-2-Clause */
#include "hyperv.h"

#define MSR_GUEST_OS_ID 0x40000000
#define MSR_HYPERCALL 0x40000001
#define MSR_TIME_REF_COUNT 0x40000020
#define MSR_REFERENCE_TSC 0x40000021
#define MSR_VP_ASSIST_PAGE 0x40000073
#define MSR_SCONTROL 0x40000080
#define MSR_SIEFP 0x40000082
#define MSR_SIMP 0x40000083
#define MSR_EOM 0x40000084
#define MSR_SINT0 0x40000090
#define MSR_STIMER0_CONFIG 0x400000b0

/* CPUID 0x40000003: EAX, then EBX */
#define HAS_TIME_REF_COUNT 0x2
#define HAS_SYNIC 0x4
#define HAS_STIMERS 0x8
#define HAS_INTR_CONTROL 0x10
#define HAS_HYPERCALL 0x20
#define HAS_REFERENCE_TSC 0x200
#define MAY_POST 0x10
#define MAY_SIGNAL 0x20

#define HV_CALL_POST_MESSAGE 0x5c
#define HV_CALL_SIGNAL_EVENT 0x5d
#define HV_CONNECTION_MESSAGE 1

/* Statuses that mean "later": out of memory, throttled, out of buffers, time out */
#define IS_LATER(s) ((s) == 0x0b || (s) == 0x12 || (s) == 0x13 || (s) == 0x78)
#define POST_TRIES 12

#define PAGE_ENABLE 1ull
#define PAGE_KEPT 0xffeull
#define HYPERCALL_LOCKED 2ull
#define SINT_COUNT 16
#define SINT 2
#define SINT_MASKED 0x10000ull
#define SINT_AUTO_EOI 0x20000ull
#define SINT_KEPT (~0x1f00ffull)
/* The vector of the FPU, whose handler does nothing on a PC. This is a policy decision. */
#define SINT_VECTOR 0x75ull

/* The UEFI firmware of a Gen 2 VM: taking the machine from it crashes the VM. */
#define OS_ID_UEFI 0x0000010000000000ull
/* Open source, of no known vendor. */
#define OS_ID 0x8d00000000000000ull

struct message_slot {
	volatile uint32_t type;
	volatile uint8_t length;
	volatile uint8_t flags;
	uint16_t reserved;
	uint64_t origin;
	volatile uint8_t data[HV_MESSAGE_MAX];
};

struct post_message {
	uint32_t connection;
	uint32_t reserved;
	uint32_t type;
	uint32_t length;
	uint8_t data[HV_MESSAGE_MAX];
};

int hv_undoing, hv_running;
static uint64_t old_scontrol;
static uint32_t features;
static void *hypercall_page, *message_page, *event_page, *input_page;

static size_t text_length(const char *text)
{
	size_t length = 0;
	while (text[length])
		length++;
	return length;
}

void say(uint32_t level, const char *text)
{
	hypxe_log(level, text, text_length(text));
}

void *pages_alloc(size_t bytes, const char *purpose)
{
	return hypxe_page_alloc(bytes, purpose, text_length(purpose));
}

uint64_t hv_now(void)
{
	return hypxe_rdmsr(MSR_TIME_REF_COUNT);
}

/* One turn of a wait. What came with the last turn still counts: look once more before this. */
int hv_turn(uint64_t deadline)
{
	if (!hv_undoing && hypxe_cancelled())
		return -ECANCELED;
	if (hv_now() >= deadline)
		return -ETIMEDOUT;
	hypxe_pause();
	return 0;
}

static void set_register(uint32_t msr, uint64_t kept, uint64_t value)
{
	uint64_t old = hypxe_rdmsr(msr);
	if (old != ((old & kept) | value))
		hypxe_wrmsr(msr, (old & kept) | value);
}

/* Whatever an earlier owner has left on */
static void take_over(void)
{
	uint32_t i;

	for (i = 0; (features & HAS_STIMERS) && i < 8; i++)
		set_register(MSR_STIMER0_CONFIG + i, 0, 0);
	for (i = 0; i < SINT_COUNT; i++)
		set_register(MSR_SINT0 + i, SINT_KEPT, SINT_MASKED);
	set_register(MSR_SIEFP, PAGE_KEPT, 0);
	set_register(MSR_SIMP, PAGE_KEPT, 0);
	if (features & HAS_INTR_CONTROL)
		set_register(MSR_VP_ASSIST_PAGE, PAGE_KEPT, 0);
	if (features & HAS_REFERENCE_TSC)
		set_register(MSR_REFERENCE_TSC, PAGE_KEPT, 0);
	set_register(MSR_HYPERCALL, PAGE_KEPT, 0);
}

static void free_page(void **page)
{
	if (*page)
		hypxe_page_free(*page, PAGE_SIZE);
	*page = NULL;
}

static void free_pages(void)
{
	free_page(&input_page);
	free_page(&event_page);
	free_page(&message_page);
	free_page(&hypercall_page);
}

static void enable_page(uint32_t msr, void *page)
{
	set_register(msr, PAGE_KEPT, (uintptr_t)page | PAGE_ENABLE);
}

/* Switch on: identity, hypercall page, SynIC */
static int switch_on(void)
{
	hypxe_wrmsr(MSR_GUEST_OS_ID, OS_ID);
	enable_page(MSR_HYPERCALL, hypercall_page);
	if (!(hypxe_rdmsr(MSR_HYPERCALL) & PAGE_ENABLE))
		return -EIO;
	enable_page(MSR_SIMP, message_page);
	enable_page(MSR_SIEFP, event_page);
	memset(message_page, 0, PAGE_SIZE);
	memset(event_page, 0, PAGE_SIZE);
	hypxe_wrmsr(MSR_SCONTROL, hypxe_rdmsr(MSR_SCONTROL) | 1);
	hv_running = 1;
	return 0;
}

/* Undo switch_on, in reverse, but for SCONTROL. */
static void switch_off(void)
{
	hv_running = 0;
	memset(message_page, 0, PAGE_SIZE);
	memset(event_page, 0, PAGE_SIZE);
#ifndef NO_EVENT_PAGE_OFF
	set_register(MSR_SIEFP, PAGE_KEPT, 0);
#endif
#ifndef NO_MESSAGE_PAGE_OFF
	set_register(MSR_SIMP, PAGE_KEPT, 0);
#endif
#ifndef NO_HYPERCALL_PAGE_OFF
	set_register(MSR_HYPERCALL, PAGE_KEPT, 0);
#endif
#ifndef NO_OS_ID_OFF
	hypxe_wrmsr(MSR_GUEST_OS_ID, 0);
#endif
}

/* Find the hypervisor, and switch on what we need of it. Everything is undone if it fails. */
int hv_probe(void)
{
	struct hypxe_cpuid cpu;
	uint64_t owner;

	/* Check that it is Hyper-V, with what we need: touching what is missing crashes a guest */
	hypxe_cpuid(1, 0, &cpu);
	if (!(cpu.ecx & 0x80000000u))
		return -ENODEV;
	hypxe_cpuid(0x40000001, 0, &cpu);
	if (cpu.eax != 0x31237648) /* Hv#1 */
		return -ENODEV;
	hypxe_cpuid(0x40000003, 0, &cpu);
	if ((cpu.eax & (HAS_HYPERCALL | HAS_SYNIC | HAS_TIME_REF_COUNT)) !=
	    (HAS_HYPERCALL | HAS_SYNIC | HAS_TIME_REF_COUNT))
		return -ENODEV;
	if ((cpu.ebx & (MAY_POST | MAY_SIGNAL)) != (MAY_POST | MAY_SIGNAL))
		return -EACCES;

	/* Check that it is ours to take */
	owner = hypxe_rdmsr(MSR_GUEST_OS_ID);
	if (owner == OS_ID_UEFI || (hypxe_rdmsr(MSR_HYPERCALL) & HYPERCALL_LOCKED))
		return -ENOTSUP;
	old_scontrol = hypxe_rdmsr(MSR_SCONTROL);
	features = cpu.eax;
	take_over();

	/* Allocate pages */
	hypercall_page = pages_alloc(PAGE_SIZE, "hypercall page");
	message_page = pages_alloc(PAGE_SIZE, "message page");
	event_page = pages_alloc(PAGE_SIZE, "event page");
	input_page = pages_alloc(PAGE_SIZE, "hypercall input");
	if (!hypercall_page || !message_page || !event_page || !input_page) {
		free_pages();
		/* An earlier owner's: its pages are off already */
		set_register(MSR_GUEST_OS_ID, 0, 0);
		return -ENOMEM;
	}

	if (switch_on()) {
		hv_remove();
		return -EIO;
	}
	return 0;
}

/* Undo hv_probe, in reverse: never fails. */
void hv_remove(void)
{
	if (!(old_scontrol & 1))
		set_register(MSR_SCONTROL, ~1ull, 0);
	switch_off();
	free_pages();
}

/*
 * Leave the machine to somebody else for a while. SCONTROL stays on: with it off under a connection
 * Windows Server 2016 waits for ever.
 */
void hv_quiesce(void)
{
	if (!hv_running)
		return;
	hv_disable_sint();
	switch_off();
}

/* Take the machine back: 1; 0 if it was not left, or if somebody has it; or a negative errno. */
int hv_unquiesce(void)
{
	if (hv_running || !message_page || (hypxe_rdmsr(MSR_SIMP) & PAGE_ENABLE))
		return 0;
	/* Whoever had it may have left it as any earlier owner */
	take_over();
	if (switch_on()) {
		switch_off();
		return -EIO;
	}
	return 1;
}

void hv_enable_sint(void)
{
	set_register(MSR_SINT0 + SINT, SINT_KEPT, SINT_VECTOR | SINT_AUTO_EOI);
	hypxe_wrmsr(MSR_EOM, 0);
}

void hv_disable_sint(void)
{
#ifndef NO_SINT_OFF
	set_register(MSR_SINT0 + SINT, SINT_KEPT, SINT_MASKED);
#endif
}

static uint32_t call(uint32_t code)
{
	uint64_t input = (uintptr_t)input_page;
	return hypxe_hypercall((uintptr_t)hypercall_page, code, input, 0) & 0xffff;
}

/* Post a message. The host may be out of buffers for a while. */
int hv_post(uint32_t type, const void *data, size_t length)
{
	struct post_message *input = input_page;
	uint32_t attempt, status;

	if (!hv_undoing && hypxe_cancelled())
		return -ECANCELED;
	for (attempt = 0; attempt < POST_TRIES; attempt++) {
		memset(input, 0, sizeof(*input));
		input->connection = HV_CONNECTION_MESSAGE;
		input->type = type;
		input->length = length;
		memcpy(input->data, data, length);
		status = call(HV_CALL_POST_MESSAGE);
		if (status == 0)
			return 0;
		if (!IS_LATER(status))
			break;
		hypxe_delay(1000u << attempt);
	}
	say(SAY_ERROR, "the host refuses a message");
	return -EIO;
}

int hv_signal(uint32_t connection)
{
	uint32_t *input = input_page;
	input[0] = connection;
	input[1] = 0;
	return call(HV_CALL_SIGNAL_EVENT) == 0 ? 0 : -EIO;
}

/* Take a message, if there is one: it is copied before anybody looks at it. */
int hv_receive(struct hv_message *message)
{
	struct message_slot *slot = (struct message_slot *)message_page + SINT;
	uint32_t i;
	int taken = 0;

	memset(message, 0, sizeof(*message));
	message->type = slot->type;
	if (message->type != 0) {
		hypxe_barrier(0);
		message->length = slot->length;
		if (message->length > HV_MESSAGE_MAX)
			message->length = HV_MESSAGE_MAX;
		for (i = 0; i < message->length; i++)
			message->data[i] = slot->data[i];
		/* Only then may the next one come */
		hypxe_barrier(2);
		slot->type = 0;
		hypxe_barrier(2);
		taken = 1;
	}
	if (slot->flags & 1) {
		slot->flags = 0;
		hypxe_wrmsr(MSR_EOM, 0);
	}
	return taken;
}
