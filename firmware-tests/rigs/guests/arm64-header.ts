// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What makes an arm64 guest of the example in C: included in front of each of its sources. What
 * they ask of an x64 processor is asked by HVC instead (SMCCC, HvGetVpRegisters, HvSetVpRegisters;
 * Linux arch/arm64/hyperv); the rest of them stays as it is. There is no hypercall page: the
 * register is a variable.
 */
export const ARM64_HEADER = `#ifndef ARM64_H
#define ARM64_H

#include "hypxe.h"

static inline uint64_t arm64_call(uint64_t *x, uint64_t control, uint64_t first, uint64_t second,
				  uint64_t third, uint64_t fifth)
{
	x[0] = 0x46000001;
	x[1] = control;
	x[2] = first;
	x[3] = second;
	x[4] = third;
	x[6] = fifth;
	hypxe_hvc(0, x);
	return x[0];
}

/* The register of an MSR. */
static inline uint32_t arm64_number(uint32_t msr)
{
	if (msr == 0x40000000) /* GUEST_OS_ID */
		return 0x90002;
	if (msr == 0x40000020) /* TIME_REF_COUNT */
		return 0x90004;
	if (msr == 0x40000021) /* REFERENCE_TSC */
		return 0x90017;
	if (msr == 0x40000073) /* VP_ASSIST_PAGE */
		return 0x90013;
	if (msr >= 0x400000b0) /* STIMER0_CONFIG */
		return msr - 0x400000b0 + 0xb0000;
	if (msr >= 0x40000090) /* SINT0 */
		return msr - 0x40000090 + 0xa0000;
	return msr - 0x40000080 + 0xa0010; /* SCONTROL */
}

static uint64_t arm64_hypercall_register;

static inline uint64_t arm64_rdmsr(uint32_t msr)
{
	uint64_t x[18] = { 0 };

	if (msr == 0x40000001) /* HYPERCALL */
		return arm64_hypercall_register;
	if (arm64_call(x, 0x100010050, ~0ull, 0xfffffffe, arm64_number(msr), 0) != 0x100000000)
		__builtin_trap();
	return x[6];
}

static inline void arm64_wrmsr(uint32_t msr, uint64_t value)
{
	uint64_t x[18] = { 0 };

	if (msr == 0x40000001) {
		arm64_hypercall_register = value;
		return;
	}
	/* The PPI of the ACPI tables, and no AUTO_EOI: there is none */
	if (msr == 0x40000092 && !(value & 0x10000))
		value = (value & ~0x200ffull) | 18;
	if (arm64_call(x, 0x100010051, ~0ull, 0xfffffffe, arm64_number(msr), value) != 0x100000000)
		__builtin_trap();
}

static inline uint64_t arm64_hypercall(uint64_t page, uint64_t control, uint64_t input,
				       uint64_t output)
{
	uint64_t x[18] = { 0 };

	(void)page;
	return arm64_call(x, control, input, output, 0, 0);
}

static inline void arm64_cpuid(uint32_t leaf, uint32_t subleaf, struct hypxe_cpuid *out)
{
	uint64_t x[18] = { 0x8600ff01 };

	(void)subleaf;
	out->eax = out->ebx = out->ecx = out->edx = 0;
	if (leaf == 0x40000003) { /* what it says on x64 is a register */
		if (arm64_call(x, 0x100010050, ~0ull, 0xfffffffe, 0x200, 0) != 0x100000000)
			__builtin_trap();
		out->eax = x[6];
		out->ebx = x[6] >> 32;
		return;
	}
	hypxe_hvc(0, x);
	if ((uint32_t)x[0] != 0x4d32ba58 || (uint32_t)x[1] != 0xcd244764)
		return;
	out->eax = 0x31237648;
	out->ecx = 0x80000000;
}

#define hypxe_cpuid(leaf, subleaf, out) arm64_cpuid(leaf, subleaf, out)
#define hypxe_rdmsr arm64_rdmsr
#define hypxe_wrmsr arm64_wrmsr
#define hypxe_hypercall arm64_hypercall

#endif
`;
