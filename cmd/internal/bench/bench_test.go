package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// slowStore takes 1 ms for anything, and keeps what it is given.
type slowStore struct {
	mu       sync.Mutex
	inFlight map[string]bool // devices with a write in flight
	points   map[string][]int64
	fail     error
	// failAfter is how many writes succeed before fail.
	failAfter int
	t         *testing.T
}

func newStore(t *testing.T) *slowStore {
	return &slowStore{t: t, inFlight: map[string]bool{}, points: map[string][]int64{}}
}

func (s *slowStore) Write(_ context.Context, points []storage.Point) error {
	s.mu.Lock()
	for _, p := range points {
		if s.inFlight[p.Device] && len(points) == 1 {
			s.t.Errorf("two writes of %s in flight: a device has one writer", p.Device)
		}
		s.inFlight[p.Device] = true
	}
	s.mu.Unlock()
	time.Sleep(time.Millisecond) // virtual
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range points {
		s.inFlight[p.Device] = false
		if !slices.Contains(s.points[p.Device], p.Time) {
			s.points[p.Device] = append(s.points[p.Device], p.Time)
		}
	}
	if s.failAfter > 0 {
		s.failAfter--
		return nil
	}
	return s.fail
}

func (s *slowStore) Range(_ context.Context, series storage.Series, from, to int64) (int, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, at := range s.points[series.Device] {
		if at >= from && at < to {
			n++
		}
	}
	return n, nil
}

func (s *slowStore) Last(_ context.Context, series storage.Series) (int, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(1, len(s.points[series.Device])), nil
}

func plan(s *slowStore) Plan {
	return Plan{Conns: []Conn{s, s}, Callers: 4, Batch: 1, Devices: 20, Points: 30, Database: "d", Collection: "c",
		Duration: time.Second, Start: time.Unix(0, 0), Seed: 1}
}

func TestCallersKeepOneRequestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan(newStore(t))
		entries := uint64(100)
		p.Counter = func(context.Context) (uint64, error) { entries += 900; return entries, nil }
		r, err := Write(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests != 4000 || r.Points != 4000 || r.PointsPerSecond != 4000 {
			t.Errorf("4 callers with 1 ms a request for 1 s: %d requests, %d points, %.0f/s", r.Requests, r.Points, r.PointsPerSecond)
		}
		if r.P50Ms < 0.99 || r.P50Ms > 1.02 || r.P99Ms > 1.02 {
			t.Errorf("p50 %v ms, p99 %v ms, want 1", r.P50Ms, r.P99Ms)
		}
		if *r.Proposals != 900 || *r.PointsPerProposal < 4.4 || *r.PointsPerProposal > 4.5 {
			t.Errorf("%d proposals, %.2f points each", *r.Proposals, *r.PointsPerProposal)
		}
	})
}

func TestFailuresAreCountedAndNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.fail = errors.New("no leader")
		if _, err := Write(t.Context(), plan(s)); !errors.Is(err, s.fail) {
			t.Errorf("devices that cannot be written at all: %v", err)
		}
		s.failAfter = 2
		r, err := Write(t.Context(), plan(s))
		if err != nil || r.Requests != 1 || r.Points != 1 || r.Errors["no leader"] == 0 {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

func TestReadsFindWhatWasFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, measure := range map[string]func(context.Context, Plan) (Result, error){"range": Range, "last": Last} {
			r, err := measure(t.Context(), plan(newStore(t)))
			if err != nil || len(r.Errors) != 0 || r.Requests != 4000 {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
		}
	})
}

func TestQuantilesAreNearTheExactOnes(t *testing.T) {
	var h histogram
	var exact []time.Duration
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(3*time.Millisecond))
		exact = append(exact, d)
		h.add(d)
	}
	slices.Sort(exact)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
		want := exact[int(q*float64(len(exact)-1))]
		if got := h.quantile(q); float64(got) < float64(want) || float64(got) > 1.02*float64(want)+1 {
			t.Errorf("quantile %v: %s, want %s", q, got, want)
		}
	}
}

func FuzzBuckets(f *testing.F) {
	f.Add(uint64(0))
	f.Add(uint64(1) << 62)
	f.Fuzz(func(t *testing.T, n uint64) {
		n >>= 1 // durations are signed
		i := bucketOf(n)
		if i < 0 || i >= histogramBuckets || upperBound(i) < n || (i > 0 && upperBound(i-1) >= n) {
			t.Errorf("%d is in bucket %d, which ends at %d", n, i, upperBound(i))
		}
	})
}
