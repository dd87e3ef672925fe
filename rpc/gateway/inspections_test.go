package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

func found(bad int) func(context.Context, func(int64)) (antientropy.Inspected, error) {
	return func(context.Context, func(int64)) (antientropy.Inspected, error) {
		return antientropy.Inspected{Records: make([]digest.Leaf, bad)}, nil
	}
}

func endless(ctx context.Context, _ func(int64)) (antientropy.Inspected, error) {
	<-ctx.Done()
	return antientropy.Inspected{}, ctx.Err()
}

// begun begins inspections of checks with these names.
func (s *inspections) begun(t *testing.T, run func(context.Context, func(int64)) (antientropy.Inspected, error), names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := s.begin(inspectRequest{Check: name}, run); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Millisecond)
	}
}

func (s *inspections) known(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[inspectRequest{Check: name}] != nil
}

// A result is there as long as somebody asks, and a minute more; what runs ends then.
func TestInspectionsAreForgottenAMinuteAfterTheLastQuestion(t *testing.T) {
	for what, run := range map[string]func(context.Context, func(int64)) (antientropy.Inspected, error){"over": found(3), "under way": endless} {
		synctest.Test(t, func(t *testing.T) {
			s := &inspections{}
			s.begun(t, run, "a")
			first, _ := s.begin(inspectRequest{Check: "a"}, nil)
			for range 5 {
				time.Sleep(inspectForgotten - time.Second)
				if again, err := s.begin(inspectRequest{Check: "a"}, nil); err != nil || again != first {
					t.Fatalf("%s: asked again: %v, %v", what, again, err)
				}
			}
			time.Sleep(inspectForgotten - time.Second)
			if !s.known("a") {
				t.Errorf("%s: forgotten too soon", what)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			<-first.done
			if s.known("a") {
				t.Errorf("%s: it is kept for ever", what)
			}
			s.close()
		})
	}
}

// Results make room for what is begun, those first that nobody has asked for the longest. What runs makes room for nothing.
func TestInspectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &inspections{}
		defer s.close()
		s.begun(t, found(0), "a", "b", "c")
		for i := range maxInspections - 3 {
			s.begun(t, endless, fmt.Sprint(i))
		}
		s.begun(t, nil, "a") // it is asked for again
		for i, name := range []string{"b", "c", "a"} {
			s.begun(t, endless, fmt.Sprintf("late %d", i))
			if s.known(name) || len(s.of) != maxInspections {
				t.Errorf("%d inspections, and the result of %s is there: %v", len(s.of), name, s.known(name))
			}
		}
		if _, err := s.begin(inspectRequest{Check: "too much"}, endless); !errors.Is(err, ErrBusy) {
			t.Errorf("one more than the bound: %v", err)
		}
	})
}

// However much each has found: all together are bounded, and the last one is told.
func TestResultsOfInspectionsAreBoundedByWhatTheyFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &inspections{}
		defer s.close()
		s.begun(t, found(maxKeptFindings/2), "a", "b", "c")
		if s.known("a") || s.known("b") || !s.known("c") {
			t.Errorf("kept: %v %v %v", s.known("a"), s.known("b"), s.known("c"))
		}
		s.begun(t, found(10), "d")
		s.begun(t, found(2*maxKeptFindings), "e")
		if s.known("c") || s.known("d") || !s.known("e") {
			t.Errorf("kept: %v %v %v", s.known("c"), s.known("d"), s.known("e"))
		}
		s.begun(t, found(1), "f")
		if s.known("e") || !s.known("f") {
			t.Errorf("kept: %v %v", s.known("e"), s.known("f"))
		}
	})
}
