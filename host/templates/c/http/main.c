/* Greets the person named in the query of a request. Requests arrive as CGI: the head in variables, the body on stdin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value == NULL ? "" : value;
}

static int answer(int status, const char *start, const char *name, const char *end) {
    printf("Status: %d\nContent-Type: text/plain; charset=utf-8\n\n%s%s%s", status, start, name, end);
    return 0;
}

int main(void) {
    const char *query = variable("QUERY_STRING");
    if (strcmp(variable("REQUEST_METHOD"), "GET") != 0 || strcmp(variable("PATH_INFO"), "/") != 0) {
        return answer(404, "no such page", "", "");
    }
    if (strncmp(query, "name=", 5) != 0 || query[5] == '\0') {
        return answer(400, "name whom to greet: ?name=Ada", "", "");
    }
    return answer(200, "Hello, ", query + 5, "!");
}
