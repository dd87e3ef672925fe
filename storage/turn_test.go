package storage

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// turnBook counts turns. Each step fails once refuse is set.
type turnBook struct {
	mu                  sync.Mutex
	begun, ended, steps int
	refuse              error
}

func (b *turnBook) turns(context.Context) (step func() error, end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun++
	return func() error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.steps++
			return b.refuse
		}, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.ended++
		}
}

// since gives what was counted, and begins anew.
func (b *turnBook) since(t *testing.T) (begun, steps int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun != b.ended {
		t.Errorf("%d turns were begun, %d ended", b.begun, b.ended)
	}
	begun, steps = b.begun, b.steps
	b.begun, b.ended, b.steps = 0, 0, 0
	return begun, steps
}

// All that reads or writes whole leaves for checks and copies asks for a turn, and steps from series to series.
func TestWorkOnWholeLeavesTakesTurns(t *testing.T) {
	book := &turnBook{}
	o := testOptions(t)
	o.Turns = book.turns
	s := mustOpen(t, o)
	for round := range 12 {
		apply(t, s, AppendPut(nil, leaderPoints(round)))
	}
	c := copyOf(t, pinCut(t, s, "cut"))
	so := stageOptions(t)
	so.Turns = book.turns
	stage := mustStage(t, so)
	n := len(c.manifest)
	book.since(t)
	var leaves [][]byte
	key := []byte("nonce")
	for _, work := range []struct {
		name         string
		begun, steps int // at least
		do           func() error
	}{
		{"leaves are read for others", n, n, func() error {
			for _, e := range c.manifest {
				b, err := c.view.LeafBytes(t.Context(), e.Leaf)
				if err != nil {
					return err
				}
				leaves = append(leaves, b)
			}
			return nil
		}},
		{"a view is proven", n, n, func() error { _, err := c.view.Prove(t.Context(), key); return err }},
		{"digests are read anew", n, n, func() error { _, _, err := c.view.ReadRoot(t.Context()); return err }},
		{"leaves are staged", n, 0, func() error {
			for i, b := range leaves {
				if err := stage.Put(b, c.manifest[i]); err != nil {
					return err
				}
			}
			return nil
		}},
		{"a stage is committed", 1, 0, stage.Commit},
		{"a stage is sealed", 1, 0, func() error { return stage.Seal(testIdentity, c.state, c.manifest) }},
		{"a stage is proven", n, n, func() error {
			_, err := Assembly{Stage: stage, Manifest: c.manifest}.Prove(t.Context(), key)
			return err
		}},
		{"the file is scrubbed", 1, n, func() error { _, _, err := s.Scrub(t.Context(), "", 1<<30); return err }},
	} {
		if err := work.do(); err != nil {
			t.Fatalf("%s: %v", work.name, err)
		}
		if begun, steps := book.since(t); begun < work.begun || steps < work.steps {
			t.Errorf("%s: %d turns and %d steps, want %d and %d", work.name, begun, steps, work.begun, work.steps)
		}
	}
	book.refuse = errors.New("not now")
	if _, err := c.view.LeafBytes(t.Context(), c.manifest[0].Leaf); !errors.Is(err, book.refuse) {
		t.Errorf("a step that fails: %v", err)
	}
	if _, err := c.view.LeafBytes(t.Context(), digest.Leaf{Window: 1 << 40}); err != nil {
		t.Errorf("a leaf without points: %v", err)
	}
	book.since(t)
}

// An inspection tells of no bytes between the pieces that it reads, so that it can be held up there.
func TestInspectionCanBeHeldUpBetweenSeries(t *testing.T) {
	_, c := leaderCut(t)
	small, read := 0, 0
	r, err := c.view.Inspect(t.Context(), func(bytes int) error {
		if bytes == 0 {
			small++
		}
		read += bytes
		return nil
	})
	if err != nil || small < len(c.manifest) || read == 0 {
		t.Errorf("%d looks between series of %d leaves, %d bytes: %v", small, len(c.manifest), read, err)
	}
	if r.Leaves != len(c.manifest) {
		t.Errorf("%d leaves of %d", r.Leaves, len(c.manifest))
	}
	gone := errors.New("not now")
	if _, err := c.view.Inspect(t.Context(), func(bytes int) error {
		if bytes == 0 {
			return gone
		}
		return nil
	}); !errors.Is(err, gone) {
		t.Errorf("held up: %v", err)
	}
}
