// Greets the person named in the query of a request. Requests arrive as CGI: the head in variables, the body on stdin.
package main

import (
	"fmt"
	"net/url"
	"os"
)

func greet(method, path, query string) (int, string) {
	if method != "GET" || path != "/" {
		return 404, "no such page"
	}
	values, err := url.ParseQuery(query)
	if name := values.Get("name"); err == nil && name != "" {
		return 200, "Hello, " + name + "!"
	}
	return 400, "name whom to greet: ?name=Ada"
}

func main() {
	status, text := greet(os.Getenv("REQUEST_METHOD"), os.Getenv("PATH_INFO"), os.Getenv("QUERY_STRING"))
	fmt.Printf("Status: %d\nContent-Type: text/plain; charset=utf-8\n\n%s", status, text)
}
