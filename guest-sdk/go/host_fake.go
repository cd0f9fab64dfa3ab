//go:build !wasip1

package fusebox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Host is the fake host of native tests. It answers from what a test supplies; its namespace has the host's conditions,
// revisions and times to live. It is for one goroutine.
type Host struct {
	// Settings are configuration values.
	Settings map[string]string
	// Secrets are the function's secrets.
	Secrets map[string]string
	// Responses are answers to requests, by method and URL such as "GET https://api.example.com/rate". Those of one
	// request are used in turn, and the last one repeatedly; a request without one is refused.
	Responses map[string][]Response
	// Requests are the requests that the function has sent, oldest first.
	Requests []Request
	// Lines are the lines that it has logged.
	Lines []string
	// Refusal, if it is not 0, is the answer to every call that requires a grant.
	Refusal Refusal
	// Now is the time of times to live; it passes only when a test changes it.
	Now time.Time

	entries map[string]fakeEntry
	last    int64
	answer  []byte
}

type fakeEntry struct {
	value    []byte
	revision int64
	until    time.Time
}

var fake = NewHost()

// NewHost returns an empty host.
func NewHost() *Host {
	return &Host{
		Settings:  map[string]string{},
		Secrets:   map[string]string{},
		Responses: map[string][]Response{},
		Now:       time.Unix(0, 0),
		entries:   map[string]fakeEntry{},
	}
}

// Fake replaces the host of native tests by an empty one, and returns it.
func Fake() *Host {
	fake = NewHost()
	return fake
}

func (h *Host) said(answer []byte) int64 {
	h.answer = answer
	return int64(len(answer))
}

func (h *Host) setting(values map[string]string, name []byte) int64 {
	if h.Refusal != 0 {
		return int64(h.Refusal)
	}
	value, ok := values[string(name)]
	if !ok {
		return int64(Absent)
	}
	return h.said([]byte(value))
}

// current returns an entry that has not expired.
func (h *Host) current(key []byte) (fakeEntry, bool) {
	entry, ok := h.entries[string(key)]
	if ok && !entry.until.IsZero() && !h.Now.Before(entry.until) {
		delete(h.entries, string(key))
		return fakeEntry{}, false
	}
	return entry, ok
}

func hostAnswer(int64) []byte       { return append([]byte(nil), fake.answer...) }
func hostContext() []byte           { return []byte("\n1\n0\ndefault\nfunction\n") }
func hostConfig(name []byte) int64  { return fake.setting(fake.Settings, name) }
func hostSecret(name []byte) int64  { return fake.setting(fake.Secrets, name) }
func hostLog(_ uint32, text []byte) { fake.Lines = append(fake.Lines, string(text)) }

func hostFail(text []byte) {
	fmt.Fprintf(os.Stderr, "%s\n", text)
	panic("the function has failed: " + string(text))
}

// Bounds of keys and values.
const (
	keyBytesMax   = 512
	valueBytesMax = 64 << 10
)

func hostGet(key []byte) int64 {
	if refusal := checked(key, nil); refusal != 0 {
		return refusal
	}
	entry, ok := fake.current(key)
	if !ok {
		return int64(Absent)
	}
	return fake.said(append(binary.LittleEndian.AppendUint64(nil, uint64(entry.revision)), entry.value...))
}

func checked(key, value []byte) int64 {
	switch {
	case fake.Refusal != 0:
		return int64(fake.Refusal)
	case len(key) == 0:
		return int64(Invalid)
	case len(key) > keyBytesMax || len(value) > valueBytesMax:
		return int64(TooLarge)
	}
	return 0
}

func hostSet(key, value []byte, ttlMs, expects int64) int64 {
	if refusal := checked(key, value); refusal != 0 {
		return refusal
	}
	entry, _ := fake.current(key)
	if expects != Anything && expects != entry.revision {
		return int64(Conflict)
	}
	fake.last++
	next := fakeEntry{value: append([]byte(nil), value...), revision: fake.last}
	if ttlMs > 0 {
		next.until = fake.Now.Add(time.Duration(ttlMs) * time.Millisecond)
	}
	fake.entries[string(key)] = next
	return fake.last
}

func hostDelete(key []byte, expects int64) int64 {
	if refusal := checked(key, nil); refusal != 0 {
		return refusal
	}
	entry, ok := fake.current(key)
	if expects != Anything && expects != entry.revision {
		return int64(Conflict)
	}
	delete(fake.entries, string(key))
	if ok {
		return 1
	}
	return 0
}

// Keys of one page.
const pageKeys = 64

func hostKeys(prefix, after []byte) int64 {
	if fake.Refusal != 0 {
		return int64(fake.Refusal)
	}
	var keys []string
	for key := range fake.entries {
		if _, ok := fake.current([]byte(key)); ok && strings.HasPrefix(key, string(prefix)) && key > string(after) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	end := ""
	if len(keys) > pageKeys {
		keys = keys[:pageKeys]
		end = keys[pageKeys-1]
	}
	var page []byte
	for _, text := range append([]string{end}, keys...) {
		page = binary.LittleEndian.AppendUint32(page, uint32(len(text)))
		page = append(page, text...)
	}
	return fake.said(page)
}

func hostHTTP(message []byte) int64 {
	if fake.Refusal != 0 {
		return int64(fake.Refusal)
	}
	head, body, _ := bytes.Cut(message, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	method, url, ok := strings.Cut(lines[0], " ")
	if !ok {
		return int64(Invalid)
	}
	request := Request{Method: method, URL: url, Header: map[string]string{}, Body: append([]byte(nil), body...)}
	for _, line := range lines[1:] {
		if name, value, ok := strings.Cut(line, ":"); ok {
			request.Header[name] = strings.TrimSpace(value)
		}
	}
	fake.Requests = append(fake.Requests, request)
	responses := fake.Responses[lines[0]]
	if len(responses) == 0 {
		return int64(Refused)
	}
	if len(responses) > 1 {
		fake.Responses[lines[0]] = responses[1:]
	}
	answer := strconv.AppendInt(nil, int64(responses[0].Status), 10)
	for name, value := range responses[0].Header {
		answer = append(answer, "\n"+strings.ToLower(name)+": "+value...)
	}
	return fake.said(append(append(answer, "\n\n"...), responses[0].Body...))
}
