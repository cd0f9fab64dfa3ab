// Package fusebox has the host's calls for functions written in Go: configuration, secrets, a key-value namespace and
// HTTP requests, each by its grant, beside the task, the log and errors, which need none. In native tests the calls are
// answered by a fake host, with what the test supplies: see Fake.
//
// A function is a command: its input is on stdin, its output goes to stdout. Build it with GOOS=wasip1 GOARCH=wasm.
package fusebox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Refusal is the reason for which the host did not do what was called. Compare with errors.Is.
type Refusal int64

// Refusals of the host.
const (
	Absent      Refusal = -1 // the value does not exist
	Conflict    Refusal = -2 // the entry does not meet the expected condition
	TooLarge    Refusal = -3 // a size limit is exceeded
	Quota       Refusal = -4 // the quota is used up
	Refused     Refusal = -5 // the call is not granted, or the address is not allowed
	Unavailable Refusal = -6 // the service is temporarily unavailable
	TimedOut    Refusal = -7 // no answer arrived in time
	Invalid     Refusal = -8 // the call is malformed
)

// Error returns the refusal as a sentence.
func (r Refusal) Error() string {
	words := map[Refusal]string{
		Absent:      "the value does not exist",
		Conflict:    "the entry does not meet the expected condition",
		TooLarge:    "a size limit is exceeded",
		Quota:       "the quota is used up",
		Refused:     "the call is not allowed",
		Unavailable: "the service is temporarily unavailable",
		TimedOut:    "no answer arrived in time",
		Invalid:     "the call is malformed",
	}
	if text, ok := words[r]; ok {
		return text
	}
	return fmt.Sprintf("the host refused the call with %d", int64(r))
}

// Conditions on the current entry of a change; any other number is the revision that the entry must have.
const (
	Anything int64 = -1
	Nothing  int64 = 0
)

// Entry is a value of the key-value namespace. Its revision changes with each set.
type Entry struct {
	Value    []byte
	Revision int64
}

// Config returns a configuration value; an error of Absent if there is none. It requires the grant config.
func Config(name string) (string, error) {
	value, err := answered(hostConfig([]byte(name)))
	return string(value), err
}

// Secret returns a secret; an error of Absent if there is none. It requires the grant secrets.
func Secret(name string) (string, error) {
	value, err := answered(hostSecret([]byte(name)))
	return string(value), err
}

// Get returns an entry; an error of Absent if there is none. It requires the grant kv.
func Get(key string) (Entry, error) {
	bytes, err := answered(hostGet([]byte(key)))
	if err != nil {
		return Entry{}, err
	}
	if len(bytes) < 8 {
		return Entry{}, Unavailable
	}
	return Entry{Value: bytes[8:], Revision: int64(binary.LittleEndian.Uint64(bytes))}, nil
}

// Set writes an entry if the current one meets the condition, and returns its revision. It lives for ttl, or for ever if
// that is 0. It requires the grant kv.
func Set(key string, value []byte, ttl time.Duration, expects int64) (int64, error) {
	return number(hostSet([]byte(key), value, ttl.Milliseconds(), expects))
}

// Update changes an entry by a function of its value, nil if there is none, and repeats that if another run changes the
// entry meanwhile. It requires the grant kv.
func Update(key string, change func(old []byte) []byte) error {
	for {
		entry, err := Get(key)
		if err != nil && !errors.Is(err, Absent) {
			return err
		}
		if _, err = Set(key, change(entry.Value), 0, entry.Revision); !errors.Is(err, Conflict) {
			return err
		}
	}
}

// Delete deletes an entry if it meets the condition, and returns whether there was one. It requires the grant kv.
func Delete(key string, expects int64) (bool, error) {
	deleted, err := number(hostDelete([]byte(key), expects))
	return deleted == 1, err
}

// Keys returns all keys that start with prefix, in no order. It requires the grant kv.
func Keys(prefix string) ([]string, error) {
	var keys []string
	var after []byte
	for {
		page, err := answered(hostKeys([]byte(prefix), after))
		if err != nil {
			return nil, err
		}
		texts := split(page)
		if len(texts) == 0 {
			return keys, nil
		}
		for _, key := range texts[1:] {
			keys = append(keys, string(key))
		}
		if after = texts[0]; len(after) == 0 {
			return keys, nil
		}
	}
}

// split returns the texts behind their lengths.
func split(page []byte) [][]byte {
	var texts [][]byte
	for len(page) >= 4 {
		length := binary.LittleEndian.Uint32(page)
		page = page[4:]
		if uint64(length) > uint64(len(page)) {
			break
		}
		texts = append(texts, page[:length])
		page = page[length:]
	}
	return texts
}

// Request is an HTTP request to another host.
type Request struct {
	Method string
	URL    string
	Header map[string]string
	Body   []byte
}

// Response is the answer to a Request. Names of headers are in lower case.
type Response struct {
	Status int
	Header map[string]string
	Body   []byte
}

// Send sends a request. It requires the grant http for the host.
func Send(request Request) (Response, error) {
	var message bytes.Buffer
	fmt.Fprintf(&message, "%s %s\n", request.Method, request.URL)
	for name, value := range request.Header {
		fmt.Fprintf(&message, "%s: %s\n", name, value)
	}
	message.WriteByte('\n')
	message.Write(request.Body)
	answer, err := answered(hostHTTP(message.Bytes()))
	if err != nil {
		return Response{}, err
	}
	return parse(answer)
}

func parse(answer []byte) (Response, error) {
	head, body, found := bytes.Cut(answer, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	status, err := strconv.Atoi(lines[0])
	if !found || err != nil {
		return Response{}, Unavailable
	}
	response := Response{Status: status, Header: map[string]string{}, Body: body}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		response.Header[strings.ToLower(name)] = strings.TrimSpace(value)
	}
	return response, nil
}

// Task is what a run knows of itself.
type Task struct {
	ID       string // empty for a run without a task
	Attempt  int
	Deadline time.Time
	Tenant   string
	Function string
}

// Current returns the task of this run.
func Current() Task {
	lines := strings.Split(string(hostContext()), "\n")
	for len(lines) < 5 {
		lines = append(lines, "")
	}
	attempt, _ := strconv.Atoi(lines[1])
	deadline, _ := strconv.ParseInt(lines[2], 10, 64)
	return Task{ID: lines[0], Attempt: attempt, Deadline: time.UnixMilli(deadline), Tenant: lines[3], Function: lines[4]}
}

// Levels of the log.
const (
	Error uint32 = iota + 1
	Warn
	Info
	Debug
	Trace
)

// Log appends a line to the log.
func Log(level uint32, text string) {
	hostLog(level, []byte(text))
}

// Fail ends the run with this error.
func Fail(text string) {
	hostFail([]byte(text))
}

// answered returns the bytes of a call's result.
func answered(result int64) ([]byte, error) {
	if result < 0 {
		return nil, Refusal(result)
	}
	return hostAnswer(result), nil
}

func number(result int64) (int64, error) {
	if result < 0 {
		return 0, Refusal(result)
	}
	return result, nil
}
