/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmbus.c has structures that end in an array of as many pages as a variable says, which clang does
 * not have. Here the array has one page more than fits into a message, and the sizes of these
 * structures are what they would be. It is the name of the variable that makes it so: it comes six
 * times, in two functions: declared, in the structure, and in a loop.
 */
#ifndef ARRAYS_H
#define ARRAYS_H

#define SHIM_PFNS_MAX 27
#define SHIM_PASTE_(a, b) a##b
#define SHIM_PASTE(a, b) SHIM_PASTE_(a, b)
#define pfn_count SHIM_PASTE(SHIM_PFNS_, __COUNTER__)
#define SHIM_PFNS_0 shim_pfns
#define SHIM_PFNS_1 SHIM_PFNS_MAX
#define SHIM_PFNS_2 shim_pfns
#define SHIM_PFNS_3 shim_pfns
#define SHIM_PFNS_4 SHIM_PFNS_MAX
#define SHIM_PFNS_5 shim_pfns

/* Elsewhere sizes are as they are */
enum { shim_pfns = SHIM_PFNS_MAX };

/* The array, behind the headers of a GPADL, and of a packet */
#define SHIM_ENDS_IN_PAGES(size) \
	((size) == 8 * SHIM_PFNS_MAX || (size) == 28 + 8 * SHIM_PFNS_MAX || \
	 (size) == 32 + 8 * SHIM_PFNS_MAX)
#define sizeof(...) \
	(sizeof(__VA_ARGS__) - \
	 (SHIM_ENDS_IN_PAGES(sizeof(__VA_ARGS__)) ? 8 * (SHIM_PFNS_MAX - shim_pfns) : 0))

#endif
