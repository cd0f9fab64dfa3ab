// Prints its arguments, a variable, a file and stdin.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	started := time.Now()
	file, err := os.ReadFile("/greeting.txt")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Printf("%s %s, %s: %s\n", strings.TrimSpace(string(file)), in.Text(), os.Getenv("MOOD"), strings.Join(os.Args[1:], "+"))
	}
	if time.Since(started) < 0 {
		os.Exit(2)
	}
}
