/* SPDX-License-Identifier: BSD-2-Clause */
/* bits/hyperv.h: the hypercall, as the machine has it. */
#ifndef _BITS_HYPERV_H
#define _BITS_HYPERV_H

#include "shim.h"

static inline int hv_call(struct hv_hypervisor *hv, unsigned int code, const void *in, void *out)
{
	return hypxe_hypercall((uintptr_t)hv->hypercall, code, (uintptr_t)in, (uintptr_t)out) &
	       0xffff;
}

/* One step, as an interrupted processor must have it (9bab13a77) */
static inline void hv_set_bit(void *bits, unsigned int bit)
{
	set_bit(bit, bits);
}

#endif
