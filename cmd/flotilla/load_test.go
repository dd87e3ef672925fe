package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage"
)

// scriptedWriter answers one error after the other, and nil when they are used up.
type scriptedWriter struct {
	errs    []error
	batches []int // points of each call
}

func (w *scriptedWriter) Write(_ context.Context, points []storage.Point) (int, error) {
	w.batches = append(w.batches, len(points))
	if len(w.errs) > 0 {
		err := w.errs[0]
		w.errs = w.errs[1:]
		if err != nil {
			return 0, err
		}
	}
	return len(points), nil
}

func load(t *testing.T, w *scriptedWriter, text string) (*writeReport, error) {
	t.Helper()
	in, err := lineproto.Open(strings.NewReader(text), lineproto.Options{Database: "d"})
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{to: w, limit: 2, tick: func(*writeReport) {}}
	err = l.run(t.Context(), in)
	return &l.report, err
}

// fiveLines has a bad line 3.
const fiveLines = "c,host=a v=1 1\nc,host=a v=2 2\nc,host=a v= 3\nc,host=a v=4 4\nc,host=a v=5 5\n"

func describe(r *writeReport) string {
	unsent := "-"
	if r.Unsent != nil {
		unsent = fmt.Sprint(*r.Unsent)
	}
	return fmt.Sprintf("written %d refused %d unknown %d unsent %s", r.Written, r.Refused, r.Unknown, unsent)
}

func TestReportCountsEveryLineOnce(t *testing.T) {
	unknown := api.E(api.OutcomeUnknown, "", "broke")
	invalid := api.E(api.InvalidPoints, "", "bad")
	invalid.Points = []api.PointError{{Index: 1, Reason: "too large"}}
	nameless := api.E(api.InvalidPoints, "", "bad")
	nameless.Points = []api.PointError{{Index: 7}}
	for name, test := range map[string]struct {
		errs []error
		want string
		fail bool
	}{
		"AllWell":                {nil, "written 4 refused 1 unknown 0 unsent -", false},
		"NotApplied":             {[]error{nil, api.E(api.NoLeader, "", "none")}, "written 2 refused 1 unknown 0 unsent 4", true},
		"Unknown":                {[]error{nil, unknown}, "written 2 refused 1 unknown 2 unsent 6", true},
		"ErrorOfAnotherKind":     {[]error{errors.New("?")}, "written 0 refused 0 unknown 2 unsent 3", true},
		"NodeRefusesOnePoint":    {[]error{invalid}, "written 3 refused 2 unknown 0 unsent -", false},
		"RefusalNamesNoPoint":    {[]error{nameless}, "written 2 refused 3 unknown 0 unsent -", false},
		"RefusedAgainAndAgain":   {[]error{invalid, nameless}, "written 2 refused 3 unknown 0 unsent -", false},
		"UnknownInTheFirstBatch": {[]error{unknown}, "written 0 refused 0 unknown 2 unsent 3", true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := load(t, &scriptedWriter{errs: test.errs}, fiveLines)
			if got := describe(r); got != test.want || (err != nil) != test.fail {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestInputThatBreaksOffKeepsWhatCameBefore(t *testing.T) {
	w := &scriptedWriter{}
	in, err := lineproto.Open(io.MultiReader(strings.NewReader("c v=1 1\n"), brokenReader{}), lineproto.Options{Database: "d"})
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{to: w, limit: 100, tick: func(*writeReport) {}}
	if err := l.run(t.Context(), in); !errors.Is(err, io.ErrUnexpectedEOF) || l.report.Written != 1 {
		t.Errorf("got %s, %v", describe(&l.report), err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
