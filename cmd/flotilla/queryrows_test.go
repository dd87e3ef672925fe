package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
)

func pointsTable(t *testing.T, format, answer string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := printer{w: &out, format: format, colour: true}.points(strings.NewReader(answer))
	return out.String(), err
}

func TestPointsAreRowsWithAColumnOfEachField(t *testing.T) {
	const answer = `{"id":"a","time":"2026-01-01T00:00:00Z","z":1.5,"i":{"i":-3}}
{"id":"b","time":"2026-01-01T00:00:00.5Z","b":true,"u":{"u":18446744073709551615},"$id":"x"}
`
	got, err := pointsTable(t, outputTable, answer)
	want := `id  time                       b   i  id                     u    z
a   2026-01-01T00:00:00Z       -  -3   -                     -  1.5
b   2026-01-01T00:00:00.5Z  true   -   x  18446744073709551615    -
2 points of 2 devices
`
	if got != want || err != nil {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if got, err := pointsTable(t, outputTable, ""); got != "0 points of 0 devices\n" || err != nil {
		t.Errorf("nothing: %q %v", got, err)
	}
	if got, err := pointsTable(t, outputName, answer+answer); got != "a\nb\na\nb\n" || err != nil {
		t.Errorf("names: %q %v", got, err)
	}
}

// What somebody wrote must neither command the terminal nor look like what Flotilla says.
func TestDeviceDataIsShownAndNotObeyed(t *testing.T) {
	got, err := pointsTable(t, outputTable, `{"id":"down\u001b[2J\n","time":1,"\u202ef":"a\tb\u0007\r\u009b","s":"down"}`)
	if err != nil || !strings.Contains(got, `down\x1b[2J\n`) || !strings.Contains(got, `a\tb\x07\r\x9b`) || !strings.Contains(got, `\u202ef`) ||
		strings.ContainsAny(got, "\x1b\x07\r\t\u009b\u202e") || strings.Count(got, "\n") != 3 {
		t.Errorf("%v %q", err, got)
	}
	var out bytes.Buffer
	states := &table{columns: []column{{heading: "NAME"}, {heading: "STATE", colours: stateColours}}}
	states.add("down", "down")
	if err := (printer{w: &out, format: outputTable, colour: true}).table(states); err != nil || !strings.HasSuffix(out.String(), "down  \x1b[31mdown\x1b[0m\n") {
		t.Errorf("%v %q", err, out.String())
	}
}

// answering gives lines for as long as it is asked, and counts them.
type answering struct {
	lines int
	line  func(n int) string
	left  string
}

func (a *answering) Read(b []byte) (int, error) {
	if a.left == "" {
		a.left = a.line(a.lines)
		a.lines++
	}
	n := copy(b, a.left)
	a.left = a.left[n:]
	return n, nil
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestALongAnswerIsPrintedAsItComes(t *testing.T) {
	endless := &answering{line: func(n int) string { return fmt.Sprintf("{\"id\":\"a\",\"time\":%d,\"f\":%d}\n", n, n) }}
	err := printer{w: closedPipe{}, format: outputTable}.points(endless)
	if !errors.Is(err, io.ErrClosedPipe) || endless.lines > 20*sampleRows {
		t.Errorf("a reader that went away: %v after %d lines", err, endless.lines)
	}
	var b strings.Builder
	for n := range sampleRows + 2 {
		fmt.Fprintf(&b, "{\"id\":\"a\",\"time\":%d,\"f\":1}\n", n)
	}
	b.WriteString("{\"id\":\"a much longer id\",\"time\":1,\"f\":123456,\"late\":1}\n")
	got, err := pointsTable(t, outputTable, b.String())
	end := "\nid  time                            f  late\na much longer id  1970-01-01T00:00:00.000000001Z  123456     1\n1003 points of 2 devices\n"
	if err != nil || !strings.HasSuffix(got, end) {
		t.Errorf("%v, it ends\n%s", err, got[max(0, len(got)-300):])
	}
}

func TestAnAnswerThatBreaksOffSaysWhy(t *testing.T) {
	const row = `{"id":"a","time":1,"error":2}` + "\n"
	got, err := pointsTable(t, outputTable, row+`{"error":{"type":"x","title":"t","status":503,"detail":"no leader","code":"no_leader","hint":"retry"}}`+"\n")
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.NoLeader || !strings.Contains(got, "\na ") || strings.Contains(got, "1 point") {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err = pointsTable(t, outputTable, row+row[:12]); err == nil || !strings.Contains(got, "\na ") {
		t.Errorf("%v\n%s", err, got)
	}
}
