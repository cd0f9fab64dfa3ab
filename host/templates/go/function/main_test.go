package main

import "testing"

func TestItGreetsByName(t *testing.T) {
	if output, err := greet("Ada\n"); err != nil || output != "Hello, Ada!" {
		t.Fatal(output, err)
	}
}
