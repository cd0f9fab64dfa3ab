/* Divides the numbers of stdin. A division by zero goes back over two frames with longjmp. */
#include <setjmp.h>
#include <stdio.h>

static jmp_buf failed;

static int divided(int by) {
    if (by == 0) longjmp(failed, 7);
    return 84 / by;
}

static void report(int by) { printf("84 / %d = %d\n", by, divided(by)); }

int main(void) {
    int by;
    while (scanf("%d", &by) == 1) {
        int code = setjmp(failed);
        if (code == 0) report(by);
        else printf("84 / %d fails with %d\n", by, code);
    }
    return 0;
}
