/* SPDX-License-Identifier: BSD-2-Clause */
/* What compilers call by themselves: there is no library here. */
#include "hyperv.h"

void *memset(void *to, int value, size_t length)
{
	uint8_t *bytes = to;
	while (length--)
		*bytes++ = (uint8_t)value;
	return to;
}

void *memcpy(void *to, const void *from, size_t length)
{
	uint8_t *bytes = to;
	const uint8_t *source = from;
	while (length--)
		*bytes++ = *source++;
	return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
	const uint8_t *first = a, *second = b;
	for (; length--; first++, second++)
		if (*first != *second)
			return *first - *second;
	return 0;
}
