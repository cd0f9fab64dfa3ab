/* Greets the person named in the input. The input is stdin, the output stdout, and what is written to stderr the log. */
#include <ctype.h>
#include <stdio.h>

int main(void) {
    char name[256];
    size_t length = fread(name, 1, sizeof name - 1, stdin);
    while (length > 0 && isspace((unsigned char)name[length - 1])) length--;
    name[length] = '\0';
    if (length == 0) {
        fputs("the input is a name, and it is empty\n", stderr);
        return 1;
    }
    printf("Hello, %s!", name);
    return 0;
}
