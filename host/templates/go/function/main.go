// Greets the person named in the input. The input is stdin, the output stdout, and what is written to stderr the log.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func greet(input string) (string, error) {
	name := strings.TrimSpace(input)
	if name == "" {
		return "", errors.New("the input is a name, and it is empty")
	}
	return "Hello, " + name + "!", nil
}

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err == nil {
		var output string
		output, err = greet(string(input))
		fmt.Print(output)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
