//go:build !wasip1

package fusebox

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestSettingsAreReadAndAbsentOnesNamed(t *testing.T) {
	host := Fake()
	host.Settings["COLOR"] = "red"
	host.Secrets["KEY"] = "hunter2"
	if value, err := Config("COLOR"); value != "red" || err != nil {
		t.Fatal(value, err)
	}
	if value, err := Secret("KEY"); value != "hunter2" || err != nil {
		t.Fatal(value, err)
	}
	if _, err := Config("SIZE"); !errors.Is(err, Absent) {
		t.Fatal(err)
	}
	host.Refusal = Refused
	if _, err := Secret("KEY"); !errors.Is(err, Refused) || err.Error() != "the call is not allowed" {
		t.Fatal(err)
	}
}

func TestEntriesHaveConditionsRevisionsAndTimes(t *testing.T) {
	host := Fake()
	first, err := Set("a", []byte("1"), 0, Nothing)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Set("a", []byte("2"), 0, Nothing); !errors.Is(err, Conflict) {
		t.Fatal(err)
	}
	if err = Update("a", func(old []byte) []byte { return append(old, '2') }); err != nil {
		t.Fatal(err)
	}
	entry, err := Get("a")
	if string(entry.Value) != "12" || entry.Revision == first || err != nil {
		t.Fatal(entry, err)
	}
	if _, err = Set("soon", nil, time.Second, Anything); err != nil {
		t.Fatal(err)
	}
	host.Now = host.Now.Add(time.Second)
	if _, err = Get("soon"); !errors.Is(err, Absent) {
		t.Fatal(err)
	}
	if deleted, err := Delete("a", Anything); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	if _, err = Get(""); !errors.Is(err, Invalid) {
		t.Fatal(err)
	}
}

func TestKeysOfAllPagesAreListed(t *testing.T) {
	Fake()
	for number := 0; number < 150; number++ {
		if _, err := Set(fmt.Sprintf("k%d", number), nil, 0, Anything); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := Keys("k1"); len(keys) != 61 || err != nil {
		t.Fatal(len(keys), err)
	}
	if keys, err := Keys("none"); len(keys) != 0 || err != nil {
		t.Fatal(keys, err)
	}
}

func TestRequestsAreAnsweredInTurn(t *testing.T) {
	host := Fake()
	line := "POST https://api.example.com/"
	host.Responses[line] = []Response{{Status: 503}, {Status: 200, Header: map[string]string{"X-A": "b"}, Body: []byte("ok")}}
	request := Request{Method: "POST", URL: "https://api.example.com/", Header: map[string]string{"x": "y"}, Body: []byte("in")}
	for _, status := range []int{503, 200, 200} {
		response, err := Send(request)
		if response.Status != status || err != nil {
			t.Fatal(response, err)
		}
		if status == 200 && (response.Header["x-a"] != "b" || string(response.Body) != "ok") {
			t.Fatal(response)
		}
	}
	if sent := host.Requests[0]; sent.Header["x"] != "y" || string(sent.Body) != "in" {
		t.Fatal(sent)
	}
	if _, err := Send(Request{Method: "GET", URL: "https://other.example.com/"}); !errors.Is(err, Refused) {
		t.Fatal(err)
	}
}

func TestTaskAndLog(t *testing.T) {
	host := Fake()
	if task := Current(); task.Attempt != 1 || task.Tenant != "default" {
		t.Fatal(task)
	}
	Log(Info, "a line")
	if len(host.Lines) != 1 || host.Lines[0] != "a line" {
		t.Fatal(host.Lines)
	}
}
