package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// shelf is a Sink and a Source in memory.
type shelf struct {
	mu     sync.Mutex
	points map[storage.Series][]storage.Point
	refuse int // that many writes fail first, after being applied
}

func (s *shelf) Write(_ context.Context, points []storage.Point) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range points {
		kept := s.points[p.Series]
		if n := len(kept); n > 0 && kept[n-1].Time == p.Time {
			kept = kept[:n-1]
		}
		s.points[p.Series] = append(kept, p)
	}
	if s.refuse > 0 {
		s.refuse--
		return errors.New("outcome unknown")
	}
	return nil
}

func (s *shelf) Read(_ context.Context, series storage.Series, yield func(storage.Point) error) error {
	for _, p := range s.points[series] {
		if err := yield(p); err != nil {
			return err
		}
	}
	return nil
}

func loaded(t *testing.T) (*Ledger, *shelf) {
	t.Helper()
	l := New(Plan{Database: "d", Collection: "c", Devices: 20, Start: time.Unix(0, 0), Step: 10 * time.Second}, 256)
	s := &shelf{points: map[storage.Series][]storage.Point{}, refuse: 7}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	Load{Ledger: l, Sinks: []Sink{s, s}, Callers: 4, Rate: 200}.Run(ctx)
	if l.Acked() < 300 {
		t.Fatalf("%d acked in two seconds at 200/s", l.Acked())
	}
	return l, s
}

func TestCheckFindsEachBrokenPromise(t *testing.T) {
	damage := map[string]struct {
		do   func(s *shelf, series storage.Series)
		want func(Report) bool
	}{
		"Nothing":     {func(*shelf, storage.Series) {}, Report.OK},
		"AckedIsLost": {func(s *shelf, k storage.Series) { s.points[k] = s.points[k][1:] }, func(r Report) bool { return r.Missing == 1 }},
		"ValueChanged": {func(s *shelf, k storage.Series) {
			s.points[k][0].Fields[0].Value = blocks.Float(-1)
		}, func(r Report) bool { return r.Wrong == 1 && r.Missing == 0 }},
		"PointFromNowhere": {func(s *shelf, k storage.Series) {
			p := s.points[k][0]
			p.Time++
			s.points[k] = append(s.points[k], p)
		}, func(r Report) bool { return r.Extra == 1 }},
	}
	for name, d := range damage {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, s := loaded(t)
				d.do(s, l.Series(3))
				r, err := l.Check(t.Context(), s)
				if err != nil || !d.want(r) {
					t.Fatalf("%s (%v): %s", r, err, strings.Join(r.Examples, "; "))
				}
			})
		})
	}
}
