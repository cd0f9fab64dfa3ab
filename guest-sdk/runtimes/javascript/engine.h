/* Included before the engine's sources. On WASI the engine does not bound its stack, so that deep recursion would end the
 * run; with all that depends on the system included first, it bounds it as elsewhere, and throws a RangeError. */
#include <alloca.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#undef __wasi__
