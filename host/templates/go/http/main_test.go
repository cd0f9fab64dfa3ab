package main

import "testing"

func TestItGreetsByName(t *testing.T) {
	if status, text := greet("GET", "/", "name=Ada"); status != 200 || text != "Hello, Ada!" {
		t.Fatal(status, text)
	}
}
